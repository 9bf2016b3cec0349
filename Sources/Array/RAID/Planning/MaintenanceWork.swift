import MDFormat
import MemberIO

/// Rebuilding, checking and repairing, under the same locks as clients' writes.
///
/// A rebuild keeps its lock until everything below it is rebuilt too. So what is not locked is of two kinds: below the
/// recovery's boundary, where the member is like any other, and above it, where the member is missing. The same is true
/// of a replacement, to which data is copied from the member that has the role.
struct MaintenanceWork {
    private static let recoveringMax = 64
    private let io: OperationIO
    /// Work on a recovery that is under way, oldest first.
    private var recovering: [OperationIndex] = []

    init(_ io: OperationIO) {
        self.io = io
        recovering.reserveCapacity(Self.recoveringMax)
    }

    /// Whether work on a recovery is under way.
    var isRecovering: Bool { !recovering.isEmpty }

    /// Whether more work on a recovery may begin.
    var hasRoom: Bool { recovering.count < Self.recoveringMax }

    /// Notes that work on a recovery has begun, in the order of the ranges.
    mutating func noteRecovering(_ index: OperationIndex) {
        assert(hasRoom && !recovering.contains(index), "there is no room for the work, or it is there")
        assert(io.operations[index].kind.isRecovery, "other work than a recovery's")
        recovering.append(index)
    }

    /// Takes out the oldest work on a recovery if it retires, and moves the boundary over it if it succeeded.
    /// - Returns: that work, which ends now.
    mutating func retireFirst(_ members: inout PlannedMembers) -> OperationIndex? {
        guard let index = recovering.first, io.operations[index].phase == .retiring else { return nil }
        recovering.removeFirst()
        let operation = io.operations + index
        let isDone = operation.pointee.status == .done && operation.pointee.wrongBlocks == 0
        if isDone { members.noteRecovered(operation.pointee.memberRange(io.geometry)) }
        return index
    }

    // MARK: The steps of an operation

    /// Reads what the work is about: for a rebuild, every member but the recovering one; for a replacement, what is
    /// copied.
    func emitReads(_ index: OperationIndex, _ members: PlannedMembers, into output: inout PlannerOutput) {
        let operation = io.operations[index]
        guard !operation.kind.isWithoutReads else { return }
        if operation.isCopyRead(isReplacing: members.replacement != nil) {
            return io.emitScratchRead(index, member: members.recovery!.member, into: &output)
        }
        for member in io.geometry.roles where member != unread(operation, members) {
            io.emitScratchRead(index, member: member, into: &output)
        }
    }

    /// The role that maintenance does not read: its data is missing, or is to be computed.
    private func unread(_ operation: StripeOperation, _ members: PlannedMembers) -> Role? {
        operation.kind == .rebuild ? members.recovery?.member : members.missing
    }

    /// Emits the test that decides what the work does.
    /// - Parameter isWritten: whether a bit of the bitmap is set for a part of the range.
    func test(
        _ index: OperationIndex, _ members: PlannedMembers, isWritten: @autoclosure () -> Bool,
        into output: inout PlannerOutput
    ) -> NextStep {
        let operation = io.operations + index
        assert(operation.pointee.hasStripeRange, "a test needs the stripe range")
        // What was read no longer suffices.
        guard members.state != .failed else { return .end(.failed) }
        if operation.pointee.kind == .skipIfClean {
            // The range is locked, so nothing is being written there; earlier writes have set their bits.
            operation.pointee.wrongBlocks = isWritten() ? 1 : 0
            return .end(.done)
        }
        operation.pointee.move(to: .testing)
        operation.pointee.outstanding += 1
        if operation.pointee.kind == .skipIfHole {
            let range = operation.pointee.memberRange(io.geometry)
            output.holeTests.append(
                HoleTest(
                    token: .operation(index), byteOffset: io.geometry.dataByteOffset + range.lowerBound,
                    byteCount: range.upperBound - range.lowerBound))
        } else {
            emitZeroTest(index, members, into: &output)
        }
        return .wait
    }

