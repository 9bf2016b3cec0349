import MemberIO

/// The write path's stop at the partial parity log, between an operation's reads and its writes.
extension RAIDPlanner {
    /// Lets an operation wait for a record in the log of its parity's member.
    func awaitRecord(_ slot: Int32) {
        operations[Int(slot)].phase = .protecting
        logs!.logs[parityMember(of: slot)].waiting.append(slot, in: operations)
    }

    /// A unit was written, or could not be: its operations go on.
    func completeLogWrite(_ member: Int, _ status: MemberStatus, into output: inout PlannerOutput) {
        let log = logs!.logs + member
        log.pointee.phase = .covering
        while let slot = log.pointee.unit.popFirst(in: operations) {
            if status == .noSpace {
                end(slot, .noSpace)
            } else if status == .failed || !isPlannedForState(slot) {
                endRecord(slot)
                start(slot, into: &output)
            } else {
                startWriting(slot, into: &output)
            }
        }
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
            if log.pointee.phase == .idle, !log.pointee.waiting.isEmpty { emitUnit(member, into: &output) }
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
        log.pointee.generation += 1
        let header = logs!.header(ofMember: member)
        MDPartialParityLog.complete(headerAt: header, generation: log.pointee.generation, entryCount: entryCount)
        output.checksumJobs.append(
            ChecksumJob(
                destination: header + MDPartialParityLog.checksumOffset, source: header,
                byteCount: MDPartialParityLog.headerByteCount))
        output.memberIOs.append(
            MemberIO(
                kind: .durableWrite, member: member, byteOffset: log.pointee.areaByteOffset,
                byteCount: MDPartialParityLog.headerByteCount + byteCount, memory: header,
                token: token(Self.logWriteToken, member: member)))
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
