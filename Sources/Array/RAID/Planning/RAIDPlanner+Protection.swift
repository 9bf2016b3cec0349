import MDFormat
import MemberIO

/// The stop between an operation's reads and its writes: at the partial parity log, or at the write-intent bitmap.
extension RAIDPlanner {
    /// Makes an operation wait for a record or for bits, if it needs any that are not durable yet.
    /// - Returns: whether it waits.
    func awaitProtection(_ index: OperationIndex) -> Bool {
        if logs != nil && members.keepParity(of: operations[index]) {
            logs!.append(index, in: operations)
            return true
        }
        guard bitmap != nil, !bitmap!.protect(operations[index]) else { return false }
        bitmap!.append(index, in: operations)
        return true
    }

    /// Whether what a crash during an operation's writes would take is durable: its bits, or its record.
    func isProtected(_ operation: StripeOperation) -> Bool {
        if let bitmap { return bitmap.isDurable(for: operation) }
        return logs == nil || !members.keepParity(of: operation) || operation.recordOffset != nil
    }

    // MARK: Logs

    /// Notes in the log of an operation with a record where its writes go.
    /// - Parameter firstIO: how many I/Os there were before them.
    func noteWrites(_ index: OperationIndex, from firstIO: Int, _ output: borrowing PlannerOutput) {
        guard operations[index].recordOffset != nil else { return }
        for position in firstIO..<output.memberIOs.count where !output.memberIOs[position].kind.isRead {
            logs!.noteWrite(of: operations[index], to: output.memberIOs[position].place)
        }
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
        return logs!.copy(of: member, &members, into: &output)
    }

    /// Takes each log as far as it goes, and to the next unit.
    func advanceLogs(into output: inout PlannerOutput) {
        logs!.advance(&members, into: &output)
        for member in geometry.roles where logs!.canBeginUnit(of: member) { emitUnit(member, into: &output) }
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
            guard io.hasPartialParity(operations[index]) else { continue }
            io.emitPartialParity(
                operations[index], to: logs!.partialParity(of: operations[index]), checksum: checksum, into: &output)
        }
        if unit.entryCount > 0 { logs!.begin(unit, &members, into: &output) }
    }

    /// Whether the columns that an operation has read and is about to write are right for the members that are there.
    private func isPlannedForState(_ index: OperationIndex) -> Bool {
        operations[index].plannedMissing == members.missing(for: operations[index])
    }

    // MARK: The bitmap

    /// Begins a round when there is something to write and none is under way.
    func advanceBitmap(into output: inout PlannerOutput) {
        guard bitmap!.canAdvance else { return }
        go(on: bitmap!.advance(members, operations, into: &output), into: &output)
    }

    /// Takes the outcome of a write of a round; after the last one the round's operations go on.
    func completeBitmapWrite(_ status: MemberStatus, into output: inout PlannerOutput) {
        go(on: bitmap!.endWrite(status, operations), into: &output)
    }

    /// Goes on with operations that waited for bits.
    private func go(on waited: WriteIntentBitmap.Waited, into output: inout PlannerOutput) {
        var waited = waited
        while let index = waited.operations.popFirst(in: operations) {
            if waited.status == .done { startWriting(index, into: &output) } else { end(index, waited.status) }
        }
    }

    /// Takes note that a period of the bitmap has passed (`MDBitmap.daemonSleepSeconds`). Bits of regions without a
    /// write for two periods can be cleared after a flush (`clearBits`). None is cleared while a member is missing,
    /// since bits say what it misses, or while parity is in doubt.
    package func tick(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        bitmap!.beginPeriod()
        beginClearing(includesLatest: false, into: &output)
        finishBatch(into: &output)
    }

    /// Brings the array to rest: all bits can be cleared, as after `tick`, when all member I/Os have ended. No request
    /// is outstanding.
    package func rest(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        beginClearing(includesLatest: true, into: &output)
        finishBatch(into: &output)
    }

    private func beginClearing(includesLatest: Bool, into output: inout PlannerOutput) {
        guard state == .healthy, !isParityDoubtful else { return }
        bitmap!.beginClearing(includesLatest: includesLatest, schedule.pool.all, &members, into: &output)
    }

    /// Whether `clearBits` has bits to clear: the flushes before it have ended.
    package var hasBitsToClear: Bool {
        guard let bitmap, state == .healthy else { return false }
        return bitmap.hasBitsToClear
    }

    /// Clears the bits of regions without a write since `tick` or `rest`. The caller has renewed the members' mark
    /// after their flushes.
    package func clearBits(into output: inout PlannerOutput) {
        guard hasBitsToClear, !isParityDoubtful else { return }
        bitmap!.clearBits()
        finishBatch(into: &output)
    }

    // MARK: What an absent member misses

    /// The first byte of the members' data areas, at or behind `byteOffset`, whose bit is set; nil when there is none.
    /// Without a bitmap every byte may have been written to. A bit stays set at least for writes since all members were
    /// last in sync.
    package func nextWritten(from byteOffset: UInt64) -> UInt64? {
        guard let bitmap else { return byteOffset < geometry.memberDataByteCount ? byteOffset : nil }
        return bitmap.nextSet(from: byteOffset).flatMap { $0 < geometry.memberDataByteCount ? $0 : nil }
    }

    /// How many regions' bits are set, and how many regions there are. Both are 0 without a bitmap.
    package var writtenRegions: (count: Int, total: Int) { bitmap.map { ($0.setCount, $0.regionCount) } ?? (0, 0) }
}
