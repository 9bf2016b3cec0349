/// Tasks that do not come back by themselves.
extension TaskSlots {
    /// A task that the driver has. Its slot may be passed back, and be used for another task, at any moment; the
    /// sequence number tells.
    struct Sent: BitwiseCopyable {
        var slot: UInt16
        var sequence: UInt64
        var recovery: RecoveryStage
    }

    /// A task whose time is up, or nil when there is none.
    func nextExpired(now: UInt64) -> Sent? {
        lock.withLock {
            for slot in 0..<count
            where slots[slot].state == .withDriver && slots[slot].deadline != 0 && slots[slot].deadline < now {
                return sent(slot)
            }
            return nil
        }
    }

    /// Calls `body` with the slot of a row's task if the driver has it; the slot stays as it is meanwhile. Nil if not.
    func sent<Result>(row: UInt32, _ body: (UInt16) -> Result?) -> Result? {
        lock.withLock {
            (0..<count).first { slots[$0].state == .withDriver && slots[$0].row == row }.flatMap { body(UInt16($0)) }
        }
    }

    /// A row's task, if the driver has it.
    func sent(row: UInt32) -> Sent? {
        lock.withLock {
            (0..<count).first { slots[$0].state == .withDriver && slots[$0].row == row }.map { sent($0) }
        }
    }

    /// Takes a row's slot, if it waits to be sent.
    func takeUnsent(row: UInt32) -> UInt16? {
        var slot: UInt16 = 0
        // A row has one slot.
        return takeUnsent(into: &slot) { slots[Int($0)].row == row } == 0 ? nil : slot
    }

    /// Takes a row that waits for a slot.
    /// - Returns: whether it waited.
    func takeWaiting(row: UInt32) -> Bool {
        lock.withLock {
            var wasThere = false
            for _ in 0..<waiting.count {
                let next = waiting.popFirst()!
                if next == row { wasThere = true } else { waiting.append(next) }
            }
            return wasThere
        }
    }

    /// The tasks that the driver has, oldest first.
    func ownedByDriver() -> [Sent] {
        lock.withLock {
            (0..<count).filter { slots[$0].state == .withDriver }.map { sent($0) }
                .sorted { $0.sequence < $1.sequence }
        }
    }

    /// Calls `body` if the driver still has the task; its slot stays as it is meanwhile. Nil if it has not.
    func whileWithDriver<Result>(_ task: Sent, _ body: () -> Result) -> Result? {
        lock.withLock { isWithDriver(task) ? body() : nil }
    }

    /// Notes the next step of a task's recovery, and when to look again.
    func setRecovery(_ task: Sent, _ stage: RecoveryStage, deadline: UInt64) {
        lock.withLock {
            guard isWithDriver(task) else { return }
            slots[Int(task.slot)].recovery = stage
            slots[Int(task.slot)].deadline = deadline
        }
    }

    /// Notes a step for all tasks that a step before it was taken for.
    /// - Parameter covers: whether a slot's task is among them; its command stays as it is meanwhile.
    func setRecoveryOfOverdue(_ stage: RecoveryStage, deadline: UInt64, where covers: (UInt16) -> Bool) {
        lock.withLock {
            for slot in 0..<count
            where slots[slot].state == .withDriver && slots[slot].recovery != .none
                && slots[slot].recovery.rawValue < stage.rawValue && covers(UInt16(slot))
            {
                slots[slot].recovery = stage
                slots[slot].deadline = deadline
            }
        }
    }

    /// Ends a task that the driver has; the slot stays with the driver.
    /// - Returns: the task's row, or nil when the driver has passed the slot back or `mayAbandon` says no.
    func abandon(_ task: Sent, mayAbandon: () -> Bool) -> UInt32? {
        lock.withLock {
            guard isWithDriver(task), mayAbandon() else { return nil }
            slots[Int(task.slot)].state = .abandoned
            return slots[Int(task.slot)].row
        }
    }

    /// Gives all tasks more time.
    func extendDeadlines(byMilliseconds milliseconds: UInt64) {
        lock.withLock {
            for slot in 0..<count where slots[slot].state != .free && slots[slot].deadline != 0 {
                slots[slot].deadline += milliseconds
            }
        }
    }

    /// Takes slots that wait to be sent although their tasks' time is up.
    func takeExpiredUnsent(now: UInt64, into expired: UnsafeMutablePointer<UInt16>) -> Int {
        takeUnsent(into: expired) { slots[Int($0)].deadline != 0 && slots[Int($0)].deadline < now }
    }

    /// Takes rows that wait although no slot will ever come back: the driver has kept them all.
    func takeStarved(into rows: UnsafeMutablePointer<UInt32>, limit: Int) -> Int {
        lock.withLock {
            guard isClosed || (0..<count).allSatisfy({ slots[$0].state == .abandoned }) else { return 0 }
            var taken = 0
            while taken < limit, let row = waiting.popFirst() {
                rows[taken] = row
                taken += 1
            }
            return taken
        }
    }

    /// From now on nothing is sent, and nothing waits that did not wait before.
    func close() { lock.withLock { isClosed = true } }

    /// Takes all slots that wait to be sent.
    /// - Parameter unsent: room for `count` slots.
    func takeUnsent(into unsent: UnsafeMutablePointer<UInt16>) -> Int { takeUnsent(into: unsent) { _ in true } }

    private func takeUnsent(into taken: UnsafeMutablePointer<UInt16>, where isWanted: (UInt16) -> Bool) -> Int {
        lock.withLock {
            var takenCount = 0
            for _ in 0..<queued.count {
                let slot = queued.popFirst()!
                if isWanted(slot) {
                    taken[takenCount] = slot
                    takenCount += 1
                } else {
                    queued.append(slot)
                }
            }
            return takenCount
        }
    }

    private func isWithDriver(_ task: Sent) -> Bool {
        slots[Int(task.slot)].state == .withDriver && slots[Int(task.slot)].sequence == task.sequence
    }

    private func sent(_ slot: Int) -> Sent {
        Sent(slot: UInt16(slot), sequence: slots[slot].sequence, recovery: slots[slot].recovery)
    }
}
