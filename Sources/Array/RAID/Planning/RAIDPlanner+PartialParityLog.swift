import MDFormat
import MemberIO

/// The stop at the partial parity log between an operation's reads and its writes.
extension RAIDPlanner {
    /// Makes an operation wait for a record in the log of its parity's member.
    func awaitRecord(_ index: OperationIndex) {
        assert(operations[index].outstanding == 0, "an operation waits for a record with I/O under way")
        operations[index].move(to: .protecting)
        logs!.append(index, in: operations)
    }

    /// Takes the outcome of a log unit's write; the unit's operations go on.
    /// - Parameter isReplica: the write went to the log of the member's replacement.
    func completeLogWrite(
        _ member: Role, _ status: MemberStatus, isReplica: Bool, into output: inout PlannerOutput
    ) {
        guard var unit = logs!.endWrite(of: member, status, isReplica: isReplica) else { return }
        while let index = unit.operations.popFirst(in: operations) {
            assert(operations[index].recordOffset != nil, "an operation of the unit has no record")
            if unit.status == .noSpace {
                end(index, .noSpace)
            } else if unit.status == .refused {
                end(index, .refused)
            } else if unit.status == .failed || !isPlannedForState(index) {
                logs!.endRecord(of: &operations[index])
                start(index, into: &output)
            } else {
                startWriting(index, into: &output)
            }
        }
    }

    /// Makes the log of a complete replacement as good as the log of the member that it replaces: the newest log unit
    /// is copied, and each later one is written to both. It is not done earlier: stripe ranges that the replacement
    /// lacks need no record once that member fails, and such records could not be told from those of an old log unit.
    /// - Returns: whether the log is as good; if not, ask again.
    package func copyLogToReplacement(into output: inout PlannerOutput) -> Bool {
        guard logs != nil, let member = replacement?.member else { return true }
        guard let copy = logs!.beginCopy(of: member, token: logWriteToken(member), into: &output) else {
            return logs!.hasReplica(of: member)
        }
        emitToReplacement(copy, into: &output)
        return false
    }

    /// Takes each log as far as it goes: from data that is written to flushes, from data that is durable to the next
    /// unit.
    func advanceLogs(into output: inout PlannerOutput) {
        logs!.endCovering()
        emitLogFlushes(into: &output)
        logs!.endFlushing()
        for member in geometry.roles where logs!.canBeginUnit(of: member) { emitUnit(member, into: &output) }
    }

    private func logWriteToken(_ role: Role) -> PlannerToken {
        .logWrite(of: role, generation: members.generation)
    }

    private func emitLogFlushes(into output: inout PlannerOutput) {
        for member in geometry.roles where member == members.absent || state == .failed {
            logs!.forget(Place(member))
        }
        if replacement == nil { logs!.forget(geometry.replacementPlace) }
        while let place = logs!.beginFlush() {
            let flush = MemberIO.flush(place, token: .logFlush(of: place, generation: members.generation))
            if place == geometry.replacementPlace {
                emitToReplacement(flush, into: &output)
            } else {
                output.memberIOs.append(flush)
            }
        }
    }

    /// Makes a log unit of as many operations as fit, and writes it. Operations that were planned before a member
    /// failed are planned again instead.
    private func emitUnit(_ member: Role, into output: inout PlannerOutput) {
        var unit = PartialParityLogs.Unit(role: member)
        while !unit.isFull, let index = logs!.firstWaiting(of: member) {
            if state == .failed || !isPlannedForState(index) {
                logs!.dropFirst(of: member, in: operations)
                start(index, into: &output)
                continue
            }
            guard let checksum = logs!.addFirst(to: &unit, in: operations) else { break }
            emitPartialParity(operations[index], checksum: checksum, into: &output)
        }
        guard unit.entryCount > 0 else { return }
        let isReplaced = replacement?.member == member
        let write = logs!.begin(unit, isReplaced: isReplaced, token: logWriteToken(member), into: &output)
        if let write { emitToReplacement(write, into: &output) }
    }

    /// Computes an operation's partial parity into the log unit: the exclusive-or of the columns that stay, or of old
    /// parity and old data, which is the same. There is none if no column stays.
    /// - Parameter checksum: where its checksum goes.
    private func emitPartialParity(
        _ operation: StripeOperation, checksum: UnsafeMutableRawPointer, into output: inout PlannerOutput
    ) {
        guard operation.passColumns.count < geometry.columnCount else { return }
        assert(operation.recordOffset != nil, "the operation has no record")
        let firstSource = output.paritySources.count
        appendPartialParitySources(operation, to: &output)
        let destination = logs!.partialParity(of: operation)
        output.computeParity(destination, byteCount: operation.columnByteCount, from: firstSource)
        output.checksumJobs.append(
            ChecksumJob(destination: checksum, source: destination, byteCount: operation.columnByteCount))
    }

    /// Whether the columns that an operation has read and is about to write are right for the members that are there.
    private func isPlannedForState(_ index: OperationIndex) -> Bool {
        operations[index].plannedMissing == missing(for: operations[index])
    }
}
