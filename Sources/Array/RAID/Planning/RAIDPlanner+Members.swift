import MDFormat
import MemberIO

/// Members that fail, come and are replaced, and how the outcome of I/O that is under way meanwhile is judged.
extension RAIDPlanner {
    /// Whether members are missing. `.failed` is final.
    package var state: ArrayState { members.state }

    /// The member that is being filled, or nil.
    package var recovery: Recovery? { members.recovery }

    /// The member that is being filled while the one that it replaces still serves, or nil.
    package var replacement: Recovery? { members.replacement }

    /// The role whose replacement is, or was last, at the replacement's place; nil before the first, or if it was given
    /// up.
    package var replacementRole: Role? { members.replacementRole }

    /// Whether I/O is under way to the replacement's place. It goes to the member that was there when it began, which
    /// may have a role by now.
    package var hasReplacementIO: Bool { members.hasReplacementIO }

    /// Notes that a member failed; the other members' superblocks say so durably. I/Os under way to it end with
    /// `.failed`. A replacement of this very member has its role now, and is in sync below its boundary. Another
    /// replacement is given up.
    package func memberFailed(_ member: Role) {
        if members.fail(member) { logs?.move(from: geometry.replacementPlace, to: Place(member)) }
    }

    /// Lets a missing member come back, in sync below the boundary (a multiple of the unit).
    /// - Returns: false when the array has failed meanwhile, or does not miss that member.
    package func beginRecovery(_ recovery: Recovery) -> Bool { !maintenance.isRecovering && members.begin(recovery) }

    /// Whether a replacement can begin: all members are there, and no I/O is under way to an earlier member at its
    /// place.
    package var canBeginReplacement: Bool { members.canBeginReplacement && !maintenance.isRecovering }

    /// Begins to fill the member at the replacement's place, which is in sync below the boundary (a multiple of the
    /// unit). `canBeginReplacement` is true.
    package func beginReplacement(_ recovery: Recovery) {
        precondition(!maintenance.isRecovering, "work on an earlier recovery is under way")
        members.beginReplacement(recovery)
        logs?.forgetReplica(of: recovery.member)
    }

    /// Gives up a replacement, if there is one: nothing is written there any more.
    package func endReplacement() { members.endReplacement() }

    /// Ends a complete recovery: the array is whole. A replacement, which has the log too (`copyLogToReplacement`), has
    /// the role. The caller puts that member at the role's place before it calls the planner again; I/O that is under
    /// way to the replacement's place still has to find it there.
    /// - Returns: false when no recovery is complete, or the array has failed.
    package func endRecovery() -> Bool {
        let replaced = replacement?.member
        guard members.endRecovery() else { return false }
        if let replaced { logs?.move(from: geometry.replacementPlace, to: Place(replaced)) }
        // The bits on the new member have all been set since it came.
        bitmap?.changeAllPages()
        return true
    }

    /// Whether the failure of an I/O says nothing against the member that is at its place now: another member was there
    /// when the I/O was emitted, or the I/O only read data for a replacement, which the other members can supply.
    package func isOutdated(_ token: PlannerToken, at place: Place) -> Bool {
        members.isOutdated(token, at: place, operations)
    }

    /// Whether an I/O with this outcome makes its member fail, unless it has failed already.
    package func isFailure(_ token: PlannerToken, at place: Place, _ status: MemberStatus) -> Bool {
        members.isFailure(token, at: place, status, operations)
    }
}
