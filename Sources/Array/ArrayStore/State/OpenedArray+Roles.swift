import MDFormat
import RAID

/// The members by what they are. Under `lock`.
extension OpenedArray {
    /// By role: the member that has the role, or had it last.
    var current: [ArrayMember?] { membership.roles.map { member(of: $0) } }
    var failedRoles: Set<Role> { membership.failedRoles }
    /// The member that is being brought up to date.
    var recovering: RecoveringMember? { membership.recovering }
    /// The member that is to take the role of one in service.
    var successor: ArrayMember? { member(at: membership.replacementPlace) }
    /// Members without a role, which may take one.
    var spares: [ArrayMember] { membership.spares.compactMap { known[$0] } }
    /// Members that failed and whose role has gone to another.
    var former: [ArrayMember] { membership.former.compactMap { known[$0] } }
    /// All members that the array knows.
    var allMembers: [ArrayMember] { current.compactMap { $0 } + [successor].compactMap { $0 } + spares + former }
}

extension OpenedArray {
    /// Whether more members failed than the array survives. The superblocks stay as they are then. Any thread.
    package var isLost: Bool { lock.withLock { membership.isLost } }
}
