import Diagnostics
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

/// Waits for what the kernel does while it creates a target.
@Suite("Waits for the creation of a target", .needsCore)
struct CreationWaitTests {
    private final class Creation: Sendable {
        let log: DiagnosisLog
        let named = OneShotEvent()
        let context: DriverContext
        let queue: IODispatchQueue
        private let answered = OneShotEvent()
        private let ended = OneShotEvent()
        private let outcome = Mutex<WaitGraph.Outcome?>(nil)

        /// Creates a target on a queue of its own.
        /// - Parameter since: when the driver was given the command that the kernel waits for.
        init(since: @escaping @Sendable () -> UInt64?) {
            let named = named
            log = DiagnosisLog { _ in named.set() }
            context = DriverContext(log: log)
            queue = IODispatchQueue(name: "Creating", context: context)
            let begun = OneShotEvent()
            queue.runAsync("HandleAsyncEvent") { [self] in
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

    /// Some looks at the graph.
    private func pass() { IOSleep(450) }

    /// Leaves a block on a queue, in an interrupt handler.
    private func interrupt(_ context: DriverContext, _ body: @escaping @Sendable () -> Void) {
        let interrupts = IODispatchQueue(name: "Interrupts", context: context)
        interrupts.signal(mask: interrupts.addSource("the interrupt handler") { body() })
    }

    @Test("a block that an interrupt handler left behind the creation is what it waits for")
    func block() {
        let creation = Creation { 0 }
        interrupt(creation.context) { creation.queue.DispatchAsync {} }
        #expect(creation.named.comes())
        #expect(creation.awaitEnd() == .cycle)
        #expect(creation.log.diagnoses.map(\.fault) == [.otherWorkOnAuxiliaryQueue])
        #expect(
            creation.log.diagnoses.first?.picture == [
                "Creating runs HandleAsyncEvent",
                "  └─ waits for the completion of INQUIRY, whose interrupt waits for ─▶ a turn on", "Creating",
            ])
    }

    @Test("a thread of the driver that waits behind the creation is what it waits for")
    func thread() throws {
        let creation = Creation { 0 }
        try OSThread(name: "own") { creation.queue.DispatchSync {} }.detach()
        #expect(creation.named.comes())
        #expect(creation.awaitEnd() == .cycle)
        #expect(creation.log.diagnoses.map(\.fault) == [.otherWorkOnAuxiliaryQueue])
    }

    @Test("while the device works, nobody is blamed")
    func device() {
        let creation = Creation { nil }
        interrupt(creation.context) { creation.queue.DispatchAsync {} }
        pass()
        #expect(creation.finish() == .done)
        #expect(creation.log.diagnoses.isEmpty)
    }

    @Test("the next event that creates targets may wait behind this one")
    func nextEvent() {
        let creation = Creation { 0 }
        interrupt(creation.context) { creation.queue.runAsync("HandleAsyncEvent") {} }
        // So may blocks that were left there before the command was sent.
        pass()
        #expect(creation.finish() == .done)
        #expect(creation.log.diagnoses.isEmpty)
    }

    @Test("what the driver's own threads left there before the command was sent is not what it waits for")
    func before() throws {
        let sent = Mutex<UInt64>(.max)
        let creation = Creation { sent.withLock { $0 } }
        let left = OneShotEvent()
        try OSThread(name: "own") {
            creation.queue.DispatchAsync {}
            left.set()
        }.detach()
        left.wait()
        sent.withLock { $0 = monotonicMilliseconds() + 1 }
        pass()
        #expect(creation.finish() == .done)
        #expect(creation.log.diagnoses.isEmpty)
    }

    @Test("code that runs elsewhere in the driver may complete the command yet")
    func busy() throws {
        let creation = Creation { 0 }
        let other = IODispatchQueue(name: "Other", context: creation.context)
        let mayEnd = OneShotEvent()
        other.DispatchAsync { mayEnd.wait() }
        interrupt(creation.context) { creation.queue.DispatchAsync {} }
        pass()
        #expect(creation.log.diagnoses.isEmpty)
        mayEnd.set()
        #expect(creation.awaitEnd() == .cycle)
        #expect(creation.log.diagnoses.map(\.fault) == [.otherWorkOnAuxiliaryQueue])
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
