import ArrayStore
import RAID

/// The periodic work on an array's write-intent bitmap. It runs on a thread with a lane; I/O that is outstanding
/// afterwards belongs to that lane, and `reap` ends it.
extension LiveArray {
    /// The period of `tickBitmap` in seconds; nil for an array without a bitmap.
    package var bitmapPeriodSeconds: Int? {
        guard case .bitmap(let area) = store.consistency else { return nil }
        return max(1, Int(area.bitmap.daemonSleepSeconds))
    }

    /// Flushes the members for bits that no write has needed for some time, so that `clearBits` can clear them.
    package func tickBitmap(on lane: EngineLane) {
        changeBits(lane) { $0.tick(into: &$1) }
    }

    /// Flushes the members for all bits, before the array is marked clean. No request may be outstanding.
    package func restBitmap(on lane: EngineLane) {
        changeBits(lane) { $0.rest(into: &$1) }
    }

    /// Clears the bits for which the last `tickBitmap` or `restBitmap` flushed. The members get a new mark first,
    /// because an older copy of a member lacks the writes that the bits stood for, and must not be taken for the
    /// member.
    package func clearBits(on lane: EngineLane) {
        guard !store.needsRepair, plannerLock.withLock({ planner.hasBitsToClear }) else { return }
        do throws(ArrayStoreError) { try renewMark() } catch { return store.report(error.description, .error) }
        changeBits(lane) { $0.clearBits(into: &$1) }
    }

    private func changeBits(_ lane: EngineLane, _ change: (RAIDPlanner, inout PlannerOutput) -> Void) {
        // Until a repair is done, only the bits say which parity needs it, should the server end before.
        guard !store.needsRepair else { return }
        assert(lane.output.isEmpty, "the lane has work of another call, perhaps for another array")
        plannerLock.withLock { change(planner, &lane.output) }
        lane.engine.execute(lane, self)
        lane.engine.start(self, on: lane)
    }
}
