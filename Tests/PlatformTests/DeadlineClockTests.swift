import Platform
import Synchronization
import TestTraits
import Testing

@Suite("A clock for deadlines", .blocks)
struct DeadlineClockTests {
    /// A thread that sleeps by a clock, and notes when it looks.
    private final class Sleeper: Sendable {
        let event = OneShotEvent()
        private let ended = OneShotEvent()
        private let outcome = Mutex<Bool?>(nil)

        /// - Parameter look: gets the time since the clock's beginning; returns whether the sleep is over.
        init(_ clock: DeadlineClock, every period: Int, _ look: @escaping @Sendable (UInt64) -> Bool) throws {
            let begin = clock.milliseconds
            try OSThread(name: "sleeper") { [self] in
                let isSet = clock.wait(for: event, everyMilliseconds: period) { look(clock.milliseconds - begin) }
                outcome.withLock { $0 = isSet }
                ended.set()
            }.detach()
        }

        /// Whether the event ended the sleep; nil when nothing did.
        func end() -> Bool? { ended.comes() ? outcome.withLock { $0 } : nil }

        var hasEnded: Bool { ended.isSet }
    }

    @Test("stands still until it is turned")
    func reading() {
        let clock = DeadlineClock.standing()
        let begin = clock.milliseconds
        clock.turn(byMilliseconds: 250)
        #expect(clock.milliseconds == begin + 250)
        clock.push(byMilliseconds: 3)
        #expect(clock.milliseconds == begin + 253)
    }

    @Test("the machine's is the monotonic time, and ends a sleep by itself")
    func machine() {
        let before = monotonicMilliseconds()
        var looks = 0
        let isSet = DeadlineClock.machine.wait(for: OneShotEvent(), everyMilliseconds: 2) {
            looks += 1
            return looks == 3
        }
        #expect(!isSet && looks == 3)
        #expect(!DeadlineClock.machine.wait(for: OneShotEvent(), milliseconds: 2))
        let now = DeadlineClock.machine.milliseconds
        #expect(now >= before + 4 && now <= monotonicMilliseconds())
    }

    @Test("a turn lets each thread look when it is due, and has waited for all of them")
    func looks() throws {
        let clock = DeadlineClock.standing()
        let times = Mutex<[String]>([])
        let sleepers = try [30, 50].map { period in
            try Sleeper(clock, every: period) { time in
                times.withLock { $0.append("\(period): \(time)") }
                return false
            }
        }
        clock.awaitSleepers(2)
        clock.turn(byMilliseconds: 29)
        #expect(times.withLock { $0 } == [])
        clock.turn(byMilliseconds: 1)
        #expect(times.withLock { $0 } == ["30: 30"])
        clock.turn(byMilliseconds: 90)
        #expect(times.withLock { $0 } == ["30: 30", "50: 50", "30: 60", "30: 90", "50: 100", "30: 120"])
        for sleeper in sleepers {
            #expect(!sleeper.hasEnded)
            sleeper.event.set()
            #expect(sleeper.end() == true)
        }
        // Nobody is left to wait for.
        clock.turn(byMilliseconds: 1000)
        #expect(times.withLock { $0.count } == 6)
    }

    @Test("a sleep ends when a look says so, or with the first one where there is a limit only")
    func ends() throws {
        let clock = DeadlineClock.standing()
        let second = try Sleeper(clock, every: 10) { $0 == 20 }
        clock.awaitSleepers(1)
        clock.turn(byMilliseconds: 10)
        #expect(clock.sleeperCount == 1 && !second.hasEnded)
        clock.turn(byMilliseconds: 10)
        #expect(clock.sleeperCount == 0)
        #expect(second.end() == false)
        // What was set counts, also when the time is up.
        let event = OneShotEvent()
        event.set()
        #expect(clock.wait(for: event, milliseconds: 0))
        #expect(!clock.wait(for: OneShotEvent(), milliseconds: 0))
    }

    @Test("a push does not wait for a look that is stuck")
    func push() throws {
        let clock = DeadlineClock.standing()
        let (isStuck, mayReturn) = (OneShotEvent(), OneShotEvent())
        let sleeper = try Sleeper(clock, every: 10) { _ in
            isStuck.set()
            return !clock.wait(for: mayReturn, milliseconds: 100)
        }
        clock.awaitSleepers(1)
        clock.push(byMilliseconds: 10)
        isStuck.wait()
        clock.awaitSleepers(2)
        clock.push(byMilliseconds: 99)
        #expect(!sleeper.hasEnded)
        clock.push(byMilliseconds: 1)
        #expect(sleeper.end() == false)
    }
}
