import Diagnostics
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

@Suite("Waits among queues", .needsCore)
struct WaitGraphTests {
    private func makeQueues(_ count: Int, _ log: DiagnosisLog) -> (DriverContext, [IODispatchQueue]) {
        let context = DriverContext(log: log)
        return (context, (0..<count).map { IODispatchQueue(name: "Queue \($0)", context: context) })
    }

    @Test("a cycle is named and broken within a second", arguments: 1...3)
    func cycle(length: Int) throws {
        let named = OneShotEvent()
        let log = DiagnosisLog { _ in named.set() }
        let (context, queues) = makeQueues(length, log)
        let arrived = Atomic<Int>(0)
        let allArrived = OneShotEvent()
        let finished = (0..<length).map { _ in OneShotEvent() }
        for index in 0..<length {
            let next = queues[(index + 1) % length]
            try OSThread(name: "waiter \(index)") {
                queues[index].DispatchSync {
                    if arrived.add(1, ordering: .acquiringAndReleasing).newValue == length { allArrived.set() }
                    allArrived.wait()
                    next.DispatchSync {}
                }
                finished[index].set()
            }.detach()
        }
        allArrived.wait()
        #expect(named.comes())
        for event in finished { #expect(event.comes()) }
        let diagnosis = try #require(log.diagnoses.first)
        #expect(log.diagnoses.count == 1)
        #expect(diagnosis.fault == .queueCycle)
        for queue in queues { #expect(diagnosis.detail.contains(queue.name)) }
        #expect(diagnosis.picture.count == 2 * length + 1)
        _ = context
    }

    @Test("queues that wait long for each other without a cycle are not blamed")
    func traffic() throws {
        let log = DiagnosisLog { _ in }
        let (context, queues) = makeQueues(5, log)
        let sources = queues.map { $0.addSource("traffic") {} }
        let end = monotonicMilliseconds() + 1500
        let threads = try (0..<6).map { index in
            let done = OneShotEvent()
            try OSThread(name: "traffic \(index)") {
                var count = index
                while monotonicMilliseconds() < end {
                    count += 1
                    Self.walk(queues, from: count % 3, sleeping: count % 40 == 0 ? 260 : 0)
                    queues[count % queues.count].signal(mask: sources[count % queues.count])
                    if count % 50 == 0 { queues[count % 5].DispatchAsync { IOSleep(1) } }
                }
                done.set()
            }.detach()
            return done
        }
        for thread in threads { thread.wait() }
        for queue in queues { queue.DispatchSync {} }
        #expect(log.diagnoses.map(\.summary) == [])
        _ = context
    }

    /// Waits for each later queue from within the one before: always upwards, so never in a cycle.
    private static func walk(_ queues: [IODispatchQueue], from index: Int, sleeping milliseconds: UInt64) {
        guard index < queues.count else {
            if milliseconds > 0 { IOSleep(milliseconds) }
            return
        }
        queues[index].DispatchSync { walk(queues, from: index + 1, sleeping: milliseconds) }
    }
}
