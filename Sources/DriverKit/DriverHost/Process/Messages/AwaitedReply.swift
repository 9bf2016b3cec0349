import SCSIControllerDriverKit
import Synchronization

/// The answer to the call of UserProcessParallelTask that a thread waits for. There is one such call at a time.
///
/// Threads: one waits, any may pass the answer on.
final class AwaitedReply: Sendable {
    /// The slot for which the call has returned, plus 1.
    private let slot = Atomic<Int>(0)
    private let response = Atomic<UInt32>(0)
    /// Whether the thread that waits sleeps. Another thread that takes the reply has to wake it.
    private let isAwaitedAsleep = Atomic<Bool>(false)

    /// Forgets the last reply. Before the next call.
    func clear() { slot.store(0, ordering: .relaxed) }

    /// Passes a reply on.
    /// - Parameter slot: as the driver names it.
    /// - Returns: whether the thread that waits has to be woken.
    func arrive(slot: UInt64, response: UInt32) -> Bool {
        self.response.store(response, ordering: .relaxed)
        self.slot.store(Int(truncatingIfNeeded: slot) &+ 1, ordering: .sequentiallyConsistent)
        return isAwaitedAsleep.load(ordering: .sequentiallyConsistent)
    }

    /// Whether the call for a slot has returned.
    func hasArrived(for slot: UInt16) -> Bool { self.slot.load(ordering: .sequentiallyConsistent) == Int(slot) + 1 }

    /// The driver's response; nil while the call for this slot has not returned.
    func response(for slot: UInt16) -> UInt32? {
        hasArrived(for: slot) ? response.load(ordering: .relaxed) : nil
    }

    /// Says that the thread that waits may sleep while this runs.
    func whileAsleep(_ body: () -> Void) {
        isAwaitedAsleep.store(true, ordering: .sequentiallyConsistent)
        body()
        isAwaitedAsleep.store(false, ordering: .relaxed)
    }
}
