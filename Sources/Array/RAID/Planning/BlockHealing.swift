import MDFormat
import MemberIO

/// Heals blocks that a member cannot read while the others are there. The operation that met one locks the blocks that
/// it covers and goes through them. A block that one member cannot read is computed from the others, written to that
/// member durably, and read again from what the member lies on. Then the operation begins anew.
///
/// Linux md does the same (raid5.c: R5_ReadError, R5_ReWrite): a member fails when a block that was rewritten still
/// cannot be read. Without redundancy nothing can be computed. Then the operation fails and the member stays, as in an
/// array of md whose members list their bad blocks.
struct BlockHealing {
    /// The most that is computed and written at a time: the pages of md's stripes, and what disks lose at a time.
    static let blockByteCountMax = 4096
    /// How many times an operation goes through its blocks before a member that still cannot read them fails.
    static let roundMax: UInt8 = 3

    private let io: OperationIO
    /// By role: the blocks that could not be read, and were computed and written anew.
    private(set) var correctedReads: [UInt64]

    init(_ io: OperationIO) {
        self.io = io
        correctedReads = Array(repeating: 0, count: io.geometry.memberCount)
    }

    /// Begins a round after an operation's reads, some of which met blocks that cannot be read. Without redundancy, or
    /// after too many rounds, the operation fails.
    func begin(_ index: OperationIndex, _ members: PlannedMembers) -> NextStep {
        let operation = io.operations + index
        assert(operation.pointee.verdict == .heal && operation.pointee.outstanding == 0, "no block is to be healed")
        guard members.missing(for: operation.pointee) == nil, operation.pointee.healing.rounds < Self.roundMax else {
            return .end(.failed)
        }
        operation.pointee.healing.rounds += 1
        operation.pointee.healing.isIncomplete = false
        // A client's read has no lock, and a small write locks a part of a block.
        let locksBlocks = operation.pointee.lock.isIndexed && operation.pointee.coversBlocks(io.geometry)
        return locksBlocks ? .start : .lockBlocks
    }

    /// Goes through the blocks of an operation that has locked them.
    func heal(_ index: OperationIndex, _ members: PlannedMembers, into output: inout PlannerOutput) -> NextStep {
        let operation = io.operations + index
        precondition(operation.pointee.hasStripeRange, "healing needs a lock")
        assert(
            operation.pointee.coversBlocks(io.geometry) || operation.pointee.lock.coversBlocks,
            "a part of a block is locked")
        operation.pointee.healing.chunkOffset = operation.pointee.lockedOffsets.lowerBound
        return probe(index, members, into: &output)
    }

    /// Reads the next block from all members. The operation begins anew behind the last block, and without redundancy:
    /// a member may have failed while it waited for its lock.
    private func probe(
        _ index: OperationIndex, _ members: PlannedMembers, into output: inout PlannerOutput
    ) -> NextStep {
        let operation = io.operations + index
        assert(operation.pointee.outstanding == 0, "the last block is not done")
        guard members.state != .failed, members.missing(for: operation.pointee) == nil,
            operation.pointee.healing.chunkOffset < operation.pointee.chunkOffsetEnd
        else {
            operation.pointee.clearVerdict()
            return .start
        }
        operation.pointee.move(to: .probing)
        operation.pointee.generation = members.generation
        operation.pointee.healing.badMembers = 0
        for member in io.geometry.roles { emit(index, .read, member: member, into: &output) }
        return .wait
    }

    /// Computes and writes the block that one member could not read.
    private func rewrite(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = io.operations + index
        assert(
            operation.pointee.healing.badMembers.nonzeroBitCount == 1, "a block is computed that the others do not tell"
        )
        let bad = Role(index: operation.pointee.healing.badMembers.trailingZeroBitCount)
        let firstSource = output.paritySources.count
        io.appendBlocks(of: operation.pointee, without: bad, to: &output)
        output.computeParity(
            io.scratch.block(operation.pointee.scratch, member: bad), byteCount: byteCount(operation.pointee),
            from: firstSource)
        operation.pointee.move(to: .rewriting)
        emit(index, .durableWrite, member: bad, into: &output)
    }

    private func emit(
        _ index: OperationIndex, _ kind: MemberIO.Kind, member: Role, into output: inout PlannerOutput
    ) {
        let operation = io.operations + index
        assert(operation.pointee.hasStripeRange, "healing needs a lock")
        assert(
            kind == .read || operation.pointee.healing.badMembers == 1 << UInt64(member.index),
            "a good block is rewritten")
        output.memberIOs.append(
            MemberIO(
                kind: kind, place: Place(member), byteOffset: byteOffset(operation.pointee),
                byteCount: byteCount(operation.pointee),
                memory: io.scratch.block(operation.pointee.scratch, member: member),
                token: .healing(index, role: member)))
        operation.pointee.outstanding += 1
    }

    /// Where the block that is being healed begins in a member file.
    private func byteOffset(_ operation: StripeOperation) -> UInt64 {
        io.geometry.memberByteOffset(stripe: operation.stripe, chunkOffset: UInt64(operation.healing.chunkOffset))
    }

    /// Bytes of the block that is being healed.
    private func byteCount(_ operation: StripeOperation) -> Int {
        min(Self.blockByteCountMax, Int(io.geometry.chunkByteCount) - Int(operation.healing.chunkOffset))
    }

    /// Takes the outcome of an I/O of healing.
    mutating func complete(
        _ index: OperationIndex, member: Role, _ status: MemberStatus, _ members: PlannedMembers,
        into output: inout PlannerOutput
    ) -> NextStep {
        let operation = io.operations + index
        assert(operation.pointee.outstanding > 0, "no I/O of healing is under way")
        operation.pointee.outstanding -= 1
        if operation.pointee.generation != members.generation { operation.pointee.note(.replan) }
        if operation.pointee.phase == .probing && status != .done {
            operation.pointee.healing.badMembers |= 1 << UInt64(member.index)
        }
        guard operation.pointee.outstanding == 0 else { return .wait }
        if operation.pointee.verdict == .replan {
            operation.pointee.clearVerdict()
            return .begin
        }
        switch operation.pointee.phase {
        case .probing where operation.pointee.healing.badMembers == 0: break
        case .probing where operation.pointee.healing.badMembers.nonzeroBitCount == 1:
            rewrite(index, into: &output)
            return .wait
        case .rewriting where status == .done:
            operation.pointee.move(to: .verifying)
            emit(index, .reread, member: member, into: &output)
            return .wait
        case .verifying where status == .done: noteCorrected(operation.pointee, member, into: &output)
        default: operation.pointee.healing.isIncomplete = true
        }
        operation.pointee.healing.chunkOffset += UInt32(byteCount(operation.pointee))
        return probe(index, members, into: &output)
    }

    private mutating func noteCorrected(
        _ operation: StripeOperation, _ member: Role, into output: inout PlannerOutput
    ) {
        assert(operation.phase == .verifying, "a block counts as healed that was not read again")
        correctedReads[member] += 1
        output.correctedReads.append(
            CorrectedRead(member: member, byteOffset: byteOffset(operation), count: correctedReads[member]))
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
