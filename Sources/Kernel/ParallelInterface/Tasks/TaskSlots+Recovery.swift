/// Tasks that do not come back by themselves.
extension TaskSlots {
    /// A task that the driver has. Its slot may be passed back and reused at any moment, which changes the sequence
    /// number.
    struct Sent: BitwiseCopyable {
        var slot: UInt16
        var sequence: UInt64
        var recovery: RecoveryStep
    }

    /// A task whose time is up; nil if there is none.
    func nextExpired(now: UInt64) -> Sent? {
        lock.withLock {
            for slot in 0..<count
            where slots[slot].state == .withDriver && slots[slot].deadline != 0 && slots[slot].deadline < now {
                return sent(slot)
            }
            return nil
        }
    }

    /// Calls `body` with a task's slot if the driver has the task. The slot does not change meanwhile.
    /// - Returns: nil if the driver does not have the task.
    func sent<Result>(taskIndex: TaskIndex, _ body: (UInt16) -> Result?) -> Result? {
        lock.withLock {
            (0..<count).first { slots[$0].state == .withDriver && slots[$0].taskIndex == taskIndex }.flatMap {
                body(UInt16($0))
            }
        }
    }

    /// A task by its index; nil if the driver does not have it.
    func sent(taskIndex: TaskIndex) -> Sent? {
        lock.withLock {
            (0..<count).first { slots[$0].state == .withDriver && slots[$0].taskIndex == taskIndex }.map { sent($0) }
        }
    }

    /// Takes a task's slot if the slot waits to be sent.
    func takeUnsent(taskIndex: TaskIndex) -> UInt16? {
        var slot: UInt16 = 0
        // A task has one slot.
        return takeUnsent(into: &slot) { slots[Int($0)].taskIndex == taskIndex } == 0 ? nil : slot
    }

    /// Removes a task from those that wait for a slot.
    /// - Returns: whether it waited.
    func takeWaiting(taskIndex: TaskIndex) -> Bool {
        lock.withLock {
            var wasThere = false
            for _ in 0..<waiting.count {
                let next = waiting.popFirst()!
                if next == taskIndex { wasThere = true } else { waiting.append(next) }
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

    /// Calls `body` if the driver still has the task. Its slot does not change meanwhile.
    /// - Returns: nil if the driver does not have it.
    func whileWithDriver<Result>(_ task: Sent, _ body: () -> Result) -> Result? {
        lock.withLock { isWithDriver(task) ? body() : nil }
    }

    /// Sets the step of a task's recovery, and the time of the next look, if the driver still has the task.
    func setRecovery(_ task: Sent, _ step: RecoveryStep, deadline: UInt64) {
        lock.withLock {
            guard isWithDriver(task) else { return }
            slots[Int(task.slot)].recovery = step
            slots[Int(task.slot)].deadline = deadline
        }
    }

    /// Sets the step of recovery for all covered tasks that are at an earlier step.
    /// - Parameter covers: whether the step covers a slot's task. The slot does not change meanwhile.
    func setRecoveryOfOverdue(_ step: RecoveryStep, deadline: UInt64, where covers: (UInt16) -> Bool) {
        lock.withLock {
            for slot in 0..<count
            where slots[slot].state == .withDriver && slots[slot].recovery != .none
                && slots[slot].recovery.rawValue < step.rawValue && covers(UInt16(slot))
            {
                slots[slot].recovery = step
                slots[slot].deadline = deadline
            }
        }
    }

    /// Ends a task that the driver has. The slot stays with the driver.
    /// - Returns: the task's index; nil if the driver has passed the slot back, or `mayAbandon` says no.
    func abandon(_ task: Sent, mayAbandon: () -> Bool) -> TaskIndex? {
        lock.withLock {
            guard isWithDriver(task), mayAbandon() else { return nil }
            slots[Int(task.slot)].state = .abandoned
            return slots[Int(task.slot)].taskIndex
        }
    }

    /// Moves the deadlines of all tasks.
    func extendDeadlines(byMilliseconds milliseconds: UInt64) {
        lock.withLock {
            for slot in 0..<count where slots[slot].state != .free && slots[slot].deadline != 0 {
                slots[slot].deadline += milliseconds
            }
        }
    }

    /// Takes slots whose tasks' time is up while they wait to be sent.
    func takeExpiredUnsent(now: UInt64, into expired: UnsafeMutablePointer<UInt16>) -> Int {
        takeUnsent(into: expired) { slots[Int($0)].deadline != 0 && slots[Int($0)].deadline < now }
    }

    /// Takes tasks that wait for a slot although none will come back, since the driver has kept them all.
    func takeStarved(into taskIndices: UnsafeMutablePointer<TaskIndex>, limit: Int) -> Int {
        lock.withLock {
            guard isClosed || (0..<count).allSatisfy({ slots[$0].state == .abandoned }) else { return 0 }
            var taken = 0
            while taken < limit, let taskIndex = waiting.popFirst() {
                taskIndices[taken] = taskIndex
                taken += 1
            }
            return taken
        }
    }

    /// Closes the pool: no slot is sent any more, and no further task waits.
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
            queuedCount.store(queued.count, ordering: .releasing)
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