    /// Asks whether parity is right or, of what is rebuilt, whether it is zeros. What is rebuilt is computed first.
    private func emitZeroTest(_ index: OperationIndex, _ members: PlannedMembers, into output: inout PlannerOutput) {
        let operation = io.operations[index]
        var firstSource = output.paritySources.count
        if operation.kind == .rebuild && members.replacement != nil && !operation.isUnreadable {
            let copied = io.scratch.block(operation.scratch, member: members.recovery!.member)
            output.paritySources.append(UnsafeRawPointer(copied))
        } else {
            io.appendBlocks(of: operation, without: unread(operation, members), to: &output)
        }
        if operation.kind == .rebuild && output.paritySources.count - firstSource > 1 {
            let recovered = io.scratch.block(operation.scratch, member: members.recovery!.member)
            output.computeParity(recovered, byteCount: operation.columnByteCount, from: firstSource)
            firstSource = output.paritySources.count
            output.paritySources.append(UnsafeRawPointer(recovered))
        }
        output.zeroTests.append(
            ZeroTest(
                token: .operation(index), firstSource: firstSource,
                sourceCount: output.paritySources.count - firstSource, byteCount: operation.columnByteCount))
    }

    /// Takes the answer to a test, and writes what it calls for.
    func tested(
        _ index: OperationIndex, wrongBlocks: UInt32, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) -> NextStep {
        let operation = io.operations + index
        precondition(operation.pointee.phase == .testing, "the operation has asked for no test")
        assert(operation.pointee.outstanding == 1, "an operation in a test has nothing else under way")
        operation.pointee.outstanding -= 1
        operation.pointee.wrongBlocks = wrongBlocks
        guard members.allow(operation.pointee.kind) else { return .end(.failed) }
        let firstIO = output.memberIOs.count
        if operation.pointee.kind == .rebuild {
            writeRecovered(index, &members, into: &output)
        } else if operation.pointee.kind == .repair && wrongBlocks != 0 {
            writeParity(index, &members, into: &output)
        } else {
            return .end(.done)
        }
        io.group(index, from: firstIO, into: &output)
        return .wait
    }

    /// Writes the data that the recovering member should hold. Zeros are punched, so that a sparse member stays sparse.
    private func writeRecovered(
        _ index: OperationIndex, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        let operation = io.operations + index
        let recovery = members.recovery!
        let range = operation.pointee.memberRange(io.geometry)
        assert(range.lowerBound >= recovery.boundary, "what is in sync is rebuilt")
        let isZero = operation.pointee.wrongBlocks == 0
        operation.pointee.wrongBlocks = 0
        operation.pointee.beginWriting(generation: members.generation)
        let memory = isZero ? nil : io.scratch.block(operation.pointee.scratch, member: recovery.member)
        guard members.replacement != nil else {
            return io.emitWrite(
                index, isZero ? .punch : .write, member: recovery.member, memory: memory, to: &members, into: &output)
        }
        members.emitToReplacement(
            MemberIO(
                kind: isZero ? .punch : .write, place: io.geometry.replacementPlace,
                byteOffset: io.geometry.dataByteOffset + range.lowerBound,
                byteCount: operation.pointee.columnByteCount, memory: memory, token: .operation(index)), into: &output)
        operation.pointee.writesToReplacement = true
        operation.pointee.outstanding += 1
    }

    private func writeParity(
        _ index: OperationIndex, _ members: inout PlannedMembers, into output: inout PlannerOutput
    ) {
        let operation = io.operations + index
        let parity = io.geometry.parityMember(stripe: operation.pointee.stripe)
        assert(members.missing == nil, "parity is repaired without a member")
        let destination = io.scratch.block(operation.pointee.scratch, member: parity)
        let firstSource = output.paritySources.count
        io.appendBlocks(of: operation.pointee, without: parity, to: &output)
        output.computeParity(destination, byteCount: operation.pointee.columnByteCount, from: firstSource)
        operation.pointee.beginWriting(generation: members.generation)
        io.emitWrite(index, .write, member: parity, memory: destination, to: &members, into: &output)
    }
}
