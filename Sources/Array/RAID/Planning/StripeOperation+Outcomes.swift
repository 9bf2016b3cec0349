import MemberIO

/// What the outcomes of a step's I/Os call for.
extension StripeOperation {
    /// Notes the outcome of an I/O.
    /// - Parameters:
    ///   - generation: the planner's, now.
    ///   - isReplacing: a member is being replaced.
    ///   - isArrayFailed: more members failed than the level survives.
    mutating func note(_ status: MemberStatus, generation: UInt32, isReplacing: Bool, isArrayFailed: Bool) {
        assert(outstanding > 0, "no I/O of the operation is under way")
        outstanding -= 1
        switch phase {
        case .reading: noteRead(status, generation: generation, isReplacing: isReplacing)
        case .computing: break
        case .writing: noteWrite(status, isArrayFailed: isArrayFailed)
        case .mending, .mendingParity: noteMending(status)
        default: preconditionFailure("the operation has no I/O under way")
        }
    }

    private mutating func noteRead(_ result: MemberStatus, generation: UInt32, isReplacing: Bool) {
        // The member may have arrived since, and not have this data.
        let isOutdated = self.generation != generation
        switch result {
        case .done: if isOutdated { note(.replan) }
        // Data that is to be copied is computed instead: the member that has it is about to be replaced, and need not
        // be healed.
        case .unreadable where !isCopyRead(isReplacing: isReplacing): note(isOutdated ? .replan : .heal)
        case .unreadable, .noSpace, .failed:
            if isCopyRead(isReplacing: isReplacing) { isUnreadable = true }
            note(.replan)
        // A second try would be refused like the first.
        case .refused: status = status.combined(with: .refused)
        }
    }

    /// Whether the operation reads data that is to be copied to a replacement.
    func isCopyRead(isReplacing: Bool) -> Bool {
        isReplacing && kind == .rebuild && phase == .reading && !isUnreadable
    }

    private mutating func noteWrite(_ result: MemberStatus, isArrayFailed: Bool) {
        switch result {
        case .done: break
        case .refused: status = status.combined(with: .refused)
        case .noSpace: status = status.combined(with: .noSpace)
        // The other members make up for the failed one, unless it was one too many.
        case .failed, .unreadable:
            if isArrayFailed || kind.isMaintenance { status = .failed }
        }
    }

    /// A member that failed counts as missing in the next step of mending.
    private mutating func noteMending(_ result: MemberStatus) {
        switch (phase, result) {
        case (.mending, .unreadable), (.mending, .refused), (.mendingParity, .noSpace), (.mendingParity, .refused):
            note(.giveUp)
        default: break
        }
    }
}
