import MDFormat
import MemberIO

/// The write path's stop at the partial parity log, between an operation's reads and its writes.
extension RAIDPlanner {
    /// Lets an operation wait for a record in the log of its parity's member.
    func awaitRecord(_ slot: Int32) {
        operations[Int(slot)].phase = .protecting
        logs!.logs[parityMember(of: slot)].waiting.append(slot, in: operations)
    }

    /// A unit was written, or could not be: its operations go on.
    /// - Parameter isReplica: it was written to the log of the member's replacement.
    func completeLogWrite(
        _ member: Int, _ status: MemberStatus, isReplica: Bool, into output: inout PlannerOutput
    ) {
        let log = logs!.logs + member
        if isReplica {
            let isCopy = log.pointee.replica == .underWay
            log.pointee.replica = status == .done ? .written : .missing
            if isCopy { return }
        }
        // Whichever of the two members has the role when they go on, the operations need the record there.
        if status == .failed || log.pointee.writeStatus == .done { log.pointee.writeStatus = status }
        log.pointee.writeCount -= 1
        guard log.pointee.writeCount == 0 else { return }
        log.pointee.phase = .covering
        while let slot = log.pointee.unit.popFirst(in: operations) {
            if log.pointee.writeStatus == .noSpace {
                end(slot, .noSpace)
            } else if log.pointee.writeStatus == .refused {
                end(slot, .refused)
            } else if log.pointee.writeStatus == .failed || !isPlannedForState(slot) {
                endRecord(slot)
                start(slot, into: &output)
            } else {
                startWriting(slot, into: &output)
            }
        }
    }

    /// Makes sure that the log of a replacement, which has everything else, is as good as that of the member whose role it
    /// is to take: the newest unit is copied, and each one from then on is written to both. Not earlier: rows that the
    /// replacement has not got yet need no record once that member fails, and could not be told from those of an old one.
    /// - Returns: whether that is so; if not, it is to be asked again.
    package func copyLogToReplacement(into output: inout PlannerOutput) -> Bool {
        guard let member = replacement?.member, let log = logs.map({ $0.logs + member }) else { return true }
        guard log.pointee.replica == .missing, log.pointee.phase != .writing else {
            return log.pointee.replica == .written
        }
        if log.pointee.unitByteCount == 0 { completeUnit(member, entryCount: 0, byteCount: 0, into: &output) }
        log.pointee.replica = .underWay
        emitToReplacement(unitWrite(member), into: &output)
        return false
    }

    /// The rows of an operation with a record are written as far as they will be.
    func endRecord(_ slot: Int32) {
        guard operations[Int(slot)].isRecorded else { return }
        operations[Int(slot)].isRecorded = false
        logs!.logs[parityMember(of: slot)].coveredCount -= 1
    }

    /// Notes that an operation with a record writes to a member.
    func noteRecordedWrite(_ operation: StripeOperation, member: Int) {
        logs!.logs[geometry.parityMember(stripe: operation.stripe)].written |= 1 << UInt64(member)
    }

    /// Takes each log as far as it goes: from rows that are written to flushes, from rows that are durable to the next
    /// unit.
    func advanceLogs(into output: inout PlannerOutput) {
        for member in 0..<geometry.memberCount {
            let log = logs!.logs + member
            guard log.pointee.phase == .covering, log.pointee.coveredCount == 0 else { continue }
            log.pointee.phase = .flushing
            log.pointee.unflushed = log.pointee.written
            log.pointee.written = 0
        }
        emitLogFlushes(into: &output)
        for member in 0..<geometry.memberCount {
            let log = logs!.logs + member
            if log.pointee.phase == .flushing, log.pointee.unflushed | log.pointee.flushing == 0 {
                log.pointee.phase = .idle
            }
            guard log.pointee.phase == .idle, log.pointee.replica != .underWay, !log.pointee.waiting.isEmpty else {
                continue
            }
            emitUnit(member, into: &output)
        }
    }

    private func emitLogFlushes(into output: inout PlannerOutput) {
        for member in 0..<geometry.memberCount where member == absent || state == .failed {
            logs!.forget(member: member)
        }
        if replacement == nil { logs!.forget(member: geometry.replacementPlace) }
        var flushable = logs!.flushable
        while flushable != 0 {
            let member = flushable.trailingZeroBitCount
            flushable &= flushable - 1
            logs!.beginFlush(ofMember: member)
            let flush = memberFlush(member, token: token(Self.logFlushToken, member: member))
            if member == geometry.replacementPlace {
                emitToReplacement(flush, into: &output)
            } else {
                output.memberIOs.append(flush)
            }
        }
    }

