import MDFormat
import MemberIO

/// Rebuilding, checking and repairing, under the same locks as clients' writes.
///
/// A rebuild keeps its lock until everything below it is rebuilt too. So what is not locked is of two kinds: below the
/// recovery's boundary, where the member is like any other, and above it, where the member is missing. The same is true
/// of a replacement, to which data is copied from the member that has the role.
extension RAIDPlanner {
    /// Takes a request of maintenance. Those of a recovery (rebuilds and skips) come in the order of their ranges,
    /// and at most 64 are under way.
    /// - Returns: false when there is no room for it now.
    package func submit(_ request: MaintenanceRequest, into output: inout PlannerOutput) -> Bool {
        guard pool.freeCount > 0, window.count < MaintenanceWindow.capacity else { return false }
        var operation = StripeOperation()
        (operation.stripe, operation.chunkOffset) = stripeAndChunkOffset(ofMemberByte: request.byteOffset)
        switch request.kind {
        case .rebuild: operation.kind = .rebuild
        case .skipIfHole: operation.kind = .skipIfHole
        case .skipIfClean: operation.kind = .skipIfClean
        case .check: operation.kind = .check
        case .repair: operation.kind = .repair
        }
        if request.kind == .skipIfHole || request.kind == .skipIfClean {
            operation.stripeCount = request.byteCount / geometry.chunkByteCount
            operation.chunkOffsetEnd = UInt32(geometry.chunkByteCount)
        } else {
            precondition(request.byteCount == geometry.unitByteCount && request.byteOffset % request.byteCount == 0)
            operation.chunkOffsetEnd = operation.chunkOffset + UInt32(request.byteCount)
        }
        let index = add(operation, into: &output)
        if operation.kind.isRecovery {
            window.append(index)
            // It may have ended at once.
            retire()
        }
        settle(into: &output)
        return true
    }

    /// Takes the answer to a `ZeroTest` or `HoleTest`.
    package func tested(_ token: PlannerToken, wrongBlocks: UInt32, into output: inout PlannerOutput) {
        let index = token.operation
        let operation = operations + index
        precondition(operation.pointee.phase == .testing, "the operation has asked for no test")
        operation.pointee.outstanding -= 1
        operation.pointee.wrongBlocks = wrongBlocks
        if !canMaintain(operation.pointee.kind) {
            end(index, .failed)
        } else if operation.pointee.kind == .rebuild {
            writeRecovered(index, into: &output)
        } else if operation.pointee.kind == .repair && wrongBlocks != 0 {
            writeParity(index, into: &output)
        } else {
            end(index, .done)
        }
        settle(into: &output)
    }

    /// Whether the array's state allows a kind of work.
    func canMaintain(_ kind: StripeOperation.Kind) -> Bool {
        kind.isRecovery ? recovery != nil : state == .healthy
    }

    private func stripeAndChunkOffset(ofMemberByte byteOffset: UInt64) -> (UInt64, UInt32) {
        (byteOffset / geometry.chunkByteCount, UInt32(geometry.chunkOffset(of: byteOffset)))
    }

    // MARK: The steps of an operation

    /// Reads what the work is about: for a rebuild, every member but the recovering one; for a replacement, what is
    /// copied.
    func emitMaintenanceReads(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations[index]
        guard !operation.kind.isWithoutReads else { return }
        if isCopyRead(operation) { return emitScratchRead(index, member: recovery!.member, into: &output) }
        for member in geometry.roles where member != unreadMember(operation) {
            emitScratchRead(index, member: member, into: &output)
        }
    }

    /// The role that maintenance does not read: its data is missing, or is to be computed.
    private func unreadMember(_ operation: StripeOperation) -> Role? {
        operation.kind == .rebuild ? recovery?.member : members.missing
    }

