import MemberIO

/// What the outcomes of a step's I/Os call for.
extension StripeOperation {
    /// Notes the outcome of an I/O.
    /// - Parameters:
    ///   - generation: the planner's, now.
    ///   - isCopyRead: the operation reads data that is to be copied to a replacement.
    ///   - isArrayFailed: more members failed than the level survives.
    mutating func note(_ status: MemberStatus, generation: UInt32, isCopyRead: Bool, isArrayFailed: Bool) {
        assert(outstanding > 0, "no I/O of the operation is under way")
        outstanding -= 1
        switch phase {
        case .reading: noteRead(status, generation: generation, isCopyRead: isCopyRead)
        case .computing: break
        case .writing: noteWrite(status, isArrayFailed: isArrayFailed)
        case .mending, .mendingParity: noteMending(status)
        default: preconditionFailure("the operation has no I/O under way")
        }
    }

    private mutating func noteRead(_ result: MemberStatus, generation: UInt32, isCopyRead: Bool) {
        switch result {
        case .done, .unreadable:
            // The member may have arrived since, and not have this data.
            if self.generation != generation { note(.replan) }
            if result == .unreadable { noteBadBlock(isCopyRead: isCopyRead) }
        // A second try would be refused like the first.
        case .refused: status = status.combined(with: .refused)
        case .noSpace, .failed:
            if isCopyRead { isUnreadable = true }
            note(.replan)
        }
    }

    /// Notes that a read met a block that cannot be read. Data that is to be copied is computed instead: the member
    /// that has it is about to be replaced, and need not be healed.
    private mutating func noteBadBlock(isCopyRead: Bool) {
        if isCopyRead {
            isUnreadable = true
            note(.replan)
        } else {
            note(.heal)
        }
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
