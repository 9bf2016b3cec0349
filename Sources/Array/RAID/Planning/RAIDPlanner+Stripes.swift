import MDFormat
import MemberIO

/// What an operation reads, computes and writes.
extension RAIDPlanner {
    /// Whether an operation reads a column whose member is missing.
    func isMissing(_ operation: StripeOperation) -> Bool {
        guard let missing = missing(for: operation) else { return false }
        return geometry.member(stripe: operation.stripe, column: Int(operation.column0)) == missing
    }

    /// The last column of the pass that begins at `pass0`.
    func lastColumnOfPass(_ operation: StripeOperation) -> UInt8 {
        guard logs != nil, hasRecord(operation), let missing = missing(for: operation) else { return operation.column1 }
        let missingColumn = UInt8(geometry.column(stripe: operation.stripe, member: missing))
        if operation.pass0 == missingColumn { return missingColumn }
        return operation.pass0 < missingColumn && missingColumn <= operation.column1
            ? missingColumn - 1 : operation.column1
    }

    /// Whether an operation changes parity, and so needs a record if there is a log. A write of the missing column
    /// alone needs one too: recovery would otherwise follow an older record of the same chunk offsets.
    func hasRecord(_ operation: StripeOperation) -> Bool {
        operation.kind != .read && geometry.parityMember(stripe: operation.stripe) != missing(for: operation)
    }

    // MARK: Reading

