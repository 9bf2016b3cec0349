import ArrayStore
import RAID

/// What an array's write-intent bitmap needs done when no command asks for it. On a thread with a lane; I/O that is
/// outstanding afterwards is the lane's, and ends by `run`.
extension RAIDController {
    /// How often `tickBitmap` is to be called; nil for an array that has no bitmap to write.
    package func bitmapPeriodSeconds(target: Int) -> Int? {
        guard case .bitmap(let area) = arrays[target].array.consistency else { return nil }
        return max(1, Int(area.bitmap.daemonSleepSeconds))
    }

    /// Flushes for bits that have not been needed for some time, so that `clearBits` can clear them.
    package func tickBitmap(target: Int, lane: Int) {
        clear(arrays[target], lanes[lane]!) { $0.tick(into: &$1) }
    }

    /// Flushes for all bits, before the array is marked clean. No command is outstanding.
    package func restBitmap(target: Int, lane: Int) {
        clear(arrays[target], lanes[lane]!) { $0.rest(into: &$1) }
    }

    /// Clears what the last `tickBitmap` or `restBitmap` has flushed for. The members get a new mark before: an older copy of
    /// one lacks what the bits stood for, and must not be taken for that member.
    package func clearBits(target index: Int, lane: Int) {
        let target = arrays[index]
        guard !target.array.needsRepair else { return }
        guard target.plannerLock.withLock({ target.planner.hasBitsToClear }) else { return }
        do throws(ArrayStoreError) { try target.array.renewMark() } catch {
            target.array.report(error.description)
            for untold in error.members { target.memberFailed(untold) }
            return
        }
        clear(target, lanes[lane]!) { $0.clearBits(into: &$1) }
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
