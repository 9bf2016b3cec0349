import ArrayStore
import RAID

/// The periodic work on an array's write-intent bitmap. It runs on a thread with a lane; I/O that is outstanding
/// afterwards belongs to that lane, and `run` ends it.
extension RAIDController {
    /// The period of `tickBitmap` in seconds; nil for an array without a bitmap.
    package func bitmapPeriodSeconds(target: Int) -> Int? {
        guard case .bitmap(let area) = arrays[target].array.consistency else { return nil }
        return max(1, Int(area.bitmap.daemonSleepSeconds))
    }

    /// Flushes the members for bits that no write has needed for some time, so that `clearBits` can clear them.
    package func tickBitmap(target: Int, lane: Int) {
        clear(arrays[target], lanes[lane]!) { $0.tick(into: &$1) }
    }

    /// Flushes the members for all bits, before the array is marked clean. No command may be outstanding.
    package func restBitmap(target: Int, lane: Int) {
        clear(arrays[target], lanes[lane]!) { $0.rest(into: &$1) }
    }

    /// Clears the bits for which the last `tickBitmap` or `restBitmap` flushed. The members get a new mark first,
    /// because an older copy of a member lacks the writes that the bits stood for, and must not be taken for the
    /// member.
    package func clearBits(target index: Int, lane: Int) {
        let target = arrays[index]
        guard !target.array.needsRepair else { return }
        guard target.plannerLock.withLock({ target.planner.hasBitsToClear }) else { return }
        do throws(ArrayStoreError) { try target.array.renewMark() } catch {
            target.array.report(error.description, .error)
            for untold in error.members { target.memberFailed(untold) }
            return
        }
        clear(target, lanes[lane]!) { $0.clearBits(into: &$1) }
    }

    private func clear(
        _ target: ArrayTarget, _ lane: CardLane, _ body: (RAIDPlanner, inout PlannerOutput) -> Void
    ) {
        // Until a repair is done, only the bits say which parity needs it, should the server end before.
        guard !target.array.needsRepair else { return }
        target.plannerLock.withLock { body(target.planner, &lane.output) }
        execute(lane, target)
        start(lane, target)
        post(lane)
    }
}
