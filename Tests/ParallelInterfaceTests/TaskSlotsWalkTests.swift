import DriverHost
import Platform
import TestSupport
import TestTraits
import Testing

@testable import ParallelInterface

/// One thread in every part, in an order that a seed chooses. After each step the pool is looked at as a whole.
@Suite("The task slot pool as a whole", .busy)
struct TaskSlotsWalkTests {
    private static let taskCount = 64

    private struct Walk {
        let pool: TaskSlots
        var random: SeededGenerator
        var idle = (0..<TaskIndex(taskCount)).map { $0 }
        var claimed: [SlotIndex] = []
        private var room: [SlotIndex]

        init(slotCount: Int, seed: UInt64) {
            pool = TaskSlots(count: slotCount, taskCount: taskCount)
            random = SeededGenerator(seed: seed)
            room = Array(repeating: SlotIndex(rawValue: 0), count: slotCount)
        }

        mutating func step() {
            switch random.below(8) {
            case 0: claim()
            case 1: enqueue()
            case 2:
                var numbers = [UInt16](repeating: 0, count: 8)
                _ = pool.takeQueued(into: &numbers, limit: 1 + random.below(8), route: .bundled)
            case 3: passBack()
            case 4: end(pool.takeCompleted(into: &room, limit: 1 + random.below(pool.count)))
            case 5: end(pool.takeLingering(into: &room))
            case 6:
                guard let task = pool.ownedByDriver().randomElement(using: &random) else { return }
                if let taskIndex = pool.abandon(task, mayAbandon: { true }) { idle.append(taskIndex) }
            default:
                let taskIndex = TaskIndex(random.below(taskCount))
                if pool.takeWaiting(taskIndex: taskIndex) {
                    idle.append(taskIndex)
                } else {
                    let count = pool.takeUnsent(taskIndex: taskIndex, into: &room).count
                    release(Array(room[..<count]))
                }
            }
        }

        private mutating func claim() {
            idle.shuffle(using: &random)
            let begun = Array(idle.suffix(random.below(min(idle.count, 6) + 1)))
            idle.removeLast(begun.count)
            let count = begun.withUnsafeBufferPointer { pool.claim(for: $0, into: &room) }!
            claimed += room[..<count]
        }

        private mutating func enqueue() {
            let filled = Array(claimed.suffix(random.below(claimed.count + 1)))
            claimed.removeLast(filled.count)
            _ = filled.withUnsafeBufferPointer { pool.enqueue($0) { _ in 0 } }
        }

        /// The driver names any slots, some of them twice, or by another route.
        private mutating func passBack() {
            let numbers = (0...random.below(6)).map { _ in UInt16(random.below(pool.count + 1)) }
            _ = pool.complete(numbers, count: numbers.count, route: random.below(8) == 0 ? .legacy : .bundled)
        }

        /// Ends the slots in `room`, or lets the device work on for some of them.
        private mutating func end(_ count: Int) {
            let slots = Array(room[..<count])
            let lingering = slots.filter { _ in random.below(4) == 0 }
            lingering.withUnsafeBufferPointer { pool.linger($0) }
            release(slots.filter { !lingering.contains($0) })
        }

        private mutating func release(_ slots: [SlotIndex]) {
            let ended = slots.map { pool.taskIndex(of: $0) }.filter { $0 != TaskSlots.noTask }
            let count = slots.withUnsafeBufferPointer { pool.release($0, into: &room) }
            claimed += room[..<count]
            idle += ended
        }
    }

    @Test("every step leaves each slot in one place, and each task", arguments: [1, 3, 40])
    func walk(slotCount: Int) {
        var walk = Walk(slotCount: slotCount, seed: SeededGenerator.seed)
        for _ in 0..<3000 {
            walk.step()
            walk.pool.checkInvariants()
        }
        #expect(walk.pool.queued.takenCount > 100)
    }
}
