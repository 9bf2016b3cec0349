import MDFormat
import MemberIO

/// Mends parity after writes that found no space although their group had it reserved: the file system cannot promise
/// space, or the member is another server's. Some of the operation's writes are done then; others are not, or in part.
///
/// Before the stripe range is unlocked, the columns that were to be written are read, and the parity of what they hold
/// is written. If that finds no space either, parity is in doubt until a repair.
extension RAIDPlanner {
    /// Begins to mend after a pass some of whose writes had no space, or were refused.
    func startMending(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "writes are under way")
        assert(operation.pointee.status == .noSpace || operation.pointee.status == .refused, "no write is to be mended")
        guard state != .failed else { return end(index, .failed) }
        switch operation.pointee.kind {
        case .write, .writeZeroes: break
        case .zeroStripes:
            noteDoubt(into: &output)
            return end(index, .noSpace)
        // Maintenance that could not write leaves what was there.
        default: return end(index, .noSpace)
        }
        let (stripe, missing) = (operation.pointee.stripe, missing(for: operation.pointee))
        guard geometry.parityMember(stripe: stripe) != missing else { return end(index, .noSpace) }
        operation.pointee.move(to: .mending)
        operation.pointee.generation = members.generation
        for column in operation.pointee.passColumns {
            let member = geometry.member(stripe: stripe, column: column)
            if member != missing { emitScratchRead(index, member: member, into: &output) }
        }
        // Only the missing column was written, so parity stands for its old data or its new; either is right.
        if operation.pointee.outstanding == 0 { end(index, .noSpace) }
    }

    /// Takes the next step when all I/Os of a step of mending have come back.
    func finishMending(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "a step of mending is under way")
        let parity = geometry.parityMember(stripe: operation.pointee.stripe)
        if state == .failed || parity == missing(for: operation.pointee) { return end(index, .noSpace) }
        if operation.pointee.verdict == .giveUp {
            noteDoubt(into: &output)
            return end(index, .noSpace)
        }
        // After a member's failure, the outcomes say nothing of the members that are there now.
        let isOutdated = operation.pointee.generation != members.generation
        if operation.pointee.phase == .mending {
            if isOutdated { return startMending(index, into: &output) }
            emitMendedParity(operation.pointee, parity, into: &output)
            emitForReplacement(index, into: &output)
        } else if !isOutdated {
            return end(index, .noSpace)
        }
        operation.pointee.move(to: .mendingParity)
        operation.pointee.generation = members.generation
        emit(
            index, .write, member: parity, memory: scratch.block(operation.pointee.scratch, member: parity),
            into: &output)
    }

    /// Computes the parity that was to be written, with each column's new data exchanged for what the column holds. A
    /// column whose member is missing keeps its new data, since only parity holds it.
    private func emitMendedParity(_ operation: StripeOperation, _ parity: Role, into output: inout PlannerOutput) {
        let destination = scratch.block(operation.scratch, member: parity)
        assert(parity != missing(for: operation), "parity is computed that nobody keeps")
        let firstSource = output.paritySources.count
        if operation.kind == .write || operation.passColumns.count < geometry.columnCount {
            output.paritySources.append(UnsafeRawPointer(destination))
        } else {
            // For zeros in all columns no parity was computed.
            output.paritySources.append(zeroes)
        }
        for column in operation.passColumns {
            let member = geometry.member(stripe: operation.stripe, column: column)
            guard member != missing(for: operation) else { continue }
            output.paritySources.append(UnsafeRawPointer(newData(operation, column)))
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.scratch, member: member)))
        }
        output.computeParity(destination, byteCount: operation.columnByteCount, from: firstSource)
    }

    /// Writes again what the member that is being replaced holds, so that its replacement gets the same.
    private func emitForReplacement(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations[index]
        guard let member = replacement?.member else { return }
        for column in operation.passColumns
        where geometry.member(stripe: operation.stripe, column: column) == member {
            emit(index, .write, member: member, memory: scratch.block(operation.scratch, member: member), into: &output)
        }
    }

    private func noteDoubt(into output: inout PlannerOutput) {
        doubt.note()
        output.hasDoubt = true
    }

    /// Whether parity may be wrong somewhere.
    package var isParityDoubtful: Bool { doubt.isOpen }

    /// How often parity came into doubt.
    package var doubtCount: UInt64 { doubt.count }

    /// Notes that a repair of the whole array is done.
    /// - Parameter doubtCount: the planner's `doubtCount` when the repair began.
    package func repaired(doubtCount: UInt64) { doubt.repaired(since: doubtCount) }
}
