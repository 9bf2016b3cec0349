import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

@Suite("Dispatch queues", .blocks)
struct IODispatchQueueTests {
    private func makeQueue() -> IODispatchQueue {
        var queue: IODispatchQueue?
        _ = IODispatchQueue.Create("Test", 0, 0, &queue)
        return queue!
    }

    @Test("work that arrives while the queue runs is left for its runner")
    func leavesWorkToRunner() {
        let queue = makeQueue()
        let order = Mutex<[String]>([])
        let holder = Mutex<UInt32>(0)
        let inner = queue.addSource("test") { order.withLock { $0.append("inner") } }
        let outer = queue.addSource("test") {
            let first = order.withLock { events in
                events.append("outer begins")
                return events.count == 1
            }
            if first { queue.signal(mask: holder.withLock { $0 }) }
            order.withLock { $0.append("outer ends") }
        }
        holder.withLock { $0 = inner }
        queue.signal(mask: outer)
        #expect(order.withLock { $0 } == ["outer begins", "outer ends", "inner"])
    }

    @Test("signals from many threads are never lost and never run side by side")
    func exclusion() throws {
        let queue = makeQueue()
        let pending = Atomic<Int>(0)
        // Not atomic on purpose: the queue is what protects it.
        nonisolated(unsafe) var served = 0
        let source = queue.addSource("test") { served += pending.exchange(0, ordering: .acquiringAndReleasing) }
        let threads = 4
        let perThread = 5000
        let finished = (0..<threads).map { _ in OneShotEvent() }
        for index in 0..<threads {
            try OSThread(name: "signal \(index)") {
                for _ in 0..<perThread {
                    pending.add(1, ordering: .acquiringAndReleasing)
                    queue.signal(mask: source)
                }
                finished[index].set()
            }.detach()
        }
        for event in finished { event.wait() }
        queue.DispatchSync {}
        #expect(served == threads * perThread)
    }

    @Test("a block that waits for its own queue is a trap, not a hang")
    func selfDeadlock() async {
        await #expect(processExitsWith: .failure) {
            var queue: IODispatchQueue?
            _ = IODispatchQueue.Create("Test", 0, 0, &queue)
            queue!.DispatchSync { queue!.DispatchSync {} }
        }
    }

    @Test("knows which thread it runs on")
    func onQueue() {
        let queue = makeQueue()
        #expect(!queue.OnQueue())
        queue.DispatchSync { #expect(queue.OnQueue()) }
        #expect(!queue.OnQueue())
    }
}
