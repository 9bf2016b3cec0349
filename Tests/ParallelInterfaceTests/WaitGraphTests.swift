import Diagnostics
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

/// The threads look every 100 ms, by a clock that stands still until the test turns it.
@Suite("Waits among queues", .blocks)
struct WaitGraphTests {
    private let log = DiagnosisLog { _ in }
    private let clock = DeadlineClock.standing()
    private let context: DriverContext

    init() {
        context = DriverContext(log: log)
        context.clock = clock
    }

    private func makeQueues(_ count: Int) -> [IODispatchQueue] {
        (0..<count).map { IODispatchQueue(name: "Queue \($0)", context: context) }
    }

    @Test("a cycle is named when it is seen twice, and broken", arguments: 1...3)
    func cycle(length: Int) throws {
        let queues = makeQueues(length)
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
        // A queue that waits for itself does not get so far as to sleep.
        if length > 1 {
            clock.awaitSleepers(length)
            clock.turn(byMilliseconds: 100)
            #expect(log.diagnoses.isEmpty)
            clock.turn(byMilliseconds: 100)
            #expect(log.diagnoses.count == 1)
            clock.turn(byMilliseconds: 100)
        }
        for event in finished { #expect(event.comes()) }
        let diagnosis = try #require(log.diagnoses.first)
        #expect(log.diagnoses.count == 1)
        #expect(diagnosis.fault == .queueCycle)
        for queue in queues { #expect(diagnosis.detail.contains(queue.name)) }
        #expect(diagnosis.picture.count == 2 * length + 1)
    }

    @Test("a wait for a turn ends with its limit, at the next look", arguments: [(1, 100), (100, 100), (250, 300)])
    func limit(milliseconds: Int, end: UInt64) throws {
        let queue = makeQueues(1)[0]
        let (isTaken, mayEnd, isOver) = (OneShotEvent(), OneShotEvent(), OneShotEvent())
        queue.runAsync("long") {
            isTaken.set()
            mayEnd.wait()
        }
        isTaken.wait()
        let hasRun = Atomic<Bool>(false)
        try OSThread(name: "waiter") {
            let ran = queue.runSync("late", purpose: "a turn", limitMilliseconds: milliseconds) {}
            hasRun.store(ran, ordering: .relaxed)
            isOver.set()
        }.detach()
        clock.awaitSleepers(1)
        clock.turn(byMilliseconds: end - 1)
        #expect(clock.sleeperCount == 1)
        clock.turn(byMilliseconds: 1)
        #expect(clock.sleeperCount == 0)
        #expect(isOver.comes() && !hasRun.load(ordering: .relaxed))
        #expect(log.diagnoses.isEmpty)
        mayEnd.set()
        queue.DispatchSync {}
    }

    @Test("queues that wait long for each other without a cycle are not blamed")
    func traffic() throws {
        let queues = makeQueues(5)
        let sources = queues.map { $0.addSource("traffic") {} }
        let threads = try (0..<6).map { index in
            let done = OneShotEvent()
            try OSThread(name: "traffic \(index)") {
                for count in index + 1...index + Self.roundCount {
                    Self.walk(queues, from: count % 3, sleeping: count % 40 == 0 ? 260 : 0)
                    queues[count % queues.count].signal(mask: sources[count % queues.count])
                    if count % 50 == 0 { queues[count % 5].DispatchAsync { IOSleep(1) } }
                }
                done.set()
            }.detach()
            return done
        }
        while !threads.allSatisfy(\.isSet) { clock.turn(byMilliseconds: 20) }
        for queue in queues {
            // What was left there may still sleep.
            let isIdle = OneShotEvent()
            queue.DispatchAsync { isIdle.set() }
            while !isIdle.wait(milliseconds: 1) { clock.turn(byMilliseconds: 20) }
        }
        #expect(log.diagnoses.map(\.summary) == [])
    }

    private static let roundCount = 200

    /// Waits for each later queue from within the one before: always upwards, so never in a cycle.
    private static func walk(_ queues: [IODispatchQueue], from index: Int, sleeping milliseconds: UInt64) {
        guard index < queues.count else {
            if milliseconds > 0 { IOSleep(milliseconds) }
            return
        }
        queues[index].DispatchSync { walk(queues, from: index + 1, sleeping: milliseconds) }
    }
}
