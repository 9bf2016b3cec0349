import DriverHost
import Platform

extension TaskSlots {
    /// Asserts what holds whenever no thread is in the pool. Tests ask for it; in a release build, assertions are
    /// nothing.
    func checkInvariants() { SlotInvariants(pool: self).check() }
}

/// What holds of a pool whenever no thread is in it: each slot is in the queue of its state and in no other, each task
/// is in one place, and none waits beside a free slot.
private struct SlotInvariants {
    let pool: TaskSlots

    func check() {
        check(pool.free, has: .free)
        check(pool.queued, has: .queued)
        check(pool.completed, has: .completed)
        check(pool.lingering, has: .lingering)
        assert(pool.all.allSatisfy { !pool.word(of: $0).isHeld }, "a hold has outlasted its holder")
        checkTasks()
        checkSequences()
    }

    /// Asserts that the slots in a state are those in its queue.
    private func check(_ queue: borrowing IndexQueue, has state: SlotState) {
        var slots = [SlotIndex](repeating: SlotIndex(rawValue: 0), count: pool.count)
        let queuedCount = slots.withUnsafeMutableBufferPointer {
            queue.take(into: $0.baseAddress!, limit: pool.count).count
        }
        let inQueue = slots[..<queuedCount]
        inQueue.withUnsafeBufferPointer { queue.append($0) }
        assert(Set(inQueue).count == queuedCount, "a slot is in the queue of those that are \(state) twice")
        assert(queue.isEmpty == (queuedCount == 0), "the queue of slots that are \(state) has a gap")
        let inState = pool.all.filter { pool.word(of: $0).state == state }
        assert(Set(inQueue) == Set(inState), "the queue has \(inQueue), and the slots \(inState) are \(state)")
    }

    /// Asserts that each task has one slot or waits for one.
    private func checkTasks() {
        let atWork = pool.all.filter { ![.free, .abandoned].contains(pool.word(of: $0).state) }
        let owned = atWork.map { pool.taskIndex(of: $0) }.filter { $0 != TaskSlots.noTask }
        pool.lock.withLock {
            var waitingTasks: [TaskIndex] = []
            for _ in 0..<pool.waiting.count {
                let next = pool.waiting.popFirst()!
                waitingTasks.append(next)
                pool.waiting.append(next)
            }
            assert(waitingTasks.count == pool.waitingCount.load(ordering: .relaxed), "tasks that wait are not counted")
            let tasks = owned + waitingTasks
            assert(Set(tasks).count == tasks.count, "a task has two slots, or waits for one beside its own")
            assert(
                waitingTasks.isEmpty || pool.isClosed.load(ordering: .relaxed) || pool.free.isEmpty,
                "a task waits beside a free slot")
        }
    }

    /// Asserts that slots were sent at different places of the queue, which were taken from it.
    private func checkSequences() {
        let sent = pool.ownedByDriver()
        assert(Set(sent.map(\.sequence)).count == sent.count, "two slots were sent at the same place")
        assert(
            sent.allSatisfy {
                $0.sequence <= pool.queued.takenCount && pool.taskIndex(of: $0.slot) != TaskSlots.noTask
            },
            "a slot is with the driver that was not sent, or has no task")
    }
}
