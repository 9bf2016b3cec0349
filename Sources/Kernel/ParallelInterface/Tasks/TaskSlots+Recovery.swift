import Synchronization

/// Tasks that do not come back by themselves.
extension TaskSlots {
    // MARK: Looking for tasks

    /// The task in a slot, if the driver has it.
    private func sent(_ slot: SlotIndex) -> SentTask? {
        let word = word(of: slot)
        guard word.state == .withDriver else { return nil }
        assert(word.sequence > 0, "slot \(slot) is with the driver, and was never sent")
        return SentTask(slot: slot, sequence: word.sequence, recovery: word.recovery)
    }

    /// A task whose time is up; nil if there is none.
    func nextExpired(now: UInt64) -> SentTask? {
        for slot in all {
            guard let task = sent(slot) else { continue }
            // This may be the deadline of the slot's next task. Whatever is done for this one has no effect then.
            let deadline = slots[slot.number].deadline.load(ordering: .relaxed)
            if deadline != 0 && deadline < now { return task }
        }
        return nil
    }

    /// A task by its index; nil if the driver does not have it.
    func sent(taskIndex: TaskIndex) -> SentTask? {
        for slot in all {
            // The acquire of the first look makes the task's index visible; the second look tells whether it is still
            // that of the same task.
            guard let task = sent(slot), self.taskIndex(of: slot) == taskIndex, sent(slot)?.sequence == task.sequence
            else { continue }
            return task
        }
        return nil
    }

    /// Calls `body` with a task's slot if the driver has the task. The slot does not change meanwhile.
    /// - Returns: nil if the driver does not have the task.
    func sent<Result>(taskIndex: TaskIndex, _ body: (SlotIndex) -> Result?) -> Result? {
        sent(taskIndex: taskIndex).flatMap { task in whileWithDriver(task) { body(task.slot) } ?? nil }
    }

    /// The tasks that the driver has, oldest first.
    func ownedByDriver() -> [SentTask] {
        all.compactMap { sent($0) }.sorted { $0.sequence < $1.sequence }
    }

    /// The slots that the driver has, whether their tasks have ended or not.
    func ownedOrAbandoned() -> [SlotIndex] { all.filter { word(of: $0).state.isOfDriver } }

    /// Whether the driver has a slot, or has passed one back whose task may not have ended.
    var hasTasksOfDriver: Bool {
        all.contains {
            switch word(of: $0).state {
            case .withDriver, .abandoned, .completed, .lingering: true
            case .free, .claimed, .queued: false
            }
        }
    }

    /// Whether a slot waits to be sent, or is on its way to the driver.
    var hasUnsent: Bool { all.contains { word(of: $0).state == .queued } }

    /// A value that changes whenever a task is sent or ends.
    struct Pulse: Equatable {
        var sentCount: UInt64
        var busyCount: Int
    }

    /// - Returns: nil while there are no tasks. An abandoned slot counts as none.
    func pulse() -> Pulse? {
        let busyCount = all.count { ![.free, .abandoned].contains(word(of: $0).state) }
        let isIdle = busyCount == 0 && waitingCount.load(ordering: .relaxed) == 0
        return isIdle ? nil : Pulse(sentCount: queued.takenCount, busyCount: busyCount)
    }

    // MARK: Tasks that the driver has

    /// Calls `body` if the driver still has the task. Its slot does not change meanwhile.
    /// - Returns: nil if the driver does not have it.
    func whileWithDriver<Result>(_ task: SentTask, _ body: () -> Result) -> Result? {
        lock.withLock {
            guard let hold = SlotHold(slots + task.slot.number, sequence: task.sequence) else { return nil }
            let result = body()
            hold.end()
            return result
        }
    }

    /// Calls `body` with each of the slots that the driver owns and that `isWanted`. A slot does not change during
    /// `body`; it may during `isWanted`.
    func forEachWithDriver(where isWanted: (SlotIndex) -> Bool, _ body: (SlotIndex) -> Void) {
        // For each call that passes writes back.
        for number in 0..<count where slots[number].word.load(ordering: .acquiring).isIn(.withDriver) {
            let slot = SlotIndex(rawValue: UInt16(truncatingIfNeeded: number))
            guard isWanted(slot), let task = sent(slot) else { continue }
            _ = whileWithDriver(task) { body(slot) }
        }
    }

    /// Sets the step of a task's recovery, and the time of the next look, if the driver still has the task.
    func setRecovery(_ task: SentTask, _ step: RecoveryStep, deadline: UInt64) {
        assert(step.rawValue >= task.recovery.rawValue, "recovery goes back from \(task.recovery) to \(step)")
        assert(deadline != 0, "a task in recovery has no time by which it has to be back")
        lock.withLock {
            guard let hold = SlotHold(slots + task.slot.number, sequence: task.sequence) else { return }
            hold.end(after: step, deadline: deadline)
        }
    }

    /// Sets the step of recovery for all covered tasks that are at an earlier step.
    /// - Parameter covers: whether the step covers a slot's task. The slot does not change meanwhile.
    func setRecoveryOfOverdue(_ step: RecoveryStep, deadline: UInt64, where covers: (SlotIndex) -> Bool) {
        assert(step == .unitReset || step == .targetReset, "\(step) does nothing for other tasks")
        assert(deadline != 0, "a task in recovery has no time by which it has to be back")
        for task in ownedByDriver() where task.recovery != .none && task.recovery.rawValue < step.rawValue {
            lock.withLock {
                guard let hold = SlotHold(slots + task.slot.number, sequence: task.sequence) else { return }
                assert(isWithDriver(task.slot), "slot \(task.slot) left the driver while it was held")
                if covers(task.slot) {
                    hold.end(after: step, deadline: deadline)
                } else {
                    hold.end()
                }
            }
        }
    }

