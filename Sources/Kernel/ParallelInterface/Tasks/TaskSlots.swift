import DriverHost
import Platform
import Synchronization

/// The bookkeeping of the slot pool: the free slots, the tasks that wait for one, the slots to send, and those that
/// came back.
///
/// A slot moves free → claimed → queued → with the driver → completed → free. Before it is free it lingers while the
/// device works on its memory. Its state is one atomic word (`SlotWord`), and slots in the same state wait in queues
/// without a lock (`IndexQueue`). So a task that finds a free slot takes no lock on its way to the driver and back.
///
/// Who may change a word:
///
/// * The owner of a slot that is claimed, completed or lingering, and who has taken it from a queue, with plain stores.
///   The last owner's changes are visible to it, by the word or by the queue.
/// * Any thread of the driver, for a slot that the driver has: passing it back is an exchange of the whole word, so
///   that one of two calls wins, and none after the task was abandoned passes for its answer.
/// * Recovery, for a slot that the driver has, while it holds it (`SlotHold`): a call that passes the slot back waits
///   for the lock then. Holds are taken and ended under the lock only, and are rare.
///
/// Threads: any.
package final class TaskSlots: Sendable {
    struct Slot: ~Copyable {
        /// A store is a release and a load an acquire wherever the slot's other memory depends on the state.
        let word = Atomic<SlotWord>(.unused)
        /// Written by the slot's owner before it is queued. The others are written likewise, and `deadline` by recovery
        /// too. They need no order of their own: readers check the word before, or before and after.
        let taskIndex = Atomic<TaskIndex>(0)
        /// The time of its filling, monotonic milliseconds.
        let filled = Atomic<UInt64>(0)
        /// The time by which it has to be back, monotonic milliseconds; 0 for no limit.
        let deadline = Atomic<UInt64>(0)
    }

    /// The result of a call that passed slots back.
    struct Completion {
        /// The number of slots that the driver owned.
        var accepted = 0
        /// The first slot that it did not own, or had by another route. `state` is nil if there is no such slot.
        var refused: (slot: UInt16, state: SlotState?, route: TaskRoute)?
    }

    /// In place of a task's index: the slot came back after its task had timed out.
    package static let noTask = TaskIndex.max

    /// Slots of the pool.
    package let count: Int
    private let taskCountMax: Int
    let lock = Lock()
    // SAFETY: the pointer never changes, and the fields are atomics.
    nonisolated(unsafe) let slots: UnsafeMutablePointer<Slot>
    let free: IndexQueue
    let queued: IndexQueue
    let completed: IndexQueue
    let lingering: IndexQueue
    // SAFETY: touched only under `lock`.
    nonisolated(unsafe) var waiting: Ring<TaskIndex>
    /// The number of tasks in `waiting`. Written under `lock`.
    let waitingCount = Atomic<Int>(0)
    /// No slot is sent any more. Written under `lock`.
    let isClosed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - count: slots of the pool.
    ///   - taskCount: the number of tasks that may wait at most.
    package init(count: Int, taskCount: Int) {
        precondition(count > 0 && count <= 1 << 16, "a slot's number has 16 bits; \(count) slots have none")
        self.count = count
        taskCountMax = taskCount
        slots = .allocate(capacity: count)
        free = IndexQueue(indexCount: count)
        queued = IndexQueue(indexCount: count)
        completed = IndexQueue(indexCount: count)
        lingering = IndexQueue(indexCount: count)
        waiting = Ring(minimumCapacity: taskCount)
        for slot in 0..<count { (slots + slot).initialize(to: Slot()) }
        let all = (0..<count).map { SlotIndex(rawValue: UInt16($0)) }
        all.withUnsafeBufferPointer { free.append($0) }
    }

    deinit {
        slots.deinitialize(count: count)
        slots.deallocate()
        waiting.deallocate()
    }

    // MARK: One slot

    /// A slot by the number that a driver names; nil if there is none.
    package func slot(numbered number: UInt16) -> SlotIndex? {
        Int(number) < count ? SlotIndex(rawValue: number) : nil
    }

    var all: some Sequence<SlotIndex> { (0..<count).lazy.map { SlotIndex(rawValue: UInt16($0)) } }

    /// A slot's word. What its last owner had written before is visible.
    func word(of slot: SlotIndex) -> SlotWord {
        assert(slot.number < count, "slot \(slot) is of another pool: this one has \(count)")
        return slots[slot.number].word.load(ordering: .acquiring)
    }

    /// The index of a slot's task. It does not change from the claim until the slot's release, for its owner.
    package func taskIndex(of slot: SlotIndex) -> TaskIndex { slots[slot.number].taskIndex.load(ordering: .relaxed) }

    func route(of slot: SlotIndex) -> TaskRoute { word(of: slot).route }

    /// The time at which a slot was filled, monotonic milliseconds.
    func filledTime(of slot: SlotIndex) -> UInt64 { slots[slot.number].filled.load(ordering: .relaxed) }

    /// Whether the driver owns a slot.
    package func isWithDriver(_ slot: SlotIndex) -> Bool { word(of: slot).isIn(.withDriver) }

    /// Whether the driver certainly sees a slot's task before another's.
    func isEarlier(_ slot: SlotIndex, than other: SlotIndex) -> Bool {
        assert(slot != other, "slot \(slot) is compared with itself")
        let (first, second) = (word(of: slot), word(of: other))
        return first.domain == second.domain && first.sequence < second.sequence
    }

    /// Changes the state of a slot that the caller owns. Nobody else changes its word meanwhile, so a store does.
    func move(_ slot: SlotIndex, to state: SlotState) {
        let old = slots[slot.number].word.load(ordering: .relaxed)
        assert(old.state.mayBecome(state), "slot \(slot) cannot become \(state): it is \(old.state)")
        assert(!old.isHeld && !old.state.isOfDriver, "slot \(slot) is the driver's, and was moved to \(state)")
        slots[slot.number].word.store(old.moved(to: state), ordering: .releasing)
    }

    // MARK: Claims

    /// Lets tasks wait for slots, behind those that wait already, and claims slots for as many as possible.
    /// - Parameter claimed: room for `count` slots; gets the claimed ones in the order of their tasks.
    /// - Returns: the number of claimed slots; nil if the pool is closed, and then no task waits.
    package func claim(
        for taskIndices: UnsafeBufferPointer<TaskIndex>, into claimed: UnsafeMutablePointer<SlotIndex>
    ) -> Int? {
        if isClosed.load(ordering: .relaxed) { return nil }
        assert(taskIndices.count <= taskCountMax, "more tasks want slots than there are")
        var taken = 0
        // A task that another thread lets wait just now need not come first.
        if waitingCount.load(ordering: .relaxed) == 0 {
            taken = free.take(into: claimed, limit: min(taskIndices.count, count)).count
            for index in 0..<taken { claim(claimed[index], for: taskIndices[index]) }
        }
        if taken == taskIndices.count { return taken }
        return lock.withLock {
            if isClosed.load(ordering: .relaxed) {
                let unused = UnsafeBufferPointer(start: claimed, count: taken)
                for slot in unused { move(slot, to: .free) }
                free.append(unused)
                return nil
            }
            for taskIndex in taskIndices[taken...] { waiting.append(taskIndex) }
            assert(waiting.count <= taskCountMax, "\(waiting.count) tasks wait, and there are \(taskCountMax)")
            return taken + claimWaiting(into: claimed + taken)
        }
    }

    private func claim(_ slot: SlotIndex, for taskIndex: TaskIndex) {
        assert(taskIndex != Self.noTask, "slot \(slot) was claimed for no task")
        move(slot, to: .claimed)
        slots[slot.number].taskIndex.store(taskIndex, ordering: .relaxed)
    }

    /// Gives slots back and claims slots for waiting tasks.
    /// - Parameter claimed: room for `count` slots.
    /// - Returns: the number of claimed slots.
    package func release(
        _ released: UnsafeBufferPointer<SlotIndex>, into claimed: UnsafeMutablePointer<SlotIndex>
    ) -> Int {
        assert(released.count <= count, "more slots were released than there are")
        for slot in released {
            let word = slots[slot.number].word.load(ordering: .relaxed)
            // Two tasks would get the memory of one slot.
            precondition(word.mayBecomeFree, "slot \(slot) was released while it was \(word.state)")
            move(slot, to: .free)
        }
        free.append(released)
        // See `claimWaiting`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if waitingCount.load(ordering: .relaxed) == 0 { return 0 }
        return lock.withLock { claimWaiting(into: claimed) }
    }

    /// Claims free slots for waiting tasks. Under `lock`.
    ///
    /// No task waits beside a free slot. This thread says that tasks wait and then looks for slots; `release` gives
    /// slots and then looks for tasks. With a fence between in both, at least one of two threads sees what the other
    /// has done.
    private func claimWaiting(into claimed: UnsafeMutablePointer<SlotIndex>) -> Int {
        waitingCount.store(waiting.count, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let taken = free.take(into: claimed, limit: min(waiting.count, count)).count
        for index in 0..<taken { claim(claimed[index], for: waiting.popFirst()!) }
        waitingCount.store(waiting.count, ordering: .relaxed)
        assert(taken <= count, "more slots were claimed than there are")
        return taken
    }

    // MARK: To the driver

    /// Queues filled slots for sending.
    /// - Parameters:
    ///   - now: the time, monotonic milliseconds.
    ///   - deadline: gives the deadline of a task by its index, monotonic milliseconds; 0 for none.
    /// - Returns: false if the pool is closed. Then the caller takes what is queued with `takeUnsent`: nobody else may.
    package func enqueue(
        _ filled: UnsafeBufferPointer<SlotIndex>, now: UInt64 = 0, deadline: (TaskIndex) -> UInt64
    ) -> Bool {
        assert(filled.count <= count, "more slots were filled than there are")
        for slot in filled {
            assert(taskIndex(of: slot) != Self.noTask, "slot \(slot) is to be sent, and has no task")
            let limit = deadline(taskIndex(of: slot))
            assert(limit == 0 || limit >= now, "slot \(slot) is overdue before it is sent")
            slots[slot.number].filled.store(now, ordering: .relaxed)
            slots[slot.number].deadline.store(limit, ordering: .relaxed)
            move(slot, to: .queued)
        }
        queued.append(filled)
        // With the fence of `close`: either this thread sees that the pool is closed, or the one that has closed it
        // sees the slots.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return !isClosed.load(ordering: .relaxed)
    }

    /// Takes up to `limit` queued slots, which belong to the driver from then on. A slot's place in the queue is its
    /// sequence number. The slots of one domain are taken by one thread at a time.
    /// - Parameter indices: gets the numbers of the slots.
    /// - Returns: the number of slots.
    package func takeQueued(
        into indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, domain: SequenceDomain = .single
    ) -> Int {
        assert(limit > 0, "a call of the driver has no room for slots")
        if isClosed.load(ordering: .relaxed) { return 0 }
        let (count, place) = queued.take(limit: limit) { indices[$0] = $1 }
        for index in 0..<count {
            let entry = slots + Int(indices[index])
            let old = entry.pointee.word.load(ordering: .relaxed)
            assert(old.state == .queued, "slot \(indices[index]) goes to the driver, and was not queued")
            assert(
                old.sequence <= place + UInt64(index),
                "slot \(indices[index]) is sent at place \(place + UInt64(index)), and was before, at \(old.sequence)")
            entry.pointee.word.store(
                SlotWord(sentBy: route, in: domain, sequence: place + UInt64(index) + 1), ordering: .releasing)
        }
        return count
    }

    // MARK: From the driver

    /// Takes back slots from the driver. Slots that it does not own, or has by another route, are left alone.
    /// - Parameter indices: numbers that the driver names.
    func complete(_ indices: UnsafePointer<UInt16>, count: Int, route: TaskRoute) -> Completion {
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: count) { accepted in
            var result = Completion()
            for index in 0..<count {
                guard let slot = slot(numbered: indices[index]) else {
                    if result.refused == nil { result.refused = (indices[index], nil, route) }
                    continue
                }
                if let word = takeBack(slot, route: route) {
                    if result.refused == nil { result.refused = (slot.rawValue, word.state, word.route) }
                    continue
                }
                accepted[result.accepted] = slot
                result.accepted += 1
            }
            assert(
                result.accepted == count || result.refused != nil,
                "of \(count) slots \(result.accepted) were taken back, and none was refused")
            completed.append(UnsafeBufferPointer(rebasing: accepted[..<result.accepted]))
            return result
        }
    }

    /// Takes a slot back from the driver, if the driver has it by this route.
    /// - Returns: nil if the slot is the caller's now; its word if the driver does not have it.
    @inline(__always) private func takeBack(_ slot: SlotIndex, route: TaskRoute) -> SlotWord? {
        let entry = slots + slot.number
        var word = entry.pointee.word.load(ordering: .relaxed)
        while true {
            guard word.isOfDriver(by: route) else { return word }
            if word.isHeld {
                // The hold ends before its holder leaves the lock.
                word = lock.withLock { entry.pointee.word.load(ordering: .relaxed) }
                continue
            }
            assert(word.state.mayBecome(.completed), "slot \(slot) comes back, and is \(word.state)")
            // An acquire, since the holder's notes on the slot come before; and a release, since the driver's answer
            // comes before the slot is seen as completed.
            let (isDone, current) = entry.pointee.word.weakCompareExchange(
                expected: word, desired: word.moved(to: .completed), successOrdering: .acquiringAndReleasing,
                failureOrdering: .relaxed)
            if isDone {
                assert(
                    entry.pointee.taskIndex.load(ordering: .relaxed) != Self.noTask,
                    "slot \(slot) comes back for a task that was given up before")
                if word.isIn(.abandoned) { entry.pointee.taskIndex.store(Self.noTask, ordering: .relaxed) }
                return nil
            }
            word = current
        }
    }

    /// Takes up to `limit` slots whose responses wait to be read.
    /// - Returns: the number of slots.
    package func takeCompleted(into slots: UnsafeMutablePointer<SlotIndex>, limit: Int) -> Int {
        assert(limit > 0, "answers are read, and there is no room for them")
        let count = completed.take(into: slots, limit: limit).count
        for index in 0..<count {
            assert(word(of: slots[index]).state == .completed, "slot \(slots[index]) has no answer to be read")
        }
        return count
    }

    // MARK: Memory that the device has not left

    /// Keeps slots whose tasks have their outcome until the device leaves their memory.
    func linger(_ slots: UnsafeBufferPointer<SlotIndex>) {
        assert(slots.count <= count, "more slots linger than there are")
        for slot in slots { move(slot, to: .lingering) }
        lingering.append(slots)
    }

    /// Whether `takeLingering` would find slots, which is rare.
    var hasLingeringToTake: Bool { !lingering.isEmpty }

    /// Whether tasks with an outcome have not ended, since the device works on their memory.
    var hasLingering: Bool { all.contains { word(of: $0).state == .lingering } }

    /// Takes the lingering slots, to check whether the device has left their memory.
    /// - Parameter slots: room for `count` slots.
    /// - Returns: the number of slots.
    func takeLingering(into slots: UnsafeMutablePointer<SlotIndex>) -> Int {
        let taken = lingering.take(into: slots, limit: count).count
        for index in 0..<taken {
            assert(word(of: slots[index]).state == .lingering, "slot \(slots[index]) lingered, and has another state")
        }
        return taken
    }
}
