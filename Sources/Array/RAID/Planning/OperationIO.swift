import MDFormat
import MemberIO

/// What operations read, compute and write. It computes with memory and never follows it.
///
/// Nothing of it ever changes: whoever takes steps of operations has a copy.
struct OperationIO {
    let geometry: ArrayGeometry
    let operations: UnsafeMutablePointer<StripeOperation>
    let scratch: ScratchMemory
    /// At least 64 KiB of zeros: what `writeZeroes` writes to a column.
    let zeroes: UnsafeRawPointer

    // MARK: Reading

    /// Emits the reads of a pass of a client's operation.
    func emitReads(_ index: OperationIndex, into output: inout PlannerOutput) {
        assert(operations[index].phase == .reading, "the operation does not read")
        switch operations[index].kind {
        case .read: emitClientRead(index, into: &output)
        case .write, .writeZeroes: emitWriteReads(index, into: &output)
        case .zeroStripes: break
        case .rebuild, .skipIfHole, .skipIfClean, .check, .repair:
            preconditionFailure("maintenance reads what it is about")
        }
    }

    private func emitClientRead(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let member = geometry.member(stripe: operation.pointee.stripe, column: Int(operation.pointee.column0))
        guard member == operation.pointee.plannedMissing else {
            return emit(index, .read, to: Place(member), memory: operation.pointee.memory, into: &output)
        }
        for other in geometry.roles where other != member { emitScratchRead(index, member: other, into: &output) }
    }

    /// Reads what the new parity is computed from: the old data and parity of what is written, or all columns that
    /// stay. It reads whichever is less or, without a member, whichever does not need that member.
    private func emitWriteReads(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let stripe = operation.pointee.stripe
        let parity = geometry.parityMember(stripe: stripe)
        let missing = operation.pointee.plannedMissing
        if missing == parity { return }
        let written = operation.pointee.passColumns
        let missingColumn = missing.map { geometry.column(stripe: stripe, member: $0) }
        if let missingColumn {
            operation.pointee.readsOldData = !written.contains(missingColumn)
        } else {
            operation.pointee.readsOldData = written.count + 1 < geometry.columnCount - written.count
        }
        for column in 0..<geometry.columnCount
        where written.contains(column) == operation.pointee.readsOldData {
            emitScratchRead(index, member: geometry.member(stripe: stripe, column: column), into: &output)
        }
        if operation.pointee.readsOldData { emitScratchRead(index, member: parity, into: &output) }
    }

    /// Reads an operation's part of a member's chunk into the scratch memory.
    func emitScratchRead(_ index: OperationIndex, member: Role, into output: inout PlannerOutput) {
        let memory = scratch.block(operations[index].scratch, member: member)
        emit(index, .read, to: Place(member), memory: memory, into: &output)
    }

    // MARK: Writing

    /// Emits the parity jobs and writes of a pass of a client's operation.
    /// - Parameters:
    ///   - members: those that are there now.
    ///   - partialParity: where the log unit has the operation's partial parity, if there is any.
    func emitWrites(
        _ index: OperationIndex, to members: inout PlannedMembers, partialParity: UnsafeRawPointer?,
        into output: inout PlannerOutput
    ) {
        assert(
            operations[index].phase == .writing && operations[index].outstanding == 0, "the operation does not write")
        assert(operations[index].hasStripeRange, "a write needs its stripe range")
        switch operations[index].kind {
        case .zeroStripes: emitZeroes(index, to: &members, into: &output)
        case .write, .writeZeroes:
            emitDataAndParity(index, to: &members, partialParity: partialParity, into: &output)
        case .read, .rebuild, .skipIfHole, .skipIfClean, .check, .repair:
            preconditionFailure("a read writes nothing, and maintenance what its test says")
        }
    }

    /// Zeros whole stripes. A recovering member gets them above its boundary too: zeros are right everywhere.
    private func emitZeroes(
        _ index: OperationIndex, to members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        let operation = operations + index
        for member in geometry.roles where member != members.absent {
            let io = MemberIO(
                kind: operation.pointee.mayPunch ? .punch : .zero, place: Place(member),
                byteOffset: geometry.memberByteOffset(stripe: operation.pointee.stripe, chunkOffset: 0),
                byteCount: Int(operation.pointee.stripeCount * geometry.chunkByteCount), memory: nil,
                token: .operation(index))
            output.memberIOs.append(io)
            operation.pointee.outstanding += 1
            members.mirror(io, of: &operation.pointee, into: &output)
        }
    }

    private func emitDataAndParity(
        _ index: OperationIndex, to members: inout PlannedMembers, partialParity: UnsafeRawPointer?,
        into output: inout PlannerOutput
    ) {
        let operation = operations[index]
        let parity = geometry.parityMember(stripe: operation.stripe)
        let missing = members.missing(for: operation)
        let kind: MemberIO.Kind = operation.kind == .write ? .write : operation.mayPunch ? .punch : .zero
        for column in operation.passColumns {
            let member = geometry.member(stripe: operation.stripe, column: column)
            guard member != missing else { continue }
            let memory = operation.kind == .write ? newData(operation, column) : nil
            emitWrite(index, kind, member: member, memory: memory, to: &members, into: &output)
        }
        guard parity != missing else { return }
        if operation.kind == .writeZeroes && operation.passColumns.count == geometry.columnCount {
            // Zeros are their own parity.
            return emitWrite(index, kind, member: parity, memory: nil, to: &members, into: &output)
        }
        emitParity(operation, parity, partialParity: partialParity, into: &output)
        let memory = scratch.block(operation.scratch, member: parity)
        emitWrite(index, .write, member: parity, memory: memory, to: &members, into: &output)
    }