    /// Emits the test that decides what the work does.
    func startTesting(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        // What was read no longer suffices.
        guard state != .failed else { return end(index, .failed) }
        if operation.pointee.kind == .skipIfClean {
            // The range is locked, so nothing is being written there; earlier writes have set their bits.
            operation.pointee.wrongBlocks = isWritten(operation.pointee) ? 1 : 0
            return end(index, .done)
        }
        operation.pointee.move(to: .testing)
        operation.pointee.outstanding += 1
        let token = PlannerToken.operation(index)
        if operation.pointee.kind == .skipIfHole {
            let range = operation.pointee.memberRange(geometry)
            output.holeTests.append(
                HoleTest(
                    token: token, byteOffset: geometry.dataByteOffset + range.lowerBound,
                    byteCount: range.upperBound - range.lowerBound))
            return
        }
        let scratchIndex = operation.pointee.scratch
        let byteCount = operation.pointee.columnByteCount
        var firstSource = output.paritySources.count
        if operation.pointee.kind == .rebuild && replacement != nil && !operation.pointee.isUnreadable {
            output.paritySources.append(UnsafeRawPointer(scratch.block(scratchIndex, member: recovery!.member)))
        } else {
            for member in geometry.roles where member != unreadMember(operation.pointee) {
                output.paritySources.append(UnsafeRawPointer(scratch.block(scratchIndex, member: member)))
            }
        }
        if operation.pointee.kind == .rebuild && output.paritySources.count - firstSource > 1 {
            let recovered = scratch.block(scratchIndex, member: recovery!.member)
            output.parityJobs.append(
                ParityJob(
                    destination: recovered, byteCount: byteCount, firstSource: firstSource,
                    sourceCount: output.paritySources.count - firstSource))
            firstSource = output.paritySources.count
            output.paritySources.append(UnsafeRawPointer(recovered))
        }
        output.zeroTests.append(
            ZeroTest(
                token: token, firstSource: firstSource, sourceCount: output.paritySources.count - firstSource,
                byteCount: byteCount))
    }

    /// Writes the data that the recovering member should hold. Zeros are punched, so that a sparse member stays sparse.
    private func writeRecovered(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let member = recovery!.member
        let isZero = operation.pointee.wrongBlocks == 0
        operation.pointee.wrongBlocks = 0
        beginWriting(index)
        let firstIO = output.memberIOs.count
        let memory = isZero ? nil : scratch.block(operation.pointee.scratch, member: member)
        if replacement == nil {
            emit(index, isZero ? .punch : .write, member: member, memory: memory, into: &output)
        } else {
            let byteOffset = geometry.dataByteOffset + operation.pointee.memberRange(geometry).lowerBound
            emitToReplacement(
                MemberIO(
                    kind: isZero ? .punch : .write, place: geometry.replacementPlace, byteOffset: byteOffset,
                    byteCount: operation.pointee.columnByteCount, memory: memory,
                    token: .operation(index)), into: &output)
            operation.pointee.writesToReplacement = true
            operation.pointee.outstanding += 1
        }
        group(index, from: firstIO, into: &output)
    }

    private func writeParity(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let parity = geometry.parityMember(stripe: operation.pointee.stripe)
        let destination = scratch.block(operation.pointee.scratch, member: parity)
        let firstSource = output.paritySources.count
        for member in geometry.roles where member != parity {
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.pointee.scratch, member: member)))
        }
        output.parityJobs.append(
            ParityJob(
                destination: destination, byteCount: operation.pointee.columnByteCount, firstSource: firstSource,
                sourceCount: geometry.columnCount))
        beginWriting(index)
        let firstIO = output.memberIOs.count
        emit(index, .write, member: parity, memory: destination, into: &output)
        group(index, from: firstIO, into: &output)
    }

    /// Ends a recovery's work in order, and moves the boundary over the work that succeeded.
    func retire() {
        while let index = window.first, operations[index].phase == .retiring {
            window.removeFirst()
            let operation = operations + index
            let range = operation.pointee.memberRange(geometry)
            let isDone = operation.pointee.status == .done && operation.pointee.wrongBlocks == 0
            if isDone { members.noteRecovered(range) }
            operation.pointee.move(to: .ended)
            ended.append(index, in: operations)
        }
    }

    /// The outcome of a maintenance operation that ended.
    func outcome(of operation: StripeOperation) -> MaintenanceOutcome {
        let range = operation.memberRange(geometry)
        let kind: MaintenanceRequest.Kind =
            switch operation.kind {
            case .rebuild: .rebuild
            case .skipIfHole: .skipIfHole
            case .skipIfClean: .skipIfClean
            case .repair: .repair
            default: .check
            }
        let result: MaintenanceOutcome.Result =
            switch operation.status {
            case .done: operation.kind.isWithoutReads && operation.wrongBlocks != 0 ? .hasData : .done
            case .noSpace: .noSpace
            case .refused, .failed: .failed
            }
        let request = MaintenanceRequest(
            kind, byteOffset: range.lowerBound, byteCount: range.upperBound - range.lowerBound)
        return MaintenanceOutcome(request: request, result: result, wrongBlocks: operation.wrongBlocks)
    }
}

/// Work on a recovery that is under way, oldest first.
struct MaintenanceWindow {
    static let capacity = 64
    private var indices: [OperationIndex] = []

    init() { indices.reserveCapacity(Self.capacity) }

    var count: Int { indices.count }
    var first: OperationIndex? { indices.first }

    mutating func append(_ index: OperationIndex) { indices.append(index) }
    mutating func removeFirst() { indices.removeFirst() }
}
