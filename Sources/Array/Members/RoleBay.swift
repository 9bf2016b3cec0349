/// A bay in an array for the member that has a role, like a hot-swap drive bay. Lanes use the place of the bay for
/// as long as the array is open, while the member in it may be replaced.
///
/// I/O that has begun ends on the member on which it began. I/O that was only planned may reach the next member, or
/// none, and then fails. Planners recognise such I/O by its generation.
///
/// Threads: any for `place`; one at a time for the rest.
package protocol RoleBay: AnyObject, Sendable {
    /// Where lanes find the role's member.
    var place: MemberPlace { get }

    /// Puts a member into the bay. The caller keeps owning the member.
    /// - Returns: false, with nothing changed, when the bay does not take members of that kind.
    func put(_ member: MemberPlace) -> Bool

    /// Empties the bay, so that I/O fails.
    func clear()
}
