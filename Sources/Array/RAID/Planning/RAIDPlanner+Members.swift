import MemberIO

/// Members that fail, come and are replaced, and how the outcome of I/O that is under way meanwhile is judged.
extension RAIDPlanner {
    /// Notes that a member failed; the other members' superblocks say so durably. I/Os under way to it end with
    /// `.failed`. A replacement of this very member has its role now, and is in sync below its boundary. Another
    /// replacement is given up.
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

    /// Lets a missing member come back, in sync below the boundary (a multiple of the unit).
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

    /// Whether a replacement can begin: all members are there, and no I/O is under way to an earlier member at its
    /// place.
    package var canBeginReplacement: Bool {
        state == .healthy && recovery == nil && window.count == 0 && !hasReplacementIO
    }

    /// Whether I/O is under way to the replacement's place. It goes to the member that was there when it began, which
    /// may have a role by now.
    package var hasReplacementIO: Bool { replacementIOCount > 0 }

    /// Begins to fill the member at the replacement's place, which is in sync below the boundary (a multiple of the
    /// unit). `canBeginReplacement` is true.
    package func beginReplacement(_ recovery: Recovery) {
        precondition(canBeginReplacement && recovery.boundary % geometry.unitByteCount == 0)
        self.recovery = recovery
        replacementRole = recovery.member
        logs?.logs[recovery.member].replica = .missing
        arrivals[geometry.replacementPlace] = generation
    }

    /// Gives up a replacement, if there is one: nothing is written there any more.
    package func endReplacement() {
        generation &+= 1
        guard replacement != nil else { return }
        recovery = nil
        replacementRole = nil
        arrivals[geometry.replacementPlace] = generation
    }

    /// Ends a complete recovery: the array is whole. A replacement, which has the log too (`copyLogToReplacement`), has
    /// the role. The caller puts that member at the role's place before it calls the planner again; I/O that is under
    /// way to the replacement's place still has to find it there.
    /// - Returns: false when no recovery is complete, or the array has failed.
    package func endRecovery() -> Bool {
        guard let recovery, recovery.boundary == geometry.memberDataByteCount, state != .failed else { return false }
        if state == .healthy {
            generation &+= 1
            takeRole(recovery.member)
        }
        self.recovery = nil
        state = .healthy
        // The bits on the new member have all been set since it came.
        bitmap?.changeAllPages()
        return true
    }

    /// Gives a role to the member at the replacement's place, from this generation on.
    private func takeRole(_ role: Int) {
        replacementRole = role
        arrivals[role] = generation
        logs?.move(from: geometry.replacementPlace, to: role)
    }

    /// Whether the failure of an I/O says nothing against the member that is at its place now: another member was there
    /// when the I/O was emitted, or the I/O only read data for a replacement, which the other members can supply.
    package func isOutdated(_ token: PlannerToken, member: Int) -> Bool {
        let arrival = arrivals[member]
        switch token.kind {
        case .operation:
            let operation = operations[Int(token.operation)]
            return operation.generation < arrival || isCopyRead(operation)
        case .healing: return operations[Int(token.operation)].generation < arrival
        // A RAID 0 array's members stay.
        case .request: return false
        case .flushRound, .logWrite, .logFlush, .bitmapWrite, .bitmapFlush:
            return generation < arrival &+ token.age(in: generation)
        }
    }

    // MARK: Tokens, and I/O to a replacement

    /// The token of an I/O that begins now and belongs to the array.
    func token(_ kind: PlannerToken.Kind, place: Int = 0) -> PlannerToken {
        .array(kind, place: place, generation: generation)
    }

    /// Emits an I/O to the replacement's place.
    func emitToReplacement(_ io: MemberIO, into output: inout PlannerOutput) {
        var io = io
        io.member = UInt8(geometry.replacementPlace)
        io.token = io.plannerToken.toReplacement.rawValue
        output.memberIOs.append(io)
        replacementIOCount += 1
    }

    /// Repeats an operation's write for a replacement of the member it goes to: data below the boundary, zeros
    /// everywhere.
    func mirrorToReplacement(_ io: MemberIO, of index: Int32, into output: inout PlannerOutput) {
        let operation = operations + Int(index)
        guard let replacement, Int(io.member) == replacement.member,
            operation.pointee.memberRange(geometry).upperBound <= replacement.boundary || io.kind != .write
        else { return }
        emitToReplacement(io, into: &output)
        operation.pointee.writesToReplacement = true
        operation.pointee.outstanding += 1
        if operation.pointee.recordOffset != nil {
            noteRecordedWrite(operation.pointee, member: geometry.replacementPlace)
        }
    }

    /// Whether an operation reads data that is to be copied to a replacement.
    func isCopyRead(_ operation: StripeOperation) -> Bool {
        operation.kind == .rebuild && operation.phase == .reading && !operation.isUnreadable && replacement != nil
    }
}