    /// Makes a unit of as many operations as fit, and writes it. Those that were planned before a member failed are
    /// planned again instead.
    private func emitUnit(_ member: Int, into output: inout PlannerOutput) {
        let log = logs!.logs + member
        var entryCount = 0
        var byteCount = 0
        while let slot = log.pointee.waiting.first, entryCount < MDPartialParityLog.entryCountMax {
            if state == .failed || !isPlannedForState(slot) {
                _ = log.pointee.waiting.popFirst(in: operations)
                start(slot, into: &output)
                continue
            }
            let entry = logEntry(of: operations[Int(slot)])
            let length = Int(entry.partialParityByteCount)
            guard byteCount + length <= logs!.capacity else { break }
            _ = log.pointee.waiting.popFirst(in: operations)
            entry.encode(at: MDPartialParityLog.entry(entryCount, ofHeaderAt: logs!.header(ofMember: member)))
            operations[Int(slot)].recordOffset = UInt32(byteCount)
            operations[Int(slot)].isRecorded = true
            if length > 0 { emitPartialParity(operations[Int(slot)], entry: entryCount, into: &output) }
            log.pointee.unit.append(slot, in: operations)
            byteCount += length
            entryCount += 1
        }
        guard entryCount > 0 else { return }
        log.pointee.phase = .writing
        log.pointee.coveredCount = UInt32(entryCount)
        log.pointee.writeStatus = .done
        log.pointee.writeCount = 1
        completeUnit(member, entryCount: entryCount, byteCount: byteCount, into: &output)
        output.memberIOs.append(unitWrite(member))
        guard log.pointee.replica == .written, replacement?.member == member else { return }
        log.pointee.writeCount = 2
        emitToReplacement(unitWrite(member), into: &output)
    }

    /// Makes the header of a unit whose entries are there.
    private func completeUnit(_ member: Int, entryCount: Int, byteCount: Int, into output: inout PlannerOutput) {
        let log = logs!.logs + member
        log.pointee.generation += 1
        log.pointee.unitByteCount = MDPartialParityLog.headerByteCount + byteCount
        let header = logs!.header(ofMember: member)
        MDPartialParityLog.complete(headerAt: header, generation: log.pointee.generation, entryCount: entryCount)
        output.checksumJobs.append(
            ChecksumJob(
                destination: header + MDPartialParityLog.checksumOffset, source: header,
                byteCount: MDPartialParityLog.headerByteCount))
    }

    private func unitWrite(_ member: Int) -> MemberIO {
        let log = logs!.logs[member]
        return MemberIO(
            kind: .durableWrite, member: member, byteOffset: log.areaByteOffset, byteCount: log.unitByteCount,
            memory: logs!.header(ofMember: member), token: token(Self.logWriteToken, member: member))
    }

    private func logEntry(of operation: StripeOperation) -> MDPartialParityLog.Entry {
        let rows = UInt64(operation.rowByteCount)
        let columns = UInt64(operation.passColumns.count)
        let first =
            operation.stripe * geometry.stripeByteCount + UInt64(operation.pass0) * geometry.chunkByteCount
            + UInt64(operation.row0)
        return MDPartialParityLog.Entry(
            dataSector: first / 512,
            partialParityByteCount: columns == geometry.columnCount ? 0 : UInt32(rows),
            dataByteCount: UInt32(rows * columns),
            parityRole: UInt32(geometry.parityMember(stripe: operation.stripe)))
    }

    /// What the rows' parity is without the data that is going to be written: old parity and old data, or the data that
    /// stays.
    private func emitPartialParity(_ operation: StripeOperation, entry: Int, into output: inout PlannerOutput) {
        let parity = geometry.parityMember(stripe: operation.stripe)
        let firstSource = output.paritySources.count
        appendPartialParitySources(operation, to: &output)
        let destination = logs!.partialParity(ofMember: parity) + Int(operation.recordOffset)
        output.parityJobs.append(
            ParityJob(
                destination: destination, byteCount: operation.rowByteCount, firstSource: firstSource,
                sourceCount: output.paritySources.count - firstSource))
        let encoded = MDPartialParityLog.entry(entry, ofHeaderAt: logs!.header(ofMember: parity))
        output.checksumJobs.append(
            ChecksumJob(
                destination: encoded + MDPartialParityLog.entryChecksumOffset, source: destination,
                byteCount: operation.rowByteCount))
    }

    /// Whether what an operation read, and which columns it is about to write, is right for the members there are.
    private func isPlannedForState(_ slot: Int32) -> Bool {
        operations[Int(slot)].plannedMissing == Int8(missing(for: operations[Int(slot)]) ?? -1)
    }

    private func parityMember(of slot: Int32) -> Int { geometry.parityMember(stripe: operations[Int(slot)].stripe) }
}