    /// Emits a pass's reads.
    func emitReads(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.phase == .reading, "the operation does not read")
        switch operation.pointee.kind {
        case .read: emitClientRead(index, into: &output)
        case .write, .writeZeroes: emitWriteReads(index, into: &output)
        case .zeroStripes: break
        case .rebuild, .skipIfHole, .skipIfClean, .check, .repair: emitMaintenanceReads(index, into: &output)
        }
    }

    private func emitClientRead(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations[index]
        if isMissing(operation) {
            for member in geometry.roles where member != members.missing {
                emitScratchRead(index, member: member, into: &output)
            }
        } else {
            let member = geometry.member(stripe: operation.stripe, column: Int(operation.column0))
            emit(index, .read, member: member, memory: operation.memory, into: &output)
        }
    }

    /// Reads what the new parity is computed from: the old data and parity of what is written, or all columns that
    /// stay. It reads whichever is less or, without a member, whichever does not need that member.
    private func emitWriteReads(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let stripe = operation.pointee.stripe
        let parity = geometry.parityMember(stripe: stripe)
        let missing = missing(for: operation.pointee)
        if missing == parity { return }
        let written = operation.pointee.passColumns
        let missingColumn = missing.map { geometry.column(stripe: stripe, member: $0) }
        if let missingColumn {
            operation.pointee.readsOldData = !written.contains(missingColumn)
        } else {
            operation.pointee.readsOldData = written.count + 1 < geometry.columnCount - written.count
        }
        if written.count == geometry.columnCount {
            statistics.fullStripeWrites += 1
        } else if operation.pointee.readsOldData {
            statistics.readModifyWrites += 1
        } else {
            statistics.reconstructWrites += 1
        }
        for column in 0..<geometry.columnCount
        where written.contains(column) == operation.pointee.readsOldData {
            emitScratchRead(index, member: geometry.member(stripe: stripe, column: column), into: &output)
        }
        if operation.pointee.readsOldData { emitScratchRead(index, member: parity, into: &output) }
    }

    func emitScratchRead(_ index: OperationIndex, member: Role, into output: inout PlannerOutput) {
        let memory = scratch.block(operations[index].scratch, member: member)
        emit(index, .read, member: member, memory: memory, into: &output)
    }

    // MARK: Writing

    /// Emits a pass's parity jobs and writes.
    func emitWrites(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations[index]
        assert(operation.phase == .writing && operation.outstanding == 0, "the operation does not write")
        assert(operation.lock.isIndexed && operation.lock.blockers == 0, "a write needs its stripe range")
        switch operation.kind {
        case .zeroStripes:
            // A recovering member gets them above its boundary too: zeros are right everywhere.
            for member in geometry.roles where member != members.absent {
                let io = MemberIO(
                    kind: operation.mayPunch ? .punch : .zero, place: Place(member),
                    byteOffset: geometry.memberByteOffset(stripe: operation.stripe, chunkOffset: 0),
                    byteCount: Int(operation.stripeCount * geometry.chunkByteCount), memory: nil,
                    token: .operation(index))
                output.memberIOs.append(io)
                operations[index].outstanding += 1
                mirrorToReplacement(io, of: index, into: &output)
            }
        case .write, .writeZeroes: emitDataAndParity(index, into: &output)
        case .read, .rebuild, .skipIfHole, .skipIfClean, .check, .repair:
            preconditionFailure("a read writes nothing, and maintenance what its test says")
        }
    }

    /// Computes the missing column: the exclusive-or of all others.
    func emitReconstruction(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations[index]
        assert(isMissing(operation), "a column is computed whose member is there")
        let firstSource = output.paritySources.count
        for member in geometry.roles where member != members.missing {
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.scratch, member: member)))
        }
        output.computeParity(operation.memory!, byteCount: operation.columnByteCount, from: firstSource)
        output.completeAfterJobs.append(.operation(index))
        operations[index].outstanding += 1
    }

    private func emitDataAndParity(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations[index]
        let parity = geometry.parityMember(stripe: operation.stripe)
        let missing = missing(for: operation)
        let kind: MemberIO.Kind = operation.kind == .write ? .write : operation.mayPunch ? .punch : .zero
        for column in operation.passColumns {
            let member = geometry.member(stripe: operation.stripe, column: column)
            guard member != missing else { continue }
            let memory = operation.kind == .write ? newData(operation, column) : nil
            emit(index, kind, member: member, memory: memory, into: &output)
        }
        guard parity != missing else { return }
        if operation.kind == .writeZeroes && operation.passColumns.count == geometry.columnCount {
            // Zeros are their own parity.
            return emit(index, kind, member: parity, memory: nil, into: &output)
        }
        emitParity(operation, parity, into: &output)
        emit(
            index, .write, member: parity, memory: scratch.block(operation.scratch, member: parity), into: &output)
    }

    /// Computes the new parity: the exclusive-or of the new data and of either the old data and parity or the columns
    /// that stay. With a log, the latter part is in the log unit already, as the partial parity.
    private func emitParity(_ operation: StripeOperation, _ parity: Role, into output: inout PlannerOutput) {
        assert(logs == nil || operation.recordOffset != nil, "parity changes without a record")
        let firstSource = output.paritySources.count
        let destination = scratch.block(operation.scratch, member: parity)
        for column in operation.passColumns {
            output.paritySources.append(UnsafeRawPointer(newData(operation, column)))
        }
        if operation.recordOffset == nil {
            appendPartialParitySources(operation, to: &output)
        } else if operation.passColumns.count < geometry.columnCount {
            output.paritySources.append(UnsafeRawPointer(logs!.partialParity(of: operation)))
        }
        output.computeParity(destination, byteCount: operation.columnByteCount, from: firstSource)
    }

    /// Appends the sources of the partial parity: the exclusive-or of the data that is not written.
    func appendPartialParitySources(_ operation: StripeOperation, to output: inout PlannerOutput) {
        for column in 0..<geometry.columnCount
        where operation.passColumns.contains(column) == operation.readsOldData {
            let member = geometry.member(stripe: operation.stripe, column: column)
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.scratch, member: member)))
        }
        guard operation.readsOldData else { return }
        let parity = geometry.parityMember(stripe: operation.stripe)
        output.paritySources.append(UnsafeRawPointer(scratch.block(operation.scratch, member: parity)))
    }

    /// The data that an operation writes to a column.
    func newData(_ operation: StripeOperation, _ column: Int) -> UnsafeMutableRawPointer {
        if operation.kind == .writeZeroes { return UnsafeMutableRawPointer(mutating: zeroes) }
        assert(column >= Int(operation.column0) && column <= Int(operation.column1), "the column is not written")
        return operation.memory! + (column - Int(operation.column0)) * Int(geometry.chunkByteCount)
    }

    /// Emits an I/O of an operation, and its copy for a replacement.
    func emit(
        _ index: OperationIndex, _ kind: MemberIO.Kind, member: Role, memory: UnsafeMutableRawPointer?,
        into output: inout PlannerOutput
    ) {
        let operation = operations + index
        assert(member != members.absent, "I/O goes to a member that is not there")
        assert(
            kind == .read || operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0,
            "a write needs its stripe range")
        assert((memory == nil) == (kind == .punch || kind == .zero), "the I/O has no data, or needs none")
        let io = MemberIO(
            kind: kind, place: Place(member),
            byteOffset: geometry.memberByteOffset(
                stripe: operation.pointee.stripe, chunkOffset: UInt64(operation.pointee.chunkOffset)),
            byteCount: operation.pointee.columnByteCount, memory: memory, token: .operation(index))
        output.memberIOs.append(io)
        operation.pointee.outstanding += 1
        if operation.pointee.recordOffset != nil { logs!.noteWrite(of: operation.pointee, to: Place(member)) }
        if recovery != nil && kind != .read { mirrorToReplacement(io, of: index, into: &output) }
    }
}
