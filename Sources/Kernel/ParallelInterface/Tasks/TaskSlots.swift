import DriverHost
import Platform
import Synchronization

/// The bookkeeping of the task pool: which slots are free, which rows wait for one, which slots wait to be sent
/// and which came back.
///
/// A slot moves free → claimed → queued → with the driver → completed → free, and waits before it is free as long as the
/// device works on its memory. All lists are preallocated rings; each call takes the lock once for a whole batch.
///
/// Threads: any.
package final class TaskSlots: Sendable {
    /// Who has a slot, and what for.
    package enum State: UInt8, BitwiseCopyable {
        case free
        /// Being filled, or waiting to be sent.
        case claimed
        /// The driver owns the slot.
        case withDriver
        /// Passed back; its response waits to be read.
        case completed
        /// Its task timed out and was completed; the driver still owns the slot and may pass it back late.
        case abandoned
        /// Its task has its outcome; the device still works on the task's memory.
        case lingering
    }

    struct Slot: BitwiseCopyable {
        var state = State.free
        var row: UInt32 = 0
        /// When it was filled in, and when it has to be back; monotonic milliseconds, 0 for no limit.
        var filled: UInt64 = 0
        var deadline: UInt64 = 0
        var route = TaskRoute.single
        /// How far the recovery of a task has gone whose time is up.
        var recovery = RecoveryStage.none
        /// Grows with each slot that is sent.
        var sequence: UInt64 = 0
        /// By which of the host's pairs of rings it was sent. Those of one pair reach the driver in order.
        var pair: UInt8 = 0
    }

    /// What has been done about a task whose time is up.
    enum RecoveryStage: UInt8, BitwiseCopyable {
        case none
        /// The device does not work on it; the driver may be about to answer.
        case overdue
        case aborted, unitReset, targetReset
    }

    /// What became of slots that a driver passed back.
    struct Completion {
        /// How many it owned.
        var accepted = 0
        /// The first one that it did not own, and what that slot was instead.
        var refused: (slot: UInt16, state: State?, route: TaskRoute)?
    }

    /// The row of a slot that came back after its task had timed out.
    package static let noRow = UInt32.max

    package let count: Int
    let lock = Lock()
    // SAFETY: all of these are touched only under `lock`, but for `row(of:)`; see there.
    nonisolated(unsafe) let slots: UnsafeMutablePointer<Slot>
    private nonisolated(unsafe) var free: Ring<UInt16>
    nonisolated(unsafe) var waiting: Ring<UInt32>
    // SAFETY: touched only under `lock`.
    nonisolated(unsafe) var queued: Ring<UInt16>
    private nonisolated(unsafe) var completed: Ring<UInt16>
    private nonisolated(unsafe) var lingering: Ring<UInt16>
    /// How many are in that ring.
    private let lingeringCount = Atomic<Int>(0)
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var lastSequence: UInt64 = 0
    /// Nothing is sent any more.
    nonisolated(unsafe) var isClosed = false

    /// - Parameters:
    ///   - count: the size of the pool.
    ///   - rowCount: how many rows could wait at most.
    package init(count: Int, rowCount: Int) {
        self.count = count
        slots = .allocate(capacity: count)
        slots.initialize(repeating: Slot(), count: count)
        free = Ring(minimumCapacity: count)
        waiting = Ring(minimumCapacity: rowCount)
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

    /// What is different whenever a task was sent or has ended.
    struct Pulse: Equatable {
        var lastSequence: UInt64
        var busyCount: Int
    }

    /// - Returns: nil while there are no tasks. A slot that the driver keeps after its task was ended has none.
    func pulse() -> Pulse? {
        lock.withLock {
            let busyCount = (0..<count).count { slots[$0].state != .free && slots[$0].state != .abandoned }
            return busyCount == 0 && waiting.isEmpty ? nil : Pulse(lastSequence: lastSequence, busyCount: busyCount)
        }
    }

    /// The row that a slot serves. Stable from the claim until the slot is released, so its holder needs no lock.
    package func row(of slot: UInt16) -> UInt32 { slots[Int(slot)].row }

    /// Lets rows wait for slots, behind those that wait already, and claims a slot for as many as possible.
    /// - Parameter claimed: room for `count` slots.
    /// - Returns: how many slots were claimed, in the order of their rows; nil, and no row waits, when the pool is
    ///   closed.
    package func claim(for rows: UnsafeBufferPointer<UInt32>, into claimed: UnsafeMutablePointer<UInt16>) -> Int? {
        lock.withLock {
            if isClosed { return nil }
            for row in rows { waiting.append(row) }
            return claimWaiting(into: claimed)
        }
    }

    /// Gives slots back and claims slots for rows that wait.
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
            lingeringCount.add(slots.count, ordering: .releasing)
        }
    }

    /// Whether `takeLingering` would find any: hardly ever. Costs no lock.
    var hasLingeringToTake: Bool { lingeringCount.load(ordering: .acquiring) > 0 }

    /// Whether there are tasks that have their outcome and have not ended, since the device works on their memory.
    var hasLingering: Bool { lock.withLock { (0..<count).contains { slots[$0].state == .lingering } } }

    /// Takes the slots that linger, to see whether the device has left their memory.
    /// - Parameter slots: room for `count`.
    func takeLingering(into slots: UnsafeMutablePointer<UInt16>) -> Int {
        lock.withLock {
            var taken = 0
            while let slot = lingering.popFirst() {
                slots[taken] = slot
                taken += 1
            }
            lingeringCount.subtract(taken, ordering: .relaxed)
            return taken
        }
    }

    /// Queues filled slots for sending, each with its deadline. Returns false, and queues none, when the pool is closed.
    package func enqueue(_ filled: UnsafeBufferPointer<UInt16>, now: UInt64 = 0, deadline: (UInt32) -> UInt64) -> Bool {
        lock.withLock {
            if isClosed { return false }
            for slot in filled {
                slots[Int(slot)].filled = now
                slots[Int(slot)].deadline = deadline(slots[Int(slot)].row)
                queued.append(slot)
            }
            return true
        }
    }

    /// Takes up to `limit` queued slots; they belong to the driver now.
    package func takeQueued(
        into indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, pair: Int = 0
    ) -> Int {
        lock.withLock {
            var taken = 0
            while taken < limit, !isClosed, let slot = queued.popFirst() {
                lastSequence += 1
                slots[Int(slot)].state = .withDriver
                slots[Int(slot)].route = route
                slots[Int(slot)].recovery = .none
                slots[Int(slot)].sequence = lastSequence
                slots[Int(slot)].pair = UInt8(pair)
                indices[taken] = slot
                taken += 1
            }
            return taken
        }
    }

    /// Takes back slots that the driver passes. Slots that it does not own, or has by another route, are left alone.
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
                if state == .abandoned { slots[Int(slot)].row = Self.noRow }
                slots[Int(slot)].state = .completed
                completed.append(slot)
                result.accepted += 1
            }
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

    /// Whether both slots were sent to the driver in an order that it sees, this one first.
    func isEarlier(_ slot: UInt16, than other: UInt16) -> Bool {
        slots[Int(slot)].pair == slots[Int(other)].pair && slots[Int(slot)].sequence < slots[Int(other)].sequence
    }

    /// Calls `body` with each slot that the driver owns.
    func forEachWithDriver(_ body: (UInt16) -> Void) {
        lock.withLock {
            for slot in 0..<count where slots[slot].state == .withDriver { body(UInt16(slot)) }
        }
    }

    /// Takes up to `limit` slots whose responses wait to be read.
    package func takeCompleted(into indices: UnsafeMutablePointer<UInt16>, limit: Int) -> Int {
        lock.withLock {
            var taken = 0
            while taken < limit, let slot = completed.popFirst() {
                indices[taken] = slot
                taken += 1
            }
            return taken
        }
    }

    private func claimWaiting(into claimed: UnsafeMutablePointer<UInt16>) -> Int {
        var taken = 0
        while !waiting.isEmpty, let slot = free.popFirst() {
            slots[Int(slot)].row = waiting.popFirst()!
            slots[Int(slot)].state = .claimed
            claimed[taken] = slot
            taken += 1
        }
        return taken
    }
}
