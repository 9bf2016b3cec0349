import MemberIO

/// Members that fail, come and are replaced, and what I/O that is under way meanwhile says of them.
extension RAIDPlanner {
    /// A member failed, and the others know of it, durably. I/Os under way to it end with `.failed`. A replacement of that very member has its role now, and is in sync below its boundary; another one is given up.
    package func memberFailed(_ member: Int) {
        switch state {
        case .healthy where geometry.level == .raid0:
            state = .failed
            generation &+= 1
        case .healthy:
            let replacement = recovery
            endReplacement()
            state = .degraded(missing: member)
            guard let replacement, replacement.member == member else { return }
            recovery = replacement
            takeRole(member)
            return
        case .degraded(let missing) where missing != member: state = .failed
        case .degraded where recovery == nil: return
        case .degraded: break
        case .failed: return
        }
        recovery = nil
        generation &+= 1
    }

    /// Lets a member that was missing come back, in sync below the boundary (a multiple of the unit).
    /// - Returns: false when the array has failed meanwhile, or does not miss that member.
    package func beginRecovery(_ recovery: Recovery) -> Bool {
        guard state == .degraded(missing: recovery.member), self.recovery == nil, window.count == 0 else {
            return false
        }
        precondition(recovery.boundary % geometry.unitByteCount == 0)
        self.recovery = recovery
        arrivals[recovery.member] = generation
        return true
    }

    /// Whether a replacement can begin: all members are there, and no I/O is under way to what was at its place before.
    package var canBeginReplacement: Bool {
        state == .healthy && recovery == nil && window.count == 0 && !hasReplacementIO
    }

    /// Whether I/O is under way to the replacement's place; it goes to the member that was there when it began, whatever
    /// that is by now.
    package var hasReplacementIO: Bool { replacementIOCount > 0 }

    /// Lets a member that is at the replacement's place be filled, in sync below the boundary (a multiple of the unit).
    /// `canBeginReplacement` is true.
    package func beginReplacement(_ recovery: Recovery) {
        precondition(canBeginReplacement && recovery.boundary % geometry.unitByteCount == 0)
        self.recovery = recovery
        replacementRole = recovery.member
        logs?.logs[recovery.member].replica = .missing
        arrivals[geometry.replacementPlace] = generation
    }

    /// A replacement is given up, if there is one: nothing goes there any more.
    package func endReplacement() {
        generation &+= 1
        guard replacement != nil else { return }
        recovery = nil
        replacementRole = nil
        arrivals[geometry.replacementPlace] = generation
    }

    /// The recovering member has everything: the array is whole, and a replacement, which has the log too
    /// (`copyLogToReplacement`), has the role. The member with the role is to be put at its place before the planner is
    /// called again; what is under way to the replacement's place still has to find it there.
    /// - Returns: false when that is not so.
    package func endRecovery() -> Bool {
        guard let recovery, recovery.boundary == geometry.memberDataByteCount, state != .failed else { return false }
        if state == .healthy {
            generation &+= 1
            takeRole(recovery.member)
        }
        self.recovery = nil
        state = .healthy
        // The member's bitmap has all bits set since it came.
        bitmap?.changeAllPages()
        return true
    }

    /// The member at the replacement's place has the role from this generation on.
    private func takeRole(_ role: Int) {
        replacementRole = role
        arrivals[role] = generation
        logs?.move(from: geometry.replacementPlace, to: role)
    }

    /// Whether the failure of an I/O says nothing against the member that is at its place now: another one was there when
    /// it was emitted, or it only shows a place that a replacement has to get from the other members.
    package func isOutdated(_ token: UInt64, member: Int) -> Bool {
        let low = Int(UInt32(truncatingIfNeeded: token))
        let arrival = arrivals[member]
        switch Self.kind(of: token) {
        case 0: return operations[low].generation < arrival || isCopyRead(operations[low])
        case Self.healingToken: return operations[low].generation < arrival
        default:
            let age = (generation &- UInt32(truncatingIfNeeded: token >> Self.generationShift)) & 0xFF
            return generation < arrival &+ age
        }
    }

    // MARK: Tokens, and I/O to a replacement

    /// What an I/O belongs to.
    static func kind(of token: UInt64) -> UInt64 {
        token & ~(replacementToken | 0xFF << generationShift | 0xFFFF_FFFF)
    }

    /// The token of an I/O that belongs to no request.
    func token(_ kind: UInt64, member: Int = 0) -> UInt64 {
        kind | UInt64(generation & 0xFF) << Self.generationShift | UInt64(member)
    }

    /// Emits an I/O to the replacement's place.
    func emitToReplacement(_ io: MemberIO, into output: inout PlannerOutput) {
        var io = io
        io.member = UInt8(geometry.replacementPlace)
        io.token |= Self.replacementToken
        output.memberIOs.append(io)
        replacementIOCount += 1
    }

    /// Emits what an operation does to the member with a role for its replacement too, if that has the operation's rows.
    func twin(_ io: MemberIO, of slot: Int32, into output: inout PlannerOutput) {
        let operation = operations + Int(slot)
        guard let replacement, Int(io.member) == replacement.member,
            operation.pointee.memberRange(geometry).upperBound <= replacement.boundary || io.kind != .write
        else { return }
        emitToReplacement(io, into: &output)
        operation.pointee.isTwinned = true
        operation.pointee.outstanding += 1
        if operation.pointee.isRecorded {
            noteRecordedWrite(operation.pointee, member: geometry.replacementPlace)
        }
    }

    /// Whether an operation reads what is to be copied to a replacement.
    func isCopyRead(_ operation: StripeOperation) -> Bool {
        operation.kind == .rebuild && operation.phase == .reading && !operation.isUnreadable && replacement != nil
    }
}