    /// Ends a task that the driver has. The slot stays with the driver.
    /// - Returns: the task's index; nil if the driver has passed the slot back, or `mayAbandon` says no.
    func abandon(_ task: SentTask, mayAbandon: () -> Bool) -> TaskIndex? {
        lock.withLock {
            guard let hold = SlotHold(slots + task.slot.number, sequence: task.sequence) else { return nil }
            guard mayAbandon() else {
                hold.end()
                return nil
            }
            assert(isWithDriver(task.slot), "slot \(task.slot) left the driver while its task was given up")
            return hold.abandon()
        }
    }

    /// Moves the deadlines of all tasks.
    func extendDeadlines(byMilliseconds milliseconds: UInt64) {
        assert(milliseconds > 0, "deadlines were moved by nothing")
        for slot in all where word(of: slot).state != .free {
            let deadline = slots[slot.number].deadline.load(ordering: .relaxed)
            guard deadline != 0 else { continue }
            // If the slot has its next task by now, that one's deadline stays as it is, or is later than it need be.
            _ = slots[slot.number].deadline.compareExchange(
                expected: deadline, desired: deadline + milliseconds, ordering: .relaxed)
        }
    }

    // MARK: Tasks that the driver has not got

    /// Takes a task's slot if the slot waits to be sent. A task has one slot.
    /// - Returns: the number of slots, and whether others still wait: the caller makes a thread send those.
    func takeUnsent(
        taskIndex: TaskIndex, into unsent: UnsafeMutablePointer<SlotIndex>
    ) -> (count: Int, hasOthers: Bool) {
        takeUnsent(into: unsent) { self.taskIndex(of: $0) == taskIndex }
    }

    /// Takes slots whose tasks' time is up while they wait to be sent.
    /// - Returns: the number of slots, and whether others still wait: the caller makes a thread send those.
    func takeExpiredUnsent(
        now: UInt64, into expired: UnsafeMutablePointer<SlotIndex>
    ) -> (count: Int, hasOthers: Bool) {
        takeUnsent(into: expired) {
            let deadline = slots[$0.number].deadline.load(ordering: .relaxed)
            return deadline != 0 && deadline < now
        }
    }

    /// Takes all slots that wait to be sent.
    /// - Parameter unsent: room for `count` slots.
    func takeUnsent(into unsent: UnsafeMutablePointer<SlotIndex>) -> Int {
        takeUnsent(into: unsent) { _ in true }.count
    }

    /// The others leave the queue for a moment, in which a thread that looks for slots to send does not find them.
    private func takeUnsent(
        into taken: UnsafeMutablePointer<SlotIndex>, where isWanted: (SlotIndex) -> Bool
    ) -> (count: Int, hasOthers: Bool) {
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: count) { slots in
            var takenCount = 0
            var leftCount = 0
            for slot in slots[..<queued.take(into: slots.baseAddress!, limit: count).count] {
                assert(word(of: slot).state == .queued, "slot \(slot) waits to be sent, and is not queued")
                if isWanted(slot) {
                    assert(taskIndex(of: slot) != Self.noTask, "slot \(slot) waited to be sent, and has no task")
                    move(slot, to: .claimed)
                    taken[takenCount] = slot
                    takenCount += 1
                } else {
                    slots[leftCount] = slot
                    leftCount += 1
                }
            }
            assert(takenCount + leftCount <= count, "more slots waited to be sent than there are")
            queued.append(UnsafeBufferPointer(rebasing: slots[..<leftCount]))
            return (takenCount, leftCount > 0)
        }
    }

    // MARK: Tasks that wait for a slot

    /// Removes a task from those that wait for a slot.
    /// - Returns: whether it waited.
    func takeWaiting(taskIndex: TaskIndex) -> Bool {
        lock.withLock {
            assert(waiting.count == waitingCount.load(ordering: .relaxed), "tasks that wait for a slot are not counted")
            var wasThere = false
            for _ in 0..<waiting.count {
                let next = waiting.popFirst()!
                assert(!wasThere || next != taskIndex, "task \(taskIndex) waits for two slots")
                if next == taskIndex { wasThere = true } else { waiting.append(next) }
            }
            waitingCount.store(waiting.count, ordering: .relaxed)
            return wasThere
        }
    }

    /// Takes tasks that wait for a slot although none will come back, since the driver has kept them all.
    func takeStarved(into taskIndices: UnsafeMutablePointer<TaskIndex>, limit: Int) -> Int {
        assert(limit > 0, "tasks are taken, and there is no room for them")
        return lock.withLock {
            guard isClosed.load(ordering: .relaxed) || all.allSatisfy({ word(of: $0).state == .abandoned })
            else { return 0 }
            assert(waiting.count == waitingCount.load(ordering: .relaxed), "tasks that wait for a slot are not counted")
            var taken = 0
            while taken < limit, let taskIndex = waiting.popFirst() {
                taskIndices[taken] = taskIndex
                taken += 1
            }
            waitingCount.store(waiting.count, ordering: .relaxed)
            return taken
        }
    }

    /// Closes the pool: no slot is sent any more, and no further task waits.
    func close() {
        lock.withLock { isClosed.store(true, ordering: .relaxed) }
        // See `enqueue`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
}