    /// Emits a write of an operation, and its copy for a replacement.
    func emitWrite(
        _ index: OperationIndex, _ kind: MemberIO.Kind, member: Role, memory: UnsafeMutableRawPointer?,
        to members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        assert(member != members.absent, "a write goes to a member that is not there")
        assert(operations[index].hasStripeRange, "a write needs its stripe range")
        emit(index, kind, to: Place(member), memory: memory, into: &output)
        guard members.recovery != nil else { return }
        members.mirror(output.memberIOs[output.memberIOs.count - 1], of: &operations[index], into: &output)
    }

    private func emit(
        _ index: OperationIndex, _ kind: MemberIO.Kind, to place: Place, memory: UnsafeMutableRawPointer?,
        into output: inout PlannerOutput
    ) {
        let operation = operations + index
        assert((memory == nil) == (kind == .punch || kind == .zero), "the I/O has no data, or needs none")
        output.memberIOs.append(
            MemberIO(
                kind: kind, place: place,
                byteOffset: geometry.memberByteOffset(
                    stripe: operation.pointee.stripe, chunkOffset: UInt64(operation.pointee.chunkOffset)),
                byteCount: operation.pointee.columnByteCount, memory: memory, token: .operation(index)))
        operation.pointee.outstanding += 1
    }

    /// Says that an operation's writes start together or not at all.
    /// - Parameter firstIO: how many I/Os there were before them.
    func group(_ index: OperationIndex, from firstIO: Int, into output: inout PlannerOutput) {
        assert(output.memberIOs.count > firstIO, "a group has no I/O")
        output.groups.append(
            WriteGroup(firstIO: firstIO, ioCount: output.memberIOs.count - firstIO, token: .operation(index)))
    }

    // MARK: Computing

    /// Computes the missing column: the exclusive-or of all others.
    func emitReconstruction(_ index: OperationIndex, of missing: Role, into output: inout PlannerOutput) {
        let operation = operations[index]
        let firstSource = output.paritySources.count
        appendBlocks(of: operation, without: missing, to: &output)
        output.computeParity(operation.memory!, byteCount: operation.columnByteCount, from: firstSource)
        output.completeAfterJobs.append(.operation(index))
        operations[index].outstanding += 1
    }

    /// Appends the blocks of all members but one to the sources of parity.
    func appendBlocks(of operation: StripeOperation, without role: Role?, to output: inout PlannerOutput) {
        for member in geometry.roles where member != role {
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.scratch, member: member)))
        }
    }

    /// Computes the new parity: the exclusive-or of the new data and of either the old data and parity or the columns
    /// that stay. With a log, the latter part is in the log unit already, as the partial parity.
    private func emitParity(
        _ operation: StripeOperation, _ parity: Role, partialParity: UnsafeRawPointer?,
        into output: inout PlannerOutput
    ) {
        let firstSource = output.paritySources.count
        for column in operation.passColumns {
            output.paritySources.append(UnsafeRawPointer(newData(operation, column)))
        }
        if operation.recordOffset == nil {
            appendPartialParitySources(operation, to: &output)
        } else if let partialParity {
            output.paritySources.append(partialParity)
        }
        output.computeParity(
            scratch.block(operation.scratch, member: parity), byteCount: operation.columnByteCount, from: firstSource)
    }

    /// Whether an operation has partial parity: there is none if no column stays.
    func hasPartialParity(_ operation: StripeOperation) -> Bool { operation.passColumns.count < geometry.columnCount }

    /// Computes an operation's partial parity: the exclusive-or of the columns that stay, or of old parity and old
    /// data, which is the same.
    /// - Parameters:
    ///   - destination: in the log unit.
    ///   - checksum: where its checksum goes.
    func emitPartialParity(
        _ operation: StripeOperation, to destination: UnsafeMutableRawPointer, checksum: UnsafeMutableRawPointer,
        into output: inout PlannerOutput
    ) {
        assert(operation.recordOffset != nil && hasPartialParity(operation), "the operation has no partial parity")
        let firstSource = output.paritySources.count
        appendPartialParitySources(operation, to: &output)
        output.computeParity(destination, byteCount: operation.columnByteCount, from: firstSource)
        output.checksumJobs.append(
            ChecksumJob(destination: checksum, source: destination, byteCount: operation.columnByteCount))
    }

    /// Appends the sources of the partial parity: the exclusive-or of the data that is not written.
    private func appendPartialParitySources(_ operation: StripeOperation, to output: inout PlannerOutput) {
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
}
