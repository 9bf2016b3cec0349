import Synchronization

/// The clock for deadlines: the machine's, or one that stands still until a test turns it. The test that turns it also
/// runs the checks of the deadlines, so it waits for none of them.
///
/// Threads: any.
package final class DeadlineClock: Sendable {
    /// The machine's clock.
    package static let machine = DeadlineClock(isTurned: false)

    /// Whether it stands still until it is turned.
    package let isTurned: Bool
    private let now = Atomic<UInt64>(monotonicMilliseconds())

    private init(isTurned: Bool) { self.isTurned = isTurned }

    /// A clock that stands still.
    package static func standing() -> DeadlineClock { DeadlineClock(isTurned: true) }

    /// Milliseconds since some fixed moment; the machine's are `monotonicMilliseconds`.
    package var milliseconds: UInt64 { isTurned ? now.load(ordering: .acquiring) : monotonicMilliseconds() }

    /// Turns a standing clock forward. Traps for the machine's.
    package func turn(byMilliseconds milliseconds: UInt64) {
        precondition(isTurned)
        now.add(milliseconds, ordering: .acquiringAndReleasing)
    }

    /// Blocks until an event is set or the time is up, by this clock. Returns whether it was set.
    package func wait(for event: OneShotEvent, milliseconds: Int) -> Bool {
        guard isTurned else { return event.wait(milliseconds: milliseconds) }
        let end = self.milliseconds + UInt64(milliseconds)
        while !event.wait(milliseconds: 1) {
            if self.milliseconds >= end { return event.isSet }
        }
        return true
    }
}
