import Synchronization

/// The time that deadlines and regular looks go by: the machine's, or one that stands still until a test turns it.
///
/// Threads sleep by the clock: until an event is set, or until time has passed. Turning a clock wakes the threads whose
/// time has come and waits until they have looked, so a test decides when things happen and never waits for them.
///
/// Threads: any.
package struct DeadlineClock: Sendable {
    /// The machine's time. Reading it is one call of `monotonicMilliseconds`; sleeping is a wait of the event.
    package static let machine = DeadlineClock(turned: nil)

    private let turned: TurnedTime?

    private init(turned: TurnedTime?) { self.turned = turned }

    /// Makes a clock that stands still, for a test to turn.
    package static func standing() -> DeadlineClock { DeadlineClock(turned: TurnedTime()) }

    /// Whether this is the machine's time.
    package var isMachine: Bool { turned == nil }

    /// Milliseconds since some fixed moment; the machine's clock shows `monotonicMilliseconds`.
    package var milliseconds: UInt64 { if let turned { turned.milliseconds } else { monotonicMilliseconds() } }

    // MARK: Sleeping

    /// Blocks until an event is set, or so much time has passed.
    /// - Returns: whether the event was set.
    package func wait(for event: OneShotEvent, milliseconds: Int) -> Bool {
        wait(for: event, everyMilliseconds: milliseconds) { true }
    }

    /// Blocks until an event is set, or a look says that this is over.
    /// - Parameters:
    ///   - period: the time before each look, milliseconds.
    ///   - isOver: the look, on the calling thread.
    /// - Returns: whether the event was set.
    package func wait(for event: OneShotEvent, everyMilliseconds period: Int, until isOver: () -> Bool) -> Bool {
        if let turned { return turned.wait(for: event, period: UInt64(period), until: isOver) }
        while !event.wait(milliseconds: period) {
            if isOver() { return false }
        }
        return true
    }

    // MARK: Turning, for tests

    /// Lets time pass from one due look to the next. Returns when all looks that were due are done.
    ///
    /// A look that is stuck keeps the caller waiting; `push` does not wait for it.
    package func turn(byMilliseconds milliseconds: UInt64) { turned!.turn(by: milliseconds) }

    /// Lets time pass at once, and waits for nobody: a look may be stuck.
    package func push(byMilliseconds milliseconds: UInt64) { turned!.push(by: milliseconds) }

    /// Blocks until so many threads sleep by this clock.
    package func awaitSleepers(_ count: Int) { turned!.awaitSleepers(count) }

    /// The threads that sleep by this clock. A thread whose sleep is over does not count when `turn` returns.
    package var sleeperCount: Int { turned!.sleeperCount }
}

/// The time of a clock that is turned, and the threads that sleep by it.
private final class TurnedTime: @unchecked Sendable {
    // SAFETY: `sleepers` and `lastNumber` are touched only under `lock`; `now` is written under it.
    private let now = Atomic<UInt64>(monotonicMilliseconds())
    private let lock = Lock()
    private var sleepers: [UInt64: Sleeper] = [:]
    private var lastNumber: UInt64 = 0
    /// Never set; nudged whenever `sleepers` changes.
    private let change = OneShotEvent()

    private struct Sleeper {
        let event: OneShotEvent
        /// When it is to look next, milliseconds.
        var due: UInt64
    }

    var milliseconds: UInt64 { now.load(ordering: .acquiring) }

    func wait(for event: OneShotEvent, period: UInt64, until isOver: () -> Bool) -> Bool {
        let (number, first) = lock.withLock {
            lastNumber += 1
            let due = milliseconds + period
            sleepers[lastNumber] = Sleeper(event: event, due: due)
            return (lastNumber, due)
        }
        change.nudge()
        defer {
            lock.withLock { sleepers[number] = nil }
            change.nudge()
        }
        var due = first
        while !event.wait(orUntil: { milliseconds >= due }) {
            if isOver() { return false }
            due = lock.withLock {
                let next = milliseconds + max(1, period)
                sleepers[number]!.due = next
                return next
            }
            change.nudge()
        }
        return true
    }

    func turn(by milliseconds: UInt64) {
        let end = lock.withLock { self.milliseconds + milliseconds }
        repeat {
            wake(at: { min(end, $0) })
            _ = change.wait(orUntil: { lock.withLock { sleepers.values.allSatisfy { $0.due > self.milliseconds } } })
        } while self.milliseconds < end
    }

    func push(by milliseconds: UInt64) { wake { _ in self.milliseconds + milliseconds } }

    func awaitSleepers(_ count: Int) { _ = change.wait(orUntil: { lock.withLock { sleepers.count >= count } }) }

    var sleeperCount: Int { lock.withLock { sleepers.count } }

    /// Moves time on and wakes the threads that are due.
    /// - Parameter time: the new time, from the next time at which a thread is due; time never goes back.
    private func wake(at time: (UInt64) -> UInt64) {
        let due = lock.withLock {
            let next = sleepers.values.map(\.due).min() ?? .max
            now.store(max(milliseconds, time(next)), ordering: .releasing)
            return sleepers.values.filter { $0.due <= milliseconds }.map(\.event)
        }
        for event in due { event.nudge() }
    }
}
