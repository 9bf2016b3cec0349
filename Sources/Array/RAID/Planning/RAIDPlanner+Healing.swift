import MDFormat
import MemberIO

/// Heals blocks that a member cannot read while the others are there. The operation that met one locks the blocks that
/// it covers and goes through them. A block that one member cannot read is computed from the others, written to that
/// member durably, and read again from what the member lies on. Then the operation begins anew.
///
/// Linux md does the same (raid5.c: R5_ReadError, R5_ReWrite): a member fails when a block that was rewritten still
/// cannot be read. Without redundancy nothing can be computed. Then the operation fails and the member stays, as in an
/// array of md whose members list their bad blocks.
extension RAIDPlanner {
    /// The most that is computed and written at a time: the pages of md's stripes, and what disks lose at a time.
    static let healingByteCountMax = 4096
    /// How many times an operation goes through its blocks before a member that still cannot read them fails.
    static let healingRoundMax: UInt8 = 3

    /// Notes that a read met a block that cannot be read. Data that is to be copied is computed instead: the member
    /// that has it is about to be replaced, and need not be healed.
    func noteBadBlock(_ index: OperationIndex) {
        let operation = operations + index
        assert(operation.pointee.phase == .reading, "a block is found bad that nobody read")
        if isCopyRead(operation.pointee) {
            operation.pointee.isUnreadable = true
            operation.pointee.note(.replan)
        } else {
            operation.pointee.note(.heal)
        }
    }

