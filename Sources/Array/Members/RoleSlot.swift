/// What stands for whichever member has a role in an array: lanes know its place for as long as the array is open, and the
/// member behind it can be replaced while they work.
///
/// I/O that has begun ends on the member on which it began. I/O that was only planned may find another one, or none, and
/// then fails; planners tell by their generations.
///
/// Threads: `place` any; the rest one at a time.
package protocol RoleSlot: AnyObject, Sendable {
    /// Where lanes find the role's member.
    var place: MemberPlace { get }

    /// Puts a member behind the slot. It stays its owner's.
    /// - Returns: false when the slot cannot stand for members of that kind; nothing was changed then.
    func put(_ member: MemberPlace) -> Bool

    /// Leaves nothing behind the slot: I/O fails.
    func clear()
}
