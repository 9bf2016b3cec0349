/// Stands for the member that has a role in an array. Lanes use the slot's place for as long as the array is open,
/// while the member behind it may be replaced.
///
/// I/O that has begun ends on the member on which it began. I/O that was only planned may reach the next member, or
/// none, and then fails. Planners recognise such I/O by its generation.
///
/// Threads: any for `place`; one at a time for the rest.
package protocol RoleSlot: AnyObject, Sendable {
    /// Where lanes find the role's member.
    var place: MemberPlace { get }

    /// Puts a member behind the slot. The caller keeps owning the member.
    /// - Returns: false, with nothing changed, when the slot cannot stand for a member of that kind.
    func put(_ member: MemberPlace) -> Bool

    /// Leaves nothing behind the slot, so that I/O fails.
    func clear()
}
