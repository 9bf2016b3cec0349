import Synchronization

/// Recovery's hold on a slot that the driver has. The slot stays with the driver, and its task and memory are what they
/// are, until the hold ends: whoever passes the slot back meanwhile waits.
///
/// A hold ends exactly once, in one of two ways, so it can be neither copied nor forgotten. It is taken and ended under
/// the pool's lock.
struct SlotHold: ~Copyable {
    // SAFETY: a hold lasts for a part of one call of its pool, which owns this memory.
    private let slot: UnsafeMutablePointer<TaskSlots.Slot>
    private let word: SlotWord

    /// Takes a hold. Under the pool's lock.
    /// - Parameter sequence: of the task that is meant; the slot may hold another one by now.
    /// - Returns: nil if the driver does not have the task.
    init?(_ slot: UnsafeMutablePointer<TaskSlots.Slot>, sequence: UInt64) {
        var word = slot.pointee.word.load(ordering: .relaxed)
        while true {
            guard word.state == .withDriver, word.sequence == sequence else { return nil }
            assert(!word.isHeld, "a slot has two holders")
            // An acquire: what the sender has written comes before.
            let (isDone, current) = slot.pointee.word.weakCompareExchange(
                expected: word, desired: word.held, successOrdering: .acquiring, failureOrdering: .relaxed)
            if isDone { break }
            word = current
        }
        self.slot = slot
        self.word = word
    }

    /// Leaves the slot with the driver, with its task.
    /// - Parameters:
    ///   - step: the step of recovery that was taken; nil for none.
    ///   - deadline: the time of the next look, monotonic milliseconds.
    consuming func end(after step: RecoveryStep? = nil, deadline: UInt64? = nil) {
        if let deadline { slot.pointee.deadline.store(deadline, ordering: .relaxed) }
        release(as: step.map { word.after($0) } ?? word)
        discard self
    }

    /// Takes the task from the driver, and leaves the slot with it.
    /// - Returns: the task, which is the caller's now.
    consuming func abandon() -> TaskIndex {
        let taskIndex = slot.pointee.taskIndex.load(ordering: .relaxed)
        assert(taskIndex != TaskSlots.noTask, "a task was taken from the driver twice")
        release(as: word.moved(to: .abandoned))
        discard self
        return taskIndex
    }

    /// A release: whoever takes the slot back sees what the holder has noted.
    private func release(as next: SlotWord) {
        assert(slot.pointee.word.load(ordering: .relaxed) == word.held, "a slot changed while it was held")
        assert(!next.isHeld && next.state.isOfDriver, "a held slot left the driver")
        slot.pointee.word.store(next, ordering: .releasing)
    }

    deinit { precondition(false, "a slot's hold was never ended: nobody could pass it back any more") }
}
