import MDFormat
import MemberIO

/// Mends parity after writes that found no space although their group had it reserved: the file system cannot promise
/// space, or the member is another server's. Some of the operation's writes are done then; others are not, or in part.
///
/// Before the stripe range is unlocked, the columns that were to be written are read, and the parity of what they hold
/// is written. If that finds no space either, parity is in doubt until a repair.
struct Mending {
    private let io: OperationIO
    /// Whether parity may be wrong somewhere, since it could not be mended.
    private(set) var doubt = ParityDoubt()

    init(_ io: OperationIO) { self.io = io }

    /// Begins to mend after a pass some of whose writes had no space, or were refused.
    mutating func begin(
        _ index: OperationIndex, _ members: PlannedMembers, into output: inout PlannerOutput
    ) -> NextStep {
        let operation = io.operations + index
        assert(operation.pointee.outstanding == 0, "writes are under way")
        assert(operation.pointee.status == .noSpace || operation.pointee.status == .refused, "no write is to be mended")
        guard members.state != .failed else { return .end(.failed) }
        switch operation.pointee.kind {
        case .write, .writeZeroes: break
        case .zeroStripes:
            noteDoubt(into: &output)
            return .end(.noSpace)
        // Maintenance that could not write leaves what was there.
        default: return .end(.noSpace)
        }
        let (stripe, missing) = (operation.pointee.stripe, members.missing(for: operation.pointee))
        guard io.geometry.parityMember(stripe: stripe) != missing else { return .end(.noSpace) }
        operation.pointee.move(to: .mending)
        operation.pointee.generation = members.generation
        for column in operation.pointee.passColumns {
            let member = io.geometry.member(stripe: stripe, column: column)
            if member != missing { io.emitScratchRead(index, member: member, into: &output) }
        }
        // Only the missing column was written, so parity stands for its old data or its new; either is right.
        return operation.pointee.outstanding == 0 ? .end(.noSpace) : .wait
    }

    /// Takes the next step when all I/Os of a step of mending have come back.
    mutating func finish(
        _ index: OperationIndex, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) -> NextStep {
        let operation = io.operations + index
        assert(operation.pointee.outstanding == 0, "a step of mending is under way")
        let parity = io.geometry.parityMember(stripe: operation.pointee.stripe)
        if members.state == .failed || parity == members.missing(for: operation.pointee) { return .end(.noSpace) }
        if operation.pointee.verdict == .giveUp {
            noteDoubt(into: &output)
            return .end(.noSpace)
        }
        // After a member's failure, the outcomes say nothing of the members that are there now.
        let isOutdated = operation.pointee.generation != members.generation
        if operation.pointee.phase == .mending {
            if isOutdated { return begin(index, members, into: &output) }
            emitParity(operation.pointee, parity, members, into: &output)
            emitForReplacement(index, &members, into: &output)
        } else if !isOutdated {
            return .end(.noSpace)
        }
        operation.pointee.move(to: .mendingParity)
        operation.pointee.generation = members.generation
        let memory = io.scratch.block(operation.pointee.scratch, member: parity)
        io.emitWrite(index, .write, member: parity, memory: memory, to: &members, into: &output)
        return .wait
    }

    /// Computes the parity that was to be written, with each column's new data exchanged for what the column holds. A
    /// column whose member is missing keeps its new data, since only parity holds it.
    private func emitParity(
        _ operation: StripeOperation, _ parity: Role, _ members: PlannedMembers, into output: inout PlannerOutput
    ) {
        let missing = members.missing(for: operation)
        assert(parity != missing, "parity is computed that nobody keeps")
        let destination = io.scratch.block(operation.scratch, member: parity)
        let firstSource = output.paritySources.count
        if operation.kind == .write || operation.passColumns.count < io.geometry.columnCount {
            output.paritySources.append(UnsafeRawPointer(destination))
        } else {
            // For zeros in all columns no parity was computed.
            output.paritySources.append(io.zeroes)
        }
        for column in operation.passColumns {
            let member = io.geometry.member(stripe: operation.stripe, column: column)
            guard member != missing else { continue }
            output.paritySources.append(UnsafeRawPointer(io.newData(operation, column)))
            output.paritySources.append(UnsafeRawPointer(io.scratch.block(operation.scratch, member: member)))
        }
        output.computeParity(destination, byteCount: operation.columnByteCount, from: firstSource)
    }

    /// Writes again what the member that is being replaced holds, so that its replacement gets the same.
    private func emitForReplacement(
        _ index: OperationIndex, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        let operation = io.operations[index]
        guard let member = members.replacement?.member else { return }
        for column in operation.passColumns
        where io.geometry.member(stripe: operation.stripe, column: column) == member {
            let memory = io.scratch.block(operation.scratch, member: member)
            io.emitWrite(index, .write, member: member, memory: memory, to: &members, into: &output)
        }
    }

    private mutating func noteDoubt(into output: inout PlannerOutput) {
        doubt.note()
        output.hasDoubt = true
    }

    /// Notes that a repair of the whole array is done.
    /// - Parameter start: `doubt.count` when the repair began.
    mutating func repaired(since start: UInt64) { doubt.repaired(since: start) }
}
