import MDFormat
import MemberIO

/// Maintenance, and what it is to repair.
extension RAIDPlanner {
    /// Takes a request of maintenance. Those of a recovery (rebuilds and skips) come in the order of their ranges,
    /// and at most 64 are under way.
    /// - Returns: false when there is no room for it now.
    package func submit(_ request: MaintenanceRequest, into output: inout PlannerOutput) -> Bool {
        guard schedule.freeCount > 0, maintenance.hasRoom else { return false }
        let operation = StripeOperation(request, geometry)
        assert(
            operation.memberRange(geometry).upperBound <= geometry.memberDataByteCount, "the range ends behind the data"
        )
        let index = schedule.add(operation)
        begin(index, into: &output)
        if operation.kind.isRecovery {
            maintenance.noteRecovering(index)
            // It may have ended at once.
            retire()
        }
        settle(into: &output)
        return true
    }

    /// Takes the answer to a `ZeroTest` or `HoleTest`.
    package func tested(_ token: PlannerToken, wrongBlocks: UInt32, into output: inout PlannerOutput) {
        let index = token.operation
        go(on: index, maintenance.tested(index, wrongBlocks: wrongBlocks, &members, into: &output), into: &output)
        settle(into: &output)
    }

    /// By role: the blocks that could not be read, and were computed and written anew.
    package var correctedReads: [UInt64] { healing.correctedReads }

    /// Whether parity may be wrong somewhere.
    package var isParityDoubtful: Bool { mending.doubt.isOpen }

    /// How often parity came into doubt.
    package var doubtCount: UInt64 { mending.doubt.count }

    /// Notes that a repair of the whole array is done.
    /// - Parameter doubtCount: the planner's `doubtCount` when the repair began.
    package func repaired(doubtCount: UInt64) { mending.repaired(since: doubtCount) }
}
