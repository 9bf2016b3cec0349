import Diagnostics
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

/// Calls that do not return, by a clock that the test turns; it looks itself.
@Suite("Slow calls", .blocks)
struct SlowCallsTests {
    private static let period: UInt64 = 10

    /// A driver one of whose queues is busy until the test says so, and the detector that watches it.
    private final class Watched {
        let log = DiagnosisLog { _ in }
        let clock = DeadlineClock.standing()
        let context: DriverContext
        let queue: IODispatchQueue
        private let mayEnd = OneShotEvent()
        private let hasEnded = OneShotEvent()
        private var calls: SlowCalls

        /// - Parameters:
        ///   - activity: runs on the queue from now on.
        ///   - isForKernel: the kernel calls on the queue.
        ///   - creates: it does so inside UserCreateTargetForID.
        ///   - usage: what the system says of its thread.
        init(
            _ activity: StaticString, isForKernel: Bool = true, creates: Bool = false,
            usage: (@Sendable (UInt) -> ThreadUsage?)? = nil
        ) {
            context = DriverContext(log: log)
            context.clock = clock
            queue = IODispatchQueue(name: "Watched", context: context, isDefault: isForKernel)
            calls = SlowCalls(
                limitMilliseconds: 50, periodMilliseconds: SlowCallsTests.period, clock: clock, usage: usage)
            let isBusy = OneShotEvent()
            queue.runAsync(activity) { [context, mayEnd, hasEnded] in
                func stay() {
                    isBusy.set()
                    mayEnd.wait()
                }
                if creates { context.waits.creatingTarget(stay) } else { stay() }
                hasEnded.set()
            }
            isBusy.wait()
        }

        deinit {
            mayEnd.set()
            hasEnded.wait()
        }

        /// Looks as often as the watchdog does in that time.
        func look(for milliseconds: UInt64) {
            for _ in 0..<milliseconds / SlowCallsTests.period {
                clock.turn(byMilliseconds: SlowCallsTests.period)
                #expect(calls.look(at: context) == 0)
            }
        }

        /// Looks after so much time.
        /// - Returns: the time that the process is taken not to have run for.
        func lookOnce(after milliseconds: UInt64) -> UInt64 {
            clock.turn(byMilliseconds: milliseconds)
            return calls.look(at: context)
        }

        func rest(after milliseconds: UInt64) {
            clock.turn(byMilliseconds: milliseconds)
            calls.rest()
        }

        var faults: [DriverFault] { log.diagnoses.map(\.fault) }
    }

    @Test(
        "a call is reported once, by its kind, when it has been seen for as long as the limit",
        arguments: [
            ("UserStartController", DriverFault.waitInStartController), ("Stop", .waitInStop),
            ("UserProcessParallelTask", .queueCycle),
        ] as [(StaticString, DriverFault)])
    func limit(activity: StaticString, fault: DriverFault) throws {
        let watched = Watched(activity)
        // The first look is 10 ms after the beginning.
        watched.look(for: 50)
        #expect(watched.faults == [])
        watched.look(for: 10)
        #expect(watched.faults == [fault])
        let diagnosis = try #require(watched.log.diagnoses.first)
        #expect(diagnosis.detail == "\(activity) has not returned for 50 ms and holds Watched:")
        #expect(diagnosis.picture == ["Watched: runs \(activity)"])
        watched.look(for: 1000)
        #expect(watched.log.count(of: fault) == 1)
    }

    @Test("a queue that takes up new calls is not stuck, and one that stops doing so is")
    func turns() {
        let watched = Watched("UserProcessBundledParallelTasks")
        for _ in 0..<10 {
            watched.look(for: 50)
            watched.queue.noteCall()
        }
        #expect(watched.faults == [])
        watched.look(for: 60)
        #expect(watched.faults == [.queueCycle])
    }

    @Test(
        "queues that may be busy for long are left alone",
        arguments: [
            ("UserProcessParallelTask", false, false), ("UserInitializeTargetForID", true, true),
        ] as [(StaticString, Bool, Bool)])
    func exceptions(activity: StaticString, isForKernel: Bool, creates: Bool) {
        let watched = Watched(activity, isForKernel: isForKernel, creates: creates)
        watched.look(for: 1000)
        #expect(watched.faults == [])
    }

    @Test("time in which the process did not run counts for nobody")
    func lostTime() {
        let watched = Watched("Stop")
        watched.look(for: 20)
        // Twice the period is late, and no more.
        #expect(watched.lookOnce(after: 20) == 0)
        #expect(watched.lookOnce(after: 21) == 11)
        #expect(watched.faults == [])
        #expect(watched.lookOnce(after: 5000) == 4990)
        #expect(watched.faults == [.waitInStop])
        #expect(watched.log.diagnoses.first?.detail.hasPrefix("Stop has not returned for 50 ms") == true)
    }

    @Test(
        "time in which the call's thread is ready and has no processor does not count",
        arguments: [(true, 0, false), (true, 5, false), (true, 10, true), (false, 0, true)] as [(Bool, UInt64, Bool)])
    func starved(isReady: Bool, runsMilliseconds: UInt64, isReported: Bool) {
        // In each period of 10 ms it runs for so long.
        let looks = Mutex<UInt64>(0)
        let watched = Watched("UserProcessParallelTask") { _ in
            let look = looks.withLock { count in
                count += 1
                return count
            }
            return ThreadUsage(isReady: isReady, processorMilliseconds: look * runsMilliseconds)
        }
        watched.look(for: 60)
        #expect(watched.faults == (isReported ? [.queueCycle] : []))
        // At last it has had enough.
        watched.look(for: 60)
        #expect(watched.faults == (runsMilliseconds > 0 || isReported ? [.queueCycle] : []))
    }

    @Test("the system says whether a thread of this process is ready, and how long it has run")
    func usage() throws {
        let own = try #require(ThreadUsage(ofThread: currentThreadID()))
        #expect(own.isReady)
        #expect(
            eventually { ThreadUsage(ofThread: currentThreadID())!.processorMilliseconds > own.processorMilliseconds })
        #expect(ThreadUsage(ofThread: 1 << 40) == nil)
        let mayEnd = OneShotEvent()
        defer { mayEnd.set() }
        let id = Mutex<UInt>(0)
        try OSThread(name: "a) R (b") { [mayEnd] in
            id.withLock { $0 = currentThreadID() }
            mayEnd.wait()
        }.detach()
        #expect(eventually { ThreadUsage(ofThread: id.withLock { $0 })?.isReady == false })
        #expect(ThreadUsage(parsing: "1 (x) R 1 2") == nil)
    }

    @Test("time that the watchdog spends on something else is not lost")
    func rest() {
        let watched = Watched("Stop")
        watched.look(for: 10)
        watched.rest(after: 5000)
        #expect(watched.lookOnce(after: 10) == 0)
        #expect(watched.faults == [.waitInStop])
    }
}
