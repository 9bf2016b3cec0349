import RAID

/// What an array's write-intent bitmap needs done when no command asks for it. On a thread with a lane; I/O that is
/// outstanding afterwards is the lane's, and ends by `run`.
extension RAIDController {
    /// How often `tickBitmap` is to be called; nil for an array that has no bitmap to write.
    package func bitmapPeriodSeconds(target: Int) -> Int? {
        guard case .bitmap(let area) = arrays[target].array.consistency else { return nil }
        return max(1, Int(area.bitmap.daemonSleepSeconds))
    }

    /// Lets bits be cleared that have not been needed for some time.
    package func tickBitmap(target: Int, lane: Int) {
        clear(arrays[target], lanes[lane]!) { $0.tick(into: &$1) }
    }

    /// Lets all bits be cleared, before the array is marked clean. No command is outstanding.
    package func restBitmap(target: Int, lane: Int) {
        clear(arrays[target], lanes[lane]!) { $0.rest(into: &$1) }
    }

    private func clear(
        _ target: ArrayTarget, _ lane: CardLane, _ body: (RAIDPlanner, inout PlannerOutput) -> Void
    ) {
        // Bits are all that says where parity is still to be repaired when the server ends before that is done.
        guard !target.array.needsRepair else { return }
        target.plannerLock.withLock { body(target.planner, &lane.output) }
        execute(lane, target)
        start(lane, target)
        post(lane)
    }
}
