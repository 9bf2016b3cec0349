import Platform

/// The bookkeeping of the task pool: which slots are free, which rows wait for one, which slots wait to be sent
/// and which came back.
///
/// A slot moves free → claimed → queued → with the driver → completed → free. All lists are preallocated rings;
/// each call takes the lock once for a whole batch.
///
/// Threads: any.
package final class TaskSlots: Sendable {
    enum State: UInt8, BitwiseCopyable {
        case free
        /// Being filled, or waiting to be sent.
        case claimed
        /// The driver owns the slot.
        case withDriver
        /// Passed back; its response waits to be read.
        case completed
        /// Its task timed out and was completed; the driver still owns the slot and may pass it back late.
        case abandoned
    }

    struct Slot: BitwiseCopyable {
        var state = State.free
        var row: UInt32 = 0
        /// Monotonic milliseconds; 0 for no limit.
        var deadline: UInt64 = 0
    }

    /// The row of a slot that came back after its task had timed out.
    package static let noRow = UInt32.max

    package let count: Int
    private let lock = Lock()
    // SAFETY: all of these are touched only under `lock`, but for `row(of:)`; see there.
    private nonisolated(unsafe) let slots: UnsafeMutablePointer<Slot>
    private nonisolated(unsafe) var free: Ring<UInt16>
    private nonisolated(unsafe) var waiting: Ring<UInt32>
    private nonisolated(unsafe) var queued: Ring<UInt16>
    private nonisolated(unsafe) var completed: Ring<UInt16>

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
        for slot in 0..<count { free.append(UInt16(slot)) }
    }

    deinit {
        slots.deallocate()
        free.deallocate()
        waiting.deallocate()
        queued.deallocate()
        completed.deallocate()
    }

    /// The row that a slot serves. Stable from the claim until the slot is released, so its holder needs no lock.
    package func row(of slot: UInt16) -> UInt32 { slots[Int(slot)].row }

    /// Lets rows wait for slots, behind those that wait already, and claims a slot for as many as possible.
    /// - Parameter claimed: room for `count` slots.
    /// - Returns: how many slots were claimed, in the order of their rows.
    package func claim(for rows: UnsafeBufferPointer<UInt32>, into claimed: UnsafeMutablePointer<UInt16>) -> Int {
        lock.withLock {
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

    /// Queues filled slots for sending, each with its deadline.
    package func enqueue(_ filled: UnsafeBufferPointer<UInt16>, deadline: (UInt32) -> UInt64) {
        lock.withLock {
            for slot in filled {
                slots[Int(slot)].deadline = deadline(slots[Int(slot)].row)
                queued.append(slot)
            }
        }
    }

    /// Takes up to `limit` queued slots; they belong to the driver now.
    package func takeQueued(into indices: UnsafeMutablePointer<UInt16>, limit: Int) -> Int {
        lock.withLock {
            var taken = 0
            while taken < limit, let slot = queued.popFirst() {
                slots[Int(slot)].state = .withDriver
                indices[taken] = slot
                taken += 1
            }
            return taken
        }
    }

    /// Takes back slots that the driver passes. Slots that it does not own are left alone.
    /// - Returns: how many were its own.
    package func complete(_ indices: UnsafePointer<UInt16>, count: Int) -> Int {
        lock.withLock {
            var accepted = 0
            for index in 0..<count {
                let slot = indices[index]
                guard Int(slot) < self.count else { continue }
                switch slots[Int(slot)].state {
                case .withDriver:
                    slots[Int(slot)].state = .completed
                    completed.append(slot)
                    accepted += 1
                case .abandoned:
                    slots[Int(slot)].state = .completed
                    slots[Int(slot)].row = Self.noRow
                    completed.append(slot)
                    accepted += 1
                case .free, .claimed, .completed:
                    continue
                }
            }
            return accepted
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

    /// Finds tasks whose time is up and which `mayAbandon` allows to end; their slots stay with the driver.
    /// - Returns: how many were found, their slots in `expired` (room for `count`).
    package func abandonExpired(
        now: UInt64, into expired: UnsafeMutablePointer<UInt16>, mayAbandon: (UInt16) -> Bool
    ) -> Int {
        lock.withLock {
            var found = 0
            for slot in 0..<count
            where slots[slot].state == .withDriver && slots[slot].deadline != 0 && slots[slot].deadline < now {
                guard mayAbandon(UInt16(slot)) else { continue }
                slots[slot].state = .abandoned
                expired[found] = UInt16(slot)
                found += 1
            }
            return found
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
