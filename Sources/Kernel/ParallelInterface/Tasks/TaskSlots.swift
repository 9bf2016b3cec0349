import DriverHost
import Platform
import Synchronization

/// The bookkeeping of the slot pool: the free slots, the tasks that wait for one, the slots to send, and those that
/// came back.
///
/// A slot moves free → claimed → queued → with the driver → completed → free. Before it is free it lingers while the
/// device works on its memory. All lists are preallocated rings; each call takes the lock once for a whole batch.
///
/// Threads: any.
package final class TaskSlots: Sendable {
    /// The states of a slot: its owner, and the reason.
    package enum State: UInt8, BitwiseCopyable {
        case free
        /// Being filled, or waiting to be sent.
        case claimed
        /// The driver owns the slot.
        case withDriver
        /// Passed back. Its response waits to be read.
        case completed
        /// Its task timed out and was completed. The driver still owns the slot and may pass it back late.
        case abandoned
        /// Its task has its outcome, but the device still works on the task's memory.
        case lingering
    }

    struct Slot: BitwiseCopyable {
        var state = State.free
        var taskIndex: TaskIndex = 0
        /// The time of its filling, monotonic milliseconds.
        var filled: UInt64 = 0
        /// The time by which it has to be back, monotonic milliseconds; 0 for no limit.
        var deadline: UInt64 = 0
        var route = TaskRoute.legacy
        /// The last step of recovery that was taken for the task.
        var recovery = RecoveryStep.none
        /// Grows with each slot that is sent.
        var sequence: UInt64 = 0
        /// The slots of one domain reach the driver in the order of their sequence.
        var domain = SequenceDomain.single
    }

    /// The steps of recovery for a task whose time is up.
    enum RecoveryStep: UInt8, BitwiseCopyable {
        case none
        /// The device does not work on it. The driver may be about to answer.
        case overdue
        case aborted, unitReset, targetReset
    }

    /// The result of a call that passed slots back.
    struct Completion {
        /// The number of slots that the driver owned.
        var accepted = 0
        /// The first slot that it did not own, or had by another route. `state` is nil if there is no such slot.
        var refused: (slot: UInt16, state: State?, route: TaskRoute)?
    }

    /// In place of a task's index: the slot came back after its task had timed out.
    package static let noTask = TaskIndex.max

    /// Slots of the pool.
    package let count: Int
    let lock = Lock()
    // SAFETY: all of these are touched only under `lock`, except by `taskIndex(of:)`; see there.
    nonisolated(unsafe) let slots: UnsafeMutablePointer<Slot>
    private nonisolated(unsafe) var free: Ring<UInt16>
    nonisolated(unsafe) var waiting: Ring<TaskIndex>
    // SAFETY: touched only under `lock`.
    nonisolated(unsafe) var queued: Ring<UInt16>
    private nonisolated(unsafe) var completed: Ring<UInt16>
    private nonisolated(unsafe) var lingering: Ring<UInt16>
    /// The numbers of slots in three of the rings. Threads that look for work read them without the lock. A thread that
    /// overlooks a slot loses nothing: whoever adds a slot looks afterwards, or makes another thread look.
    let queuedCount = Atomic<Int>(0)
    private let completedCount = Atomic<Int>(0)
    private let lingeringCount = Atomic<Int>(0)
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var lastSequence: UInt64 = 0
    /// No slot is sent any more.
    nonisolated(unsafe) var isClosed = false

    /// - Parameters:
    ///   - count: slots of the pool.
    ///   - taskCount: the number of tasks that may wait at most.
    package init(count: Int, taskCount: Int) {
        self.count = count
        slots = .allocate(capacity: count)
        slots.initialize(repeating: Slot(), count: count)
        free = Ring(minimumCapacity: count)
        waiting = Ring(minimumCapacity: taskCount)
        queued = Ring(minimumCapacity: count)
        completed = Ring(minimumCapacity: count)
        lingering = Ring(minimumCapacity: count)
        for slot in 0..<count { free.append(UInt16(slot)) }
    }

    deinit {
        slots.deallocate()
        free.deallocate()
        waiting.deallocate()
        queued.deallocate()
        completed.deallocate()
        lingering.deallocate()
    }

    /// A value that changes whenever a task is sent or ends.
    struct Pulse: Equatable {
        var lastSequence: UInt64
        var busyCount: Int
    }

    /// - Returns: nil while there are no tasks. An abandoned slot counts as none.
    func pulse() -> Pulse? {
        lock.withLock {
            let busyCount = (0..<count).count { slots[$0].state != .free && slots[$0].state != .abandoned }
            return busyCount == 0 && waiting.isEmpty ? nil : Pulse(lastSequence: lastSequence, busyCount: busyCount)
        }
    }

    /// The index of a slot's task. Stable from the claim until the slot's release, so its holder needs no lock.
    package func taskIndex(of slot: UInt16) -> TaskIndex { slots[Int(slot)].taskIndex }

    /// Lets tasks wait for slots, behind those that wait already, and claims slots for as many as possible.
    /// - Parameter claimed: room for `count` slots; gets the claimed ones in the order of their tasks.
    /// - Returns: the number of claimed slots; nil if the pool is closed, and then no task waits.
    package func claim(for taskIndices: UnsafeBufferPointer<TaskIndex>, into claimed: UnsafeMutablePointer<UInt16>)
        -> Int?
    {
        lock.withLock {
            if isClosed { return nil }
            for taskIndex in taskIndices { waiting.append(taskIndex) }
            return claimWaiting(into: claimed)
        }
    }

    /// Gives slots back and claims slots for waiting tasks.
    /// - Returns: the number of claimed slots.
    package func release(_ released: UnsafeBufferPointer<UInt16>, into claimed: UnsafeMutablePointer<UInt16>) -> Int {
        lock.withLock {
            for slot in released {
                precondition(slots[Int(slot)].state != .free, "slot \(slot) was released twice")
                slots[Int(slot)].state = .free
                free.append(slot)
            }
            return claimWaiting(into: claimed)
        }
    }

    /// Keeps slots whose tasks have their outcome until the device leaves their memory.
    func linger(_ slots: UnsafeBufferPointer<UInt16>) {
        lock.withLock {
            for slot in slots {
                self.slots[Int(slot)].state = .lingering
                lingering.append(slot)
            }
            lingeringCount.store(lingering.count, ordering: .releasing)
        }
    }

    /// Whether `takeLingering` would find slots, which is rare. Takes no lock.
    var hasLingeringToTake: Bool { lingeringCount.load(ordering: .acquiring) > 0 }

    /// Whether tasks with an outcome have not ended, since the device works on their memory.
    var hasLingering: Bool { lock.withLock { (0..<count).contains { slots[$0].state == .lingering } } }

    /// Takes the lingering slots, to check whether the device has left their memory.
    /// - Parameter slots: room for `count` slots.
    /// - Returns: the number of slots.
    func takeLingering(into slots: UnsafeMutablePointer<UInt16>) -> Int {
        lock.withLock {
            var taken = 0
            while let slot = lingering.popFirst() {
                slots[taken] = slot
                taken += 1
            }
            lingeringCount.store(lingering.count, ordering: .releasing)
            return taken
        }
    }

    /// Queues filled slots for sending.
    /// - Parameters:
    ///   - now: the time, monotonic milliseconds.
    ///   - deadline: gives the deadline of a task by its index, monotonic milliseconds; 0 for none.
    /// - Returns: false if the pool is closed, and then none is queued.
    package func enqueue(_ filled: UnsafeBufferPointer<UInt16>, now: UInt64 = 0, deadline: (TaskIndex) -> UInt64)
        -> Bool
    {
        lock.withLock {
            if isClosed { return false }
            for slot in filled {
                slots[Int(slot)].filled = now
                slots[Int(slot)].deadline = deadline(slots[Int(slot)].taskIndex)
                queued.append(slot)
            }
            queuedCount.store(queued.count, ordering: .releasing)
            return true
        }
    }

    /// Takes up to `limit` queued slots, which belong to the driver from then on. Takes no lock if there is none.
    /// - Returns: the number of slots.
    package func takeQueued(
        into indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, domain: SequenceDomain = .single
    ) -> Int {
        if queuedCount.load(ordering: .acquiring) == 0 { return 0 }
        return lock.withLock {
            var taken = 0
            while taken < limit, !isClosed, let slot = queued.popFirst() {
                lastSequence += 1
                slots[Int(slot)].state = .withDriver
                slots[Int(slot)].route = route
                slots[Int(slot)].recovery = .none
                slots[Int(slot)].sequence = lastSequence
                slots[Int(slot)].domain = domain
                indices[taken] = slot
                taken += 1
            }
            queuedCount.store(queued.count, ordering: .releasing)
            return taken
        }
    }

    /// Takes back slots from the driver. Slots that it does not own, or has by another route, are left alone.
    func complete(_ indices: UnsafePointer<UInt16>, count: Int, route: TaskRoute) -> Completion {
        lock.withLock {
            var result = Completion()
            for index in 0..<count {
                let slot = indices[index]
                guard Int(slot) < self.count else {
                    if result.refused == nil { result.refused = (slot, nil, route) }
                    continue
                }
                let state = slots[Int(slot)].state
                guard state == .withDriver || state == .abandoned, slots[Int(slot)].route == route else {
                    if result.refused == nil { result.refused = (slot, state, slots[Int(slot)].route) }
                    continue
                }
                if state == .abandoned { slots[Int(slot)].taskIndex = Self.noTask }
                slots[Int(slot)].state = .completed
                completed.append(slot)
                result.accepted += 1
            }
            completedCount.store(completed.count, ordering: .releasing)
            return result
        }
    }

    /// Whether the driver owns a slot.
    package func isWithDriver(_ slot: UInt16) -> Bool { lock.withLock { slots[Int(slot)].state == .withDriver } }

    func route(of slot: UInt16) -> TaskRoute { slots[Int(slot)].route }

    /// The slots that the driver has, whether their tasks have ended or not.
    func ownedOrAbandoned() -> [UInt16] {
        lock.withLock {
            (0..<count).filter { slots[$0].state == .withDriver || slots[$0].state == .abandoned }.map { UInt16($0) }
        }
    }

    /// Whether the driver has a slot, or has passed one back whose task may not have ended.
    var hasTasksOfDriver: Bool {
        lock.withLock {
            (0..<count).contains {
                switch slots[$0].state {
                case .withDriver, .abandoned, .completed, .lingering: true
                case .free, .claimed: false
                }
            }
        }
    }

    /// Whether the driver certainly sees a slot's task before another's.
    func isEarlier(_ slot: UInt16, than other: UInt16) -> Bool {
        slots[Int(slot)].domain == slots[Int(other)].domain && slots[Int(slot)].sequence < slots[Int(other)].sequence
    }

    /// Calls `body` with each slot that the driver owns.
    func forEachWithDriver(_ body: (UInt16) -> Void) {
        lock.withLock {
            for slot in 0..<count where slots[slot].state == .withDriver { body(UInt16(slot)) }
        }
    }

    /// Takes up to `limit` slots whose responses wait to be read. Takes no lock if there is none.
    /// - Returns: the number of slots.
    package func takeCompleted(into indices: UnsafeMutablePointer<UInt16>, limit: Int) -> Int {
        if completedCount.load(ordering: .acquiring) == 0 { return 0 }
        return lock.withLock {
            var taken = 0
            while taken < limit, let slot = completed.popFirst() {
                indices[taken] = slot
                taken += 1
            }
            completedCount.store(completed.count, ordering: .releasing)
            return taken
        }
    }

    private func claimWaiting(into claimed: UnsafeMutablePointer<UInt16>) -> Int {
        var taken = 0
        while !waiting.isEmpty, let slot = free.popFirst() {
            slots[Int(slot)].taskIndex = waiting.popFirst()!
            slots[Int(slot)].state = .claimed
            claimed[taken] = slot
            taken += 1
        }
        return taken
    }
}