    /// Begins to heal after an operation's reads, some of which met blocks that cannot be read. Without redundancy, or
    /// after too many rounds, the operation fails.
    func startHealing(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.verdict == .heal && operation.pointee.outstanding == 0, "no block is to be healed")
        guard missing(for: operation.pointee) == nil, operation.pointee.healing.rounds < Self.healingRoundMax else {
            return end(index, .failed)
        }
        operation.pointee.healing.rounds += 1
        operation.pointee.healing.isIncomplete = false
        if operation.pointee.lock.isIndexed && operation.pointee.coversBlocks(geometry) {
            return start(index, into: &output)
        }
        // A client's read has no lock, and a small write locks a part of a block.
        if operation.pointee.lock.isIndexed { unlock(index, into: &output) }
        operation.pointee.lock.coversBlocks = true
        begin(index, into: &output)
    }

    /// Goes through the blocks of an operation that has locked them.
    func heal(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        precondition(operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0, "healing needs a lock")
        assert(
            operation.pointee.coversBlocks(geometry) || operation.pointee.lock.coversBlocks,
            "a part of a block is locked")
        operation.pointee.healing.chunkOffset = operation.pointee.lockedOffsets.lowerBound
        probe(index, into: &output)
    }

    /// Reads the next block from all members. The operation begins anew behind the last block, and without redundancy:
    /// a member may have failed while it waited for its lock.
    private func probe(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "the last block is not done")
        guard state != .failed, missing(for: operation.pointee) == nil,
            operation.pointee.healing.chunkOffset < operation.pointee.chunkOffsetEnd
        else {
            operation.pointee.clearVerdict()
            return start(index, into: &output)
        }
        operation.pointee.move(to: .probing)
        operation.pointee.generation = members.generation
        operation.pointee.healing.badMembers = 0
        for member in geometry.roles { emitHealing(index, .read, member: member, into: &output) }
    }

    /// Computes and writes the block that one member could not read.
    private func rewrite(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let bad = Role(index: operation.pointee.healing.badMembers.trailingZeroBitCount)
        assert(
            operation.pointee.healing.badMembers.nonzeroBitCount == 1, "a block is computed that the others do not tell"
        )
        let firstSource = output.paritySources.count
        for member in geometry.roles where member != bad {
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.pointee.scratch, member: member)))
        }
        output.computeParity(
            scratch.block(operation.pointee.scratch, member: bad),
            byteCount: operation.pointee.healingByteCount(geometry),
            from: firstSource)
        operation.pointee.move(to: .rewriting)
        emitHealing(index, .durableWrite, member: bad, into: &output)
    }

    private func emitHealing(
        _ index: OperationIndex, _ kind: MemberIO.Kind, member: Role, into output: inout PlannerOutput
    ) {
        let operation = operations + index
        assert(operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0, "healing needs a lock")
        assert(
            kind == .read || operation.pointee.healing.badMembers == 1 << UInt64(member.index),
            "a good block is rewritten")
        output.memberIOs.append(
            MemberIO(
                kind: kind, place: Place(member),
                byteOffset: geometry.memberByteOffset(
                    stripe: operation.pointee.stripe, chunkOffset: UInt64(operation.pointee.healing.chunkOffset)),
                byteCount: operation.pointee.healingByteCount(geometry),
                memory: scratch.block(operation.pointee.scratch, member: member),
                token: .healing(index, role: member)))
        operation.pointee.outstanding += 1
    }

    /// Takes the outcome of an I/O of `heal`.
    func completeHealingIO(
        _ index: OperationIndex, member: Role, _ status: MemberStatus, into output: inout PlannerOutput
    ) {
        let operation = operations + index
        assert(operation.pointee.outstanding > 0, "no I/O of healing is under way")
        operation.pointee.outstanding -= 1
        if operation.pointee.generation != members.generation { operation.pointee.note(.replan) }
        if operation.pointee.phase == .probing && status != .done {
            operation.pointee.healing.badMembers |= 1 << UInt64(member.index)
        }
        guard operation.pointee.outstanding == 0 else { return }
        if operation.pointee.verdict == .replan { return replan(index, into: &output) }
        switch operation.pointee.phase {
        case .probing where operation.pointee.healing.badMembers == 0: break
        case .probing where operation.pointee.healing.badMembers.nonzeroBitCount == 1:
            return rewrite(index, into: &output)
        case .rewriting where status == .done:
            operation.pointee.move(to: .verifying)
            return emitHealing(index, .reread, member: member, into: &output)
        case .verifying where status == .done: noteCorrected(index, member, into: &output)
        default: operation.pointee.healing.isIncomplete = true
        }
        operation.pointee.healing.chunkOffset += UInt32(operation.pointee.healingByteCount(geometry))
        probe(index, into: &output)
    }

    private func noteCorrected(_ index: OperationIndex, _ member: Role, into output: inout PlannerOutput) {
        let operation = operations[index]
        assert(operation.phase == .verifying, "a block counts as healed that was not read again")
        correctedReads[member] += 1
        output.correctedReads.append(
            CorrectedRead(
                member: member,
                byteOffset: geometry.memberByteOffset(
                    stripe: operation.stripe, chunkOffset: UInt64(operation.healing.chunkOffset)),
                count: correctedReads[member]))
    }

    /// Whether an I/O with this outcome makes its member fail, unless it has failed already.
    package func isFailure(_ token: PlannerToken, at place: Place, _ status: MemberStatus) -> Bool {
        switch status {
        case .done, .noSpace, .refused: return false
        case .failed:
            guard !isOutdated(token, at: place) else { return false }
            // Without another copy, a rewrite that fails leaves the block as it was. Failing the member would lose
            // more.
            return members.canDoWithout(place) || token.kind != .healing
                || operations[token.operation].phase == .probing
        case .unreadable:
            guard members.canDoWithout(place), !isOutdated(token, at: place) else { return false }
            switch token.kind {
            case .healing: return operations[token.operation].phase == .verifying
            case .operation:
                let operation = operations[token.operation]
                return operation.phase == .reading && operation.healing.rounds == Self.healingRoundMax
                    && !operation.healing.isIncomplete
            default: return false
            }
        }
    }
}

/// A block that a member could not read, and can read since it was rewritten.
package struct CorrectedRead: BitwiseCopyable, Sendable {
    /// The member's role.
    package var member: Role
    /// In the member file, data offset included.
    package var byteOffset: UInt64
    /// How many of this member's blocks have been corrected, with this one.
    package var count: UInt64
}
