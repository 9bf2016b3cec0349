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
        let operation = StripeOperation(request, geometry)
        assert(
            operation.memberRange(geometry).upperBound <= geometry.memberDataByteCount, "the range ends behind the data"
        )
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
        assert(operation.pointee.outstanding == 1, "an operation in a test has nothing else under way")
        operation.pointee.outstanding -= 1
        operation.pointee.wrongBlocks = wrongBlocks
        if !members.allow(operation.pointee.kind) {
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
        assert(
            operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0, "a test needs the stripe range")
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
            output.computeParity(recovered, byteCount: byteCount, from: firstSource)
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
        assert(operation.pointee.memberRange(geometry).lowerBound >= recovery!.boundary, "what is in sync is rebuilt")
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
        assert(members.missing == nil, "parity is repaired without a member")
        let destination = scratch.block(operation.pointee.scratch, member: parity)
        let firstSource = output.paritySources.count
        for member in geometry.roles where member != parity {
            output.paritySources.append(UnsafeRawPointer(scratch.block(operation.pointee.scratch, member: member)))
        }
        output.computeParity(destination, byteCount: operation.pointee.columnByteCount, from: firstSource)
        beginWriting(index)
        let firstIO = output.memberIOs.count
        emit(index, .write, member: parity, memory: destination, into: &output)
        group(index, from: firstIO, into: &output)
    }

    /// Ends a recovery's work in order, and moves the boundary over the work that succeeded.
    func retire() {
        while let index = window.first, operations[index].phase == .retiring {
            window.removeFirst()
            assert(operations[index].kind.isRecovery, "other work is in the window of a recovery")
            let operation = operations + index
            let range = operation.pointee.memberRange(geometry)
            let isDone = operation.pointee.status == .done && operation.pointee.wrongBlocks == 0
            if isDone { members.noteRecovered(range) }
            operation.pointee.move(to: .ended)
            ended.append(index, in: operations)
        }
    }
}

/// Work on a recovery that is under way, oldest first.
struct MaintenanceWindow {
    static let capacity = 64
    private var indices: [OperationIndex] = []

    init() { indices.reserveCapacity(Self.capacity) }

    var count: Int { indices.count }
    var first: OperationIndex? { indices.first }

    mutating func append(_ index: OperationIndex) {
        assert(count < Self.capacity && !indices.contains(index), "there is no room for the work, or it is there")
        indices.append(index)
    }
    mutating func removeFirst() { indices.removeFirst() }
}
