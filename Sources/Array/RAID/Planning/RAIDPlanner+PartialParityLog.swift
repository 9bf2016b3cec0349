import MDFormat
import MemberIO

/// The stop at the partial parity log between an operation's reads and its writes.
extension RAIDPlanner {
    /// Makes an operation wait for a record in the log of its parity's member.
    func awaitRecord(_ index: Int32) {
        operations[Int(index)].move(to: .protecting)
        logs!.logs[parityMember(of: index)].waiting.append(index, in: operations)
    }

    /// Takes the outcome of a log unit's write; the unit's operations go on.
    /// - Parameter isReplica: the write went to the log of the member's replacement.
    func completeLogWrite(
        _ member: Int, _ status: MemberStatus, isReplica: Bool, into output: inout PlannerOutput
    ) {
        let log = logs!.logs + member
        if isReplica {
            let isCopy = log.pointee.replica == .underWay
            log.pointee.replica = status == .done ? .written : .missing
            if isCopy { return }
        }
        // Either of the two members may have the role when the operations go on, so both need the record.
        if status == .failed || log.pointee.writeStatus == .done { log.pointee.writeStatus = status }
        log.pointee.writeCount -= 1
        guard log.pointee.writeCount == 0 else { return }
        log.pointee.phase = .covering
        while let index = log.pointee.unit.popFirst(in: operations) {
            if log.pointee.writeStatus == .noSpace {
                end(index, .noSpace)
            } else if log.pointee.writeStatus == .refused {
                end(index, .refused)
            } else if log.pointee.writeStatus == .failed || !isPlannedForState(index) {
                endRecord(index)
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
        guard let member = replacement?.member, let log = logs.map({ $0.logs + member }) else { return true }
        guard log.pointee.replica == .missing, log.pointee.phase != .writing else {
            return log.pointee.replica == .written
        }
        if log.pointee.unitByteCount == 0 { sealUnit(member, entryCount: 0, byteCount: 0, into: &output) }
        log.pointee.replica = .underWay
        emitToReplacement(unitWrite(member), into: &output)
        return false
    }

    /// Ends an operation's record, if it has one: what was to be written is written as far as it will be.
    func endRecord(_ index: Int32) {
        guard operations[Int(index)].recordOffset != nil else { return }
        operations[Int(index)].recordOffset = nil
        logs!.logs[parityMember(of: index)].coveredCount -= 1
    }

    /// Notes that an operation with a record writes to a member.
    /// - Parameter member: its place.
    func noteRecordedWrite(_ operation: StripeOperation, member: Int) {
        logs!.logs[geometry.parityMember(stripe: operation.stripe)].written |= 1 << UInt64(member)
    }

    /// Takes each log as far as it goes: from data that is written to flushes, from data that is durable to the next
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
        for member in 0..<geometry.memberCount where member == members.absent || state == .failed {
            logs!.forget(member: member)
        }
        if replacement == nil { logs!.forget(member: geometry.replacementPlace) }
        var flushable = logs!.flushable
        while flushable != 0 {
            let member = flushable.trailingZeroBitCount
            flushable &= flushable - 1
            logs!.beginFlush(ofMember: member)
            let flush = memberFlush(member, token: token(.logFlush, place: member))
            if member == geometry.replacementPlace {
                emitToReplacement(flush, into: &output)
            } else {
                output.memberIOs.append(flush)
            }
        }
    }

    /// Makes a log unit of as many operations as fit, and writes it. Operations that were planned before a member
    /// failed are planned again instead.
    private func emitUnit(_ member: Int, into output: inout PlannerOutput) {
        let log = logs!.logs + member
        var entryCount = 0
        var byteCount = 0
        while let index = log.pointee.waiting.first, entryCount < MDPartialParityLog.entryCountMax {
            if state == .failed || !isPlannedForState(index) {
                _ = log.pointee.waiting.popFirst(in: operations)
                start(index, into: &output)
                continue
            }
            let entry = logEntry(of: operations[Int(index)])
            let length = Int(entry.partialParityByteCount)
            guard byteCount + length <= logs!.capacity else { break }
            _ = log.pointee.waiting.popFirst(in: operations)
            entry.encode(at: MDPartialParityLog.entry(entryCount, ofHeaderAt: logs!.header(ofMember: member)))
            operations[Int(index)].recordOffset = UInt32(byteCount)
            if length > 0 { emitPartialParity(operations[Int(index)], entry: entryCount, into: &output) }
            log.pointee.unit.append(index, in: operations)
            byteCount += length
            entryCount += 1
        }
        guard entryCount > 0 else { return }
        log.pointee.phase = .writing
        log.pointee.coveredCount = UInt32(entryCount)
        log.pointee.writeStatus = .done
        log.pointee.writeCount = 1
        sealUnit(member, entryCount: entryCount, byteCount: byteCount, into: &output)
        output.memberIOs.append(unitWrite(member))
        guard log.pointee.replica == .written, replacement?.member == member else { return }
        log.pointee.writeCount = 2
        emitToReplacement(unitWrite(member), into: &output)
    }

    /// Fills the header of a log unit whose entries are there.
    private func sealUnit(_ member: Int, entryCount: Int, byteCount: Int, into output: inout PlannerOutput) {
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
            memory: logs!.header(ofMember: member), token: token(.logWrite, place: member))
    }

    private func logEntry(of operation: StripeOperation) -> MDPartialParityLog.Entry {
        let byteCount = UInt64(operation.columnByteCount)
        let columns = UInt64(operation.passColumns.count)
        let first =
            operation.stripe * geometry.stripeByteCount + UInt64(operation.pass0) * geometry.chunkByteCount
            + UInt64(operation.chunkOffset)
        return MDPartialParityLog.Entry(
            dataSector: first / 512,
            partialParityByteCount: columns == geometry.columnCount ? 0 : UInt32(byteCount),
            dataByteCount: UInt32(byteCount * columns),
            parityRole: UInt32(geometry.parityMember(stripe: operation.stripe)))
    }

    /// Computes an operation's partial parity into the log unit: the exclusive-or of the columns that stay, or of old
    /// parity and old data, which is the same.
    private func emitPartialParity(_ operation: StripeOperation, entry: Int, into output: inout PlannerOutput) {
        let parity = geometry.parityMember(stripe: operation.stripe)
        let firstSource = output.paritySources.count
        appendPartialParitySources(operation, to: &output)
        let destination = logs!.partialParity(ofMember: parity) + Int(operation.recordOffset!)
        output.parityJobs.append(
            ParityJob(
                destination: destination, byteCount: operation.columnByteCount, firstSource: firstSource,
                sourceCount: output.paritySources.count - firstSource))
        let encoded = MDPartialParityLog.entry(entry, ofHeaderAt: logs!.header(ofMember: parity))
        output.checksumJobs.append(
            ChecksumJob(
                destination: encoded + MDPartialParityLog.entryChecksumOffset, source: destination,
                byteCount: operation.columnByteCount))
    }

    /// Whether the columns that an operation has read and is about to write are right for the members that are there.
    private func isPlannedForState(_ index: Int32) -> Bool {
        operations[Int(index)].plannedMissing == Int8(missing(for: operations[Int(index)]) ?? -1)
    }

    private func parityMember(of index: Int32) -> Int { geometry.parityMember(stripe: operations[Int(index)].stripe) }
}
