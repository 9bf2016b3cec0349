/// The states of a slot: its owner, and the reason.
package enum SlotState: UInt8, BitwiseCopyable, CaseIterable {
    /// In the queue of free slots.
    case free
    /// The kernel half fills the slot, or takes it back unsent.
    case claimed
    /// Waits to be sent.
    case queued
    /// The driver owns the slot.
    case withDriver
    /// Passed back. Its response waits to be read, or is being read.
    case completed
    /// Its task timed out and was completed. The driver still owns the slot and may pass it back late.
    case abandoned
    /// Its task has its outcome, but the device still works on the task's memory.
    case lingering

    /// The driver may pass the slot back.
    var isOfDriver: Bool { self == .withDriver || self == .abandoned }

    /// Whether a slot in this state may be in that one next.
    func mayBecome(_ next: SlotState) -> Bool {
        switch self {
        case .free: next == .claimed
        case .claimed: next == .queued || next == .lingering || next == .free
        case .queued: next == .withDriver || next == .claimed
        case .withDriver: next == .completed || next == .abandoned
        case .abandoned: next == .completed
        case .completed: next == .lingering || next == .free
        case .lingering: next == .lingering || next == .free
        }
    }
}

/// The steps of recovery for a task whose time is up.
enum RecoveryStep: UInt8, BitwiseCopyable {
    case none
    /// The device does not work on it. The driver may be about to answer.
    case overdue
    case aborted, unitReset, targetReset
}
