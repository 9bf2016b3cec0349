import DriverHost
import Platform
import Synchronization
import TestSupport
import TestTraits
import Testing

@testable import ParallelInterface

/// Threads that send tasks, pass slots back, do so twice, and recover tasks, all at once.
@Suite("The task slot pool under load", .busy)
struct TaskSlotsRaceTests {
    private static let laneCount = 3
    private static let tasksPerLane = 12

    /// The tasks of all threads: each is sent by its lane again and again, and ends once each time.
    private final class Tasks: Sendable {
        // SAFETY: the pointer never changes, and the elements are atomics.
        nonisolated(unsafe) private let areOut: UnsafeMutablePointer<Atomic<Bool>>
        private let count = laneCount * tasksPerLane
        let outCount = Atomic<Int>(0)
        let mistakeCount = Atomic<Int>(0)
        let refusedCount = Atomic<Int>(0)
        let abandonedCount = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)

        init() {
            areOut = .allocate(capacity: count)
            for index in 0..<count { (areOut + index).initialize(to: Atomic(false)) }
        }

        deinit {
            areOut.deinitialize(count: count)
            areOut.deallocate()
        }

        /// Takes the tasks of a lane that are not under way, some of them.
        func begin(lane: Int, _ random: inout SeededGenerator) -> [TaskIndex] {
            let first = lane * tasksPerLane
            let idle = (first..<first + tasksPerLane).filter { !areOut[$0].load(ordering: .acquiring) }
            let begun = idle.prefix(random.below(idle.count + 1))
            for index in begun { areOut[index].store(true, ordering: .relaxed) }
            outCount.add(begun.count, ordering: .relaxed)
            return begun.map { TaskIndex($0) }
        }

        func end(_ taskIndex: TaskIndex) {
            outCount.subtract(1, ordering: .relaxed)
            check(areOut[Int(taskIndex)].exchange(false, ordering: .acquiringAndReleasing))
        }

        var counts: (mistakes: Int, out: Int, refused: Int, abandoned: Int) {
            (
                mistakeCount.load(ordering: .acquiring), outCount.load(ordering: .acquiring),
                refusedCount.load(ordering: .acquiring), abandonedCount.load(ordering: .acquiring)
            )
        }

        func check(_ isRight: Bool) {
            if !isRight { mistakeCount.add(1, ordering: .relaxed) }
        }
    }

    /// A thread with its lane, and the part of the driver that serves it.
    private struct Lane {
        let number: Int
        let pool: TaskSlots
        let tasks: Tasks
        var random: SeededGenerator
        var room: [SlotIndex]
        /// The numbers of slots that the driver has got from this thread.
        var held: [UInt16] = []

        init(_ number: Int, _ pool: TaskSlots, _ tasks: Tasks, seed: UInt64) {
            self.number = number
            self.pool = pool
            self.tasks = tasks
            random = SeededGenerator(seed: seed &+ UInt64(number))
            room = Array(repeating: SlotIndex(rawValue: 0), count: pool.count)
        }

        mutating func run(rounds: Int) {
            for _ in 0..<rounds { turn(mayBegin: true) }
            while tasks.outCount.load(ordering: .relaxed) > 0 { turn(mayBegin: false) }
        }

        private mutating func turn(mayBegin: Bool) {
            if mayBegin {
                let begun = tasks.begin(lane: number, &random)
                let claimed = begun.withUnsafeBufferPointer { pool.claim(for: $0, into: &room) }!
                enqueue(claimed)
            }
            var numbers = [UInt16](repeating: 0, count: 8)
            let sent = pool.takeQueued(
                into: &numbers, limit: 1 + random.below(8), route: .bundled,
                domain: SequenceDomain(rawValue: UInt8(number)))
            held += numbers[..<sent]
            passBack()
            readAnswers()
        }

        private func enqueue(_ count: Int) {
            guard count > 0 else { return }
            tasks.check(room[..<count].withUnsafeBufferPointer { pool.enqueue($0) { _ in 1 } })
        }

        /// Passes some slots back, and lies about others.
        private mutating func passBack() {
            held.shuffle(using: &random)
            let given = random.below(held.count + 1)
            var named = Array(held.suffix(given))
            held.removeLast(given)
            let foreign = random.below(4)
            if foreign == 0, let again = named.first { named.append(again) }
            if foreign == 1 { named.append(UInt16(pool.count + random.below(9))) }
            let completion = pool.complete(named, count: named.count, route: .bundled)
            // Another lie would be a completion of what another thread of the driver has.
            tasks.check(completion.accepted == given)
            if completion.refused != nil { tasks.refusedCount.add(1, ordering: .relaxed) }
        }

        private mutating func readAnswers() {
            var slots = room
            let count = pool.takeCompleted(into: &slots, limit: 1 + random.below(pool.count))
            guard count > 0 else { return }
            let ended = slots[..<count].map { pool.taskIndex(of: $0) }
            let claimed = slots[..<count].withUnsafeBufferPointer { pool.release($0, into: &room) }
            for taskIndex in ended where taskIndex != TaskSlots.noTask { tasks.end(taskIndex) }
            enqueue(claimed)
        }
    }

    /// Recovery: looks at tasks, and takes some from the driver.
    private static func recover(_ pool: TaskSlots, _ tasks: Tasks, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        while !tasks.isOver.load(ordering: .acquiring) {
            for task in pool.ownedByDriver() {
                switch random.below(8) {
                case 0:
                    if let taskIndex = pool.abandon(task, mayAbandon: { true }) {
                        tasks.abandonedCount.add(1, ordering: .relaxed)
                        tasks.end(taskIndex)
                    }
                case 1: pool.setRecovery(task, .overdue, deadline: 1)
                default:
                    let taskIndex = pool.whileWithDriver(task) { pool.taskIndex(of: task.slot) }
                    tasks.check(taskIndex != TaskSlots.noTask)
                }
            }
        }
    }

    @Test("each task ends once, and each slot is free in the end", arguments: [3, 40])
    func race(slotCount: Int) throws {
        let seed = SeededGenerator.seed
        let pool = TaskSlots(count: slotCount, taskCount: 64)
        let tasks = Tasks()
        let runningCount = Atomic<Int>(Self.laneCount)
        let ended = OneShotEvent()
        for number in 0..<Self.laneCount {
            try OSThread(name: "lane") {
                var lane = Lane(number, pool, tasks, seed: seed)
                lane.run(rounds: 5000)
                if runningCount.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { ended.set() }
            }.detach()
        }
        let recovery = OneShotEvent()
        try OSThread(name: "recovery") {
            Self.recover(pool, tasks, seed: seed &+ 99)
            recovery.set()
        }.detach()
        ended.wait()
        tasks.isOver.store(true, ordering: .releasing)
        recovery.wait()
        let counts = tasks.counts
        #expect(counts.mistakes == 0 && counts.out == 0)
        #expect(counts.refused > 0 && counts.abandoned > 0)
        #expect(pool.pulse() == nil)
        pool.checkInvariants()
        // Every slot comes from the queue of free ones, once.
        let all = (0..<UInt32(slotCount)).map { $0 }
        var room = Array(repeating: SlotIndex(rawValue: 0), count: slotCount)
        let free = all.withUnsafeBufferPointer { pool.claim(for: $0, into: &room) }
        let kept = pool.ownedOrAbandoned().count
        #expect(free == slotCount - kept && Set(room[..<(free ?? 0)]).count == free)
    }
}
