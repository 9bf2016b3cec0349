import Synchronization

/// The time by which deadlines are kept: the machine's, or one that stands still until it is turned. Whoever turns it looks at
/// the deadlines too, so tests of what happens in time do not wait for it.
///
/// Threads: any.
package final class DeadlineClock: Sendable {
    package static let machine = DeadlineClock(isTurned: false)

    /// Somebody turns it.
    package let isTurned: Bool
    private let now = Atomic<UInt64>(monotonicMilliseconds())

    private init(isTurned: Bool) { self.isTurned = isTurned }

    /// A clock that stands still.
    package static func standing() -> DeadlineClock { DeadlineClock(isTurned: true) }

    /// Since some fixed moment; the machine's is `monotonicMilliseconds`.
    package var milliseconds: UInt64 { isTurned ? now.load(ordering: .acquiring) : monotonicMilliseconds() }

    package func turn(byMilliseconds milliseconds: UInt64) {
        precondition(isTurned)
        now.add(milliseconds, ordering: .acquiringAndReleasing)
    }

    /// Blocks until an event is set, or so much time has passed. Returns whether it was set.
    package func wait(for event: Event, milliseconds: Int) -> Bool {
        guard isTurned else { return event.wait(milliseconds: milliseconds) }
        let end = self.milliseconds + UInt64(milliseconds)
        while !event.wait(milliseconds: 1) {
            if self.milliseconds >= end { return event.isSet }
        }
        return true
    }
}
