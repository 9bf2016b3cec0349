import Diagnostics
import Platform
import Synchronization
import TestTraits
import Testing

@testable import SCSIControllerDriverKit

/// Waits for what the kernel does while it creates a target. The creating thread looks every 100 ms, by a clock that
/// stands still until the test turns it.
@Suite("Waits for the creation of a target", .blocks)
struct CreationWaitTests {
    private final class Creation: Sendable {
        let log = DiagnosisLog { _ in }
        let clock = DeadlineClock.standing()
        let context: DriverContext
        let queue: IODispatchQueue
        private let answered = OneShotEvent()
        private let ended = OneShotEvent()
        private let outcome = Mutex<WaitGraph.Outcome?>(nil)

        /// Creates a target on a queue of its own.
        /// - Parameter since: when the driver was given the command that the kernel waits for.
        init(since: @escaping @Sendable () -> UInt64?) {
            context = DriverContext(log: log)
            context.clock = clock
            queue = IODispatchQueue(name: "Creating", context: context)
            let begun = OneShotEvent()
            queue.runAsync("CreateTargets") { [self] in
                let outcome = context.waits.creatingTarget {
                    begun.set()
                    return context.waits.wait(
                        for: answered,
                        of: .kernel { KernelWait(purpose: "the completion of INQUIRY", isWithDriverSince: since()) },
                        purpose: "the kernel")
                }
                self.outcome.withLock { $0 = outcome }
                ended.set()
            }
            begun.wait()
            clock.awaitSleepers(1)
        }

        /// Lets the creating thread look at what waits behind it: it names a cycle when it sees it twice.
        func seeTwice() -> [DriverFault] {
            #expect(eventually { queue.hasPendingWork })
            clock.turn(byMilliseconds: 100)
            #expect(log.diagnoses.isEmpty)
            clock.turn(byMilliseconds: 100)
            return log.diagnoses.map(\.fault)
        }

        /// Lets the kernel answer, and says how the wait for that ended.
        func finish() -> WaitGraph.Outcome? {
            answered.set()
            _ = ended.comes()
            return outcome.withLock { $0 }
        }

        func awaitEnd() -> WaitGraph.Outcome? {
            _ = ended.comes()
            return outcome.withLock { $0 }
        }
    }

    /// Leaves a block on a queue, in an interrupt handler.
    private func interrupt(_ context: DriverContext, _ body: @escaping @Sendable () -> Void) {
        let interrupts = IODispatchQueue(name: "Interrupts", context: context)
        interrupts.signal(mask: interrupts.addSource("the interrupt handler") { body() })
    }

    @Test("a block that an interrupt handler left behind the creation is what it waits for")
    func block() {
        let creation = Creation { 0 }
        interrupt(creation.context) { creation.queue.DispatchAsync {} }
        #expect(creation.seeTwice() == [.otherWorkOnAuxiliaryQueue])
        #expect(creation.awaitEnd() == .cycle)
        #expect(
            creation.log.diagnoses.first?.picture == [
                "Creating runs CreateTargets",
                "  └─ waits for the completion of INQUIRY, whose interrupt waits for ─▶ a turn on", "Creating",
            ])
    }

    @Test("a thread of the driver that waits behind the creation is what it waits for")
    func thread() throws {
        let creation = Creation { 0 }
        try OSThread(name: "own") { creation.queue.DispatchSync {} }.detach()
        creation.clock.awaitSleepers(2)
        #expect(creation.seeTwice() == [.otherWorkOnAuxiliaryQueue])
        #expect(creation.awaitEnd() == .cycle)
        #expect(creation.log.diagnoses.count == 1)
    }

    @Test("while the device works, nobody is blamed")
    func device() {
        let creation = Creation { nil }
        interrupt(creation.context) { creation.queue.DispatchAsync {} }
        #expect(creation.seeTwice() == [])
        #expect(creation.finish() == .done)
        #expect(creation.log.diagnoses.isEmpty)
    }

    @Test("the next event that creates targets may wait behind this one")
    func nextEvent() {
        let creation = Creation { 0 }
        interrupt(creation.context) { creation.queue.runAsync("CreateTargets") {} }
        #expect(creation.seeTwice() == [])
        #expect(creation.finish() == .done)
        #expect(creation.log.diagnoses.isEmpty)
    }

    @Test(
        "what the driver's own threads left there before the command was sent is not what it waits for",
        arguments: [UInt64(0), 1])
    func before(milliseconds: UInt64) throws {
        let sent = Mutex<UInt64>(.max)
        let creation = Creation { sent.withLock { $0 } }
        let left = OneShotEvent()
        try OSThread(name: "own") {
            creation.queue.DispatchAsync {}
            left.set()
        }.detach()
        left.wait()
        sent.withLock { $0 = creation.clock.milliseconds + milliseconds }
        if milliseconds == 0 {
            #expect(creation.seeTwice() == [.otherWorkOnAuxiliaryQueue])
            #expect(creation.awaitEnd() == .cycle)
        } else {
            #expect(creation.seeTwice() == [])
            #expect(creation.finish() == .done)
            #expect(creation.log.diagnoses.isEmpty)
        }
    }

    @Test("code that runs elsewhere in the driver may complete the command yet")
    func busy() throws {
        let creation = Creation { 0 }
        let other = IODispatchQueue(name: "Other", context: creation.context)
        let (isBusy, mayEnd) = (OneShotEvent(), OneShotEvent())
        other.DispatchAsync {
            isBusy.set()
            mayEnd.wait()
        }
        isBusy.wait()
        interrupt(creation.context) { creation.queue.DispatchAsync {} }
        #expect(creation.seeTwice() == [])
        mayEnd.set()
        #expect(eventually { other.runnerThread == 0 })
        #expect(creation.seeTwice() == [.otherWorkOnAuxiliaryQueue])
        #expect(creation.awaitEnd() == .cycle)
        #expect(creation.log.diagnoses.count == 1)
    }

    @Test("what follows from a fault is not reported, and what does not is")
    func consequences() {
        let log = DiagnosisLog { _ in }
        log.report(.otherWorkOnAuxiliaryQueue, "a cycle")
        log.report(.taskNeverCompleted, "its task")
        log.report(.responseVersion, "another mistake")
        log.report(.otherWorkOnAuxiliaryQueue, "again")
        #expect(log.diagnoses.map(\.fault) == [.otherWorkOnAuxiliaryQueue, .responseVersion])
        #expect(log.count(of: .taskNeverCompleted) == 0 && log.count(of: .otherWorkOnAuxiliaryQueue) == 2)
    }
}
