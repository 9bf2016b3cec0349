import MDFormat
import MemberIO

/// Turns array requests into member I/Os and parity jobs, and their outcomes into finished requests.
///
/// A state machine: it does no I/O, follows no payload pointer, reads no clock and starts no thread. Everything is
/// allocated at the start; requests that find no room wait inside, in order.
///
/// Threads: none of its own; the caller lets one call in at a time.
///
/// The words for endings:
/// - *complete*: an I/O has come back.
/// - *finish*: all I/Os of a step have come back, and the next step begins.
/// - *end*: an operation, a record or a round is over, and its status is final.
/// - *retire*: work on a recovery that ended leaves the window, in the order of its ranges.
/// - *settle*: ended operations are released, and whatever waited for them starts.
/// - *release*: an ended operation gives up its stripe range (*unlock*), its scratch memory and its index.
package final class RAIDPlanner {
    /// The longest range of one zeroing I/O, bytes.
    static let zeroByteCountMax: UInt64 = 1 << 30

    /// The bytes of scratch memory that `init` needs.
    package static func scratchByteCount(memberCount: Int) -> Int { ScratchPool.byteCount(memberCount: memberCount) }

    /// The array's shape.
    package let geometry: ArrayGeometry
    /// Who is there.
    var members: PlannedMembers
    /// Counts of RAID 5 updates, by what they had to read.
    package internal(set) var statistics = WriteStatistics()
    /// By role: the blocks that could not be read, and were computed and written anew.
    package internal(set) var correctedReads: [UInt64]
    var doubt = ParityDoubt()

    var requests: RequestTable
    private(set) var pool: OperationPool
    let operations: UnsafeMutablePointer<StripeOperation>
    /// Operations that ended and still hold their stripe range, scratch memory and index.
    var ended = OperationList()
    private(set) var stripeIndex: StripeIndex
    var flushes: FlushRounds
    /// Work on a recovery that is under way.
    var window = MaintenanceWindow()
    var scratch: ScratchPool
    /// Present under the policy `.partialParityLog`.
    var logs: PartialParityLogs?
    /// Present under the policy `.bitmap`.
    var bitmap: WriteIntentBitmap?
    /// At least 64 KiB of zeros: what `writeZeroes` writes to a column.
    let zeroes: UnsafeRawPointer

    /// - Parameters:
    ///   - requestCapacity: tags are below it.
    ///   - operationCapacity: RAID 5 operations at a time.
    ///   - scratch: `scratchByteCount` bytes, aligned to 4096.
    ///   - zeroes: at least 64 KiB of zeros, aligned to 64.
    ///   - missingMember: the role that is absent; RAID 5 only.
    ///   - consistency: what keeps the parity right through a crash; for RAID 0 `.resync`.
    package init(
        geometry: ArrayGeometry, requestCapacity: Int, operationCapacity: Int = 2048,
        scratch: UnsafeMutableRawPointer, zeroes: UnsafeRawPointer, missingMember: Role? = nil,
        consistency: ConsistencyPolicy = .resync
    ) {
        self.geometry = geometry
        self.zeroes = zeroes
        members = PlannedMembers(geometry: geometry, missing: missingMember)
        correctedReads = Array(repeating: 0, count: geometry.memberCount)
        requests = RequestTable(capacity: requestCapacity)
        pool = OperationPool(capacity: operationCapacity)
        operations = pool.operations
        stripeIndex = StripeIndex(operations: operations)
        self.scratch = ScratchPool(base: scratch, memberCount: geometry.memberCount)
        flushes = FlushRounds(requestCapacity: requestCapacity)
        switch consistency {
        case .resync: break
        case .bitmap(let area): bitmap = WriteIntentBitmap(area, geometry: geometry)
        case .partialParityLog(let area): logs = PartialParityLogs(area, geometry: geometry)
        }
    }

    deinit {
        requests.deallocate()
        pool.deallocate()
        stripeIndex.deallocate()
        scratch.deallocate()
        logs?.deallocate()
        bitmap?.deallocate()
    }

    // MARK: Input

    /// Takes a request. It ends in `PlannerOutput.finished`, now or in a later call.
    package func submit(_ request: ArrayRequest, into output: inout PlannerOutput) {
        assert(
            request.byteOffset + request.byteCount <= geometry.capacityByteCount, "the request ends behind the array")
        requests.begin(request)
        guard state != .failed else {
            output.finished.append(FinishedRequest(tag: request.tag, status: .failed))
            return
        }
        switch (request.operation, geometry.level) {
        case (.flush, _): flush(request.tag, into: &output)
        case (_, .raid0): submitRAID0(request, into: &output)
        case (_, .raid5):
            // Behind those that wait for a free operation.
            if requests.hasStarved || !expand(request.tag, into: &output) { requests.starve(request.tag) }
            if !ended.isEmpty { settle(into: &output) }
        }
    }

    /// Takes the outcome of a member I/O. If it is a member's failure (`isFailure`) on RAID 5, the caller has called
    /// `memberFailed` before.
    package func complete(_ token: PlannerToken, _ status: MemberStatus, into output: inout PlannerOutput) {
        if token.isToReplacement { members.endReplacementIO() }
        switch token.kind {
        case .operation: completeIO(token.operation, status, into: &output)
        case .healing: completeHealingIO(token.operation, member: token.healedRole, status, into: &output)
        case .request: completeRequestIO(token.tag, status, into: &output)
        case .flushRound: completeFlush(status, into: &output)
        case .logWrite: completeLogWrite(token.logRole, status, isReplica: token.isToReplacement, into: &output)
        case .logFlush: logs!.endFlush(of: token.flushedPlace)
        case .bitmapWrite: completeBitmapWrite(status, into: &output)
        case .bitmapFlush: bitmap!.endFlush(status)
        }
        if !ended.isEmpty { settle(into: &output) }
    }

    /// Ends a run of calls, before other callers are let in: what the calls have gathered for a log or the bitmap is
    /// written at once.
    package func finishBatch(into output: inout PlannerOutput) {
        guard logs != nil || bitmap != nil else { return }
        while true {
            if logs != nil { advanceLogs(into: &output) }
            if bitmap != nil { advanceBitmap(into: &output) }
            if ended.isEmpty { return }
            settle(into: &output)
        }
    }

    /// Takes back a write group that was not started since there is no space for it. Its operation ends with nothing
    /// written.
    /// - Parameter token: the group's.
    package func reject(_ token: PlannerToken, into output: inout PlannerOutput) {
        let index = token.operation
        assert(operations[index].outstanding > 0, "the group has no I/O")
        precondition(operations[index].phase == .writing, "no group of the operation waits for space")
        operations[index].outstanding = 0
        if operations[index].writesToReplacement { members.endReplacementIO() }
        end(index, .noSpace)
        settle(into: &output)
    }

    // MARK: Requests without operations

    private func submitRAID0(_ request: ArrayRequest, into output: inout PlannerOutput) {
        requests[request.tag].pointee.remaining += StripedRequest(geometry: geometry, request: request)
            .emit(into: &output)
        if requests[request.tag].pointee.remaining == 0 { finishRequestPart(request.tag, into: &output) }
    }

    private func completeRequestIO(_ tag: UInt32, _ status: MemberStatus, into output: inout PlannerOutput) {
        let request = requests[tag]
        assert(request.pointee.remaining > 0, "no I/O of the request is under way")
        request.pointee.remaining -= 1
        switch status {
        case .done: break
        case .noSpace: request.pointee.status = request.pointee.status.combined(with: .noSpace)
        case .refused: request.pointee.status = request.pointee.status.combined(with: .refused)
        case .unreadable, .failed: request.pointee.status = .failed
        }
        finishRequestPart(tag, into: &output)
    }

    /// Ends a request when nothing of it is left, after a flush if it must be durable. A request that ends in a failed
    /// array has failed, whatever its I/Os did.
    func finishRequestPart(_ tag: UInt32, into output: inout PlannerOutput) {
        let request = requests[tag]
        let isExpanded =
            geometry.level == .raid0 || request.pointee.request.operation == .flush
            || request.pointee.isExpanded
        guard request.pointee.remaining == 0, isExpanded else { return }
        if state == .failed { request.pointee.status = .failed }
        let mustFlush = request.pointee.request.forceUnitAccess && request.pointee.request.operation != .read
        if mustFlush && !request.pointee.isFlushing && request.pointee.status == .done {
            flush(tag, into: &output)
        } else {
            output.finished.append(FinishedRequest(tag: tag, status: request.pointee.status))
        }
    }

    // MARK: Operations

    /// Turns as much of a request into operations as there are free ones.
    /// - Returns: whether that was all of it.
    private func expand(_ tag: UInt32, into output: inout PlannerOutput) -> Bool {
        let request = requests[tag]
        // A record of the log covers one stripe.
        let zeroesStripes = logs == nil
        while !request.pointee.isExpanded, request.pointee.status != .failed {
            guard pool.freeCount > 0 else { return false }
            guard let operation = request.pointee.takeOperation(geometry, zeroesStripes: zeroesStripes)
            else { continue }
            request.pointee.remaining += 1
            add(operation, into: &output)
        }
        request.pointee.endExpansion()
        finishRequestPart(tag, into: &output)
        return true
    }

    /// Begins an operation. At least one is free.
    /// - Returns: its index.
    @discardableResult
    func add(_ operation: StripeOperation, into output: inout PlannerOutput) -> OperationIndex {
        let index = pool.add(operation)
        begin(index, into: &output)
        return index
    }

    /// Starts an operation, or queues it behind earlier ones that overlap it. A read from a present member needs
    /// neither order nor scratch memory: it sees each block as it was before or after a write that is under way.
    func begin(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "an operation begins anew with I/O under way")
        if operation.pointee.kind == .read && operation.pointee.verdict != .heal && !isMissing(operation.pointee) {
            start(index, into: &output)
        } else if operation.pointee.lock.isIndexed {
            claimScratch(index, into: &output)
        } else {
            stripeIndex.insert(index)
            guard operation.pointee.lock.blockers == 0 else { return operation.pointee.move(to: .awaitingLock) }
            claimScratch(index, into: &output)
        }
    }

    /// Starts an operation that nothing blocks any more, once it has scratch memory. Operations get that in order.
    private func claimScratch(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0, "blocks come after the lock")
        guard
            operation.pointee.kind.isWithoutReads || !operation.pointee.scratch.isNone
                || scratch.claim(for: &operation.pointee)
        else {
            operation.pointee.move(to: .awaitingScratch)
            return scratch.append(index, in: operations)
        }
        start(index, into: &output)
    }

    /// Starts an operation from its first column. One that met a bad block heals its blocks first.
    func start(_ index: OperationIndex, into output: inout PlannerOutput) {
        if operations[index].verdict == .heal { return heal(index, into: &output) }
        operations[index].pass0 = operations[index].column0
        startPass(index, into: &output)
    }

    /// Emits a pass's reads. A pass that needs none goes on to write at once.
    private func startPass(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let kind = operation.pointee.kind
        assert(
            kind == .read || operation.pointee.lock.isIndexed && operation.pointee.lock.blockers == 0,
            "a pass needs its stripe range")
        guard state != .failed, !kind.isMaintenance || members.allow(kind) else { return end(index, .failed) }
        precondition(operation.pointee.verdict == .goOn && operation.pointee.outstanding == 0, "a step is under way")
        operation.pointee.move(to: .reading)
        operation.pointee.generation = members.generation
        operation.pointee.plannedMissing = missing(for: operation.pointee)
        operation.pointee.pass1 = lastColumnOfPass(operation.pointee)
        emitReads(index, into: &output)
        if operation.pointee.outstanding == 0 { finishReading(index, into: &output) }
    }

    /// Goes on to write, once a log record or bits of the bitmap protect the write.
    private func finishReading(_ index: OperationIndex, into output: inout PlannerOutput) {
        let kind = operations[index].kind
        assert(operations[index].outstanding == 0 && operations[index].verdict == .goOn, "the reads are not done")
        if kind == .read { return finishClientRead(index, into: &output) }
        // A crash in maintenance does no harm: it writes to a member that does not count there yet, or parity that was
        // wrong.
        if kind.isMaintenance { return startTesting(index, into: &output) }
        if logs != nil && hasRecord(operations[index]) { return awaitRecord(index) }
        if bitmap != nil && awaitBits(index) { return }
        startWriting(index, into: &output)
    }

    /// Ends a client's read, or computes what it wants.
    private func finishClientRead(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        guard state != .failed else { return end(index, .failed) }
        guard !operation.pointee.scratch.isNone && isMissing(operation.pointee) else { return end(index, .done) }
        operation.pointee.move(to: .computing)
        emitReconstruction(index, into: &output)
    }

    /// Emits a pass's parity jobs and writes.
    func startWriting(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        // What was read no longer suffices, and a failed array is left as it is.
        guard state != .failed else { return end(index, .failed) }
        assert(isProtected(operation.pointee), "a write begins before it is protected")
        beginWriting(index)
        let firstIO = output.memberIOs.count
        emitWrites(index, into: &output)
        guard operation.pointee.outstanding > 0 else { return finishPass(index, into: &output) }
        group(index, from: firstIO, into: &output)
    }

    /// Whether what a crash during an operation's writes would take is durable: its bits, or its record.
    private func isProtected(_ operation: StripeOperation) -> Bool {
        if let bitmap { return bitmap.isDurable(for: operation) }
        return logs == nil || !hasRecord(operation) || operation.recordOffset != nil
    }

    /// Puts an operation into its writing phase; its writes are emitted next.
    func beginWriting(_ index: OperationIndex) {
        operations[index].move(to: .writing)
        operations[index].generation = members.generation
        operations[index].writesToReplacement = false
    }

    /// Says that an operation's writes start together or not at all.
    func group(_ index: OperationIndex, from firstIO: Int, into output: inout PlannerOutput) {
        assert(output.memberIOs.count > firstIO, "a group has no I/O")
        output.groups.append(
            WriteGroup(firstIO: firstIO, ioCount: output.memberIOs.count - firstIO, token: .operation(index)))
    }

    private func completeIO(_ index: OperationIndex, _ status: MemberStatus, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding > 0, "no I/O of the operation is under way")
        operation.pointee.outstanding -= 1
        switch operation.pointee.phase {
        case .reading: noteRead(index, status)
        case .computing: break
        case .writing: noteWrite(index, status)
        case .mending, .mendingParity: operation.pointee.noteMending(status)
        default: preconditionFailure("the operation has no I/O under way")
        }
        guard operation.pointee.outstanding == 0 else { return }
        if operation.pointee.verdict == .replan { return replan(index, into: &output) }
        switch operation.pointee.phase {
        case .reading where operation.pointee.status == .refused: end(index, .refused)
        case .reading where operation.pointee.verdict == .heal: startHealing(index, into: &output)
        case .reading: finishReading(index, into: &output)
        case .mending, .mendingParity: finishMending(index, into: &output)
        default: finishPass(index, into: &output)
        }
    }

    private func noteRead(_ index: OperationIndex, _ status: MemberStatus) {
        let operation = operations + index
        switch status {
        case .done, .unreadable:
            // The member may have arrived since, and not have this data.
            if operation.pointee.generation != members.generation { operation.pointee.note(.replan) }
            if status == .unreadable { noteBadBlock(index) }
        // A second try would be refused like the first.
        case .refused: operation.pointee.status = operation.pointee.status.combined(with: .refused)
        case .noSpace, .failed:
            if isCopyRead(operation.pointee) { operation.pointee.isUnreadable = true }
            operation.pointee.note(.replan)
        }
    }

    private func noteWrite(_ index: OperationIndex, _ status: MemberStatus) {
        let operation = operations + index
        switch status {
        case .done: break
        case .refused: operation.pointee.status = operation.pointee.status.combined(with: .refused)
        case .noSpace: operation.pointee.status = operation.pointee.status.combined(with: .noSpace)
        // The other members make up for the failed one, unless it was one too many.
        case .failed, .unreadable:
            if state == .failed || operation.pointee.kind.isMaintenance { operation.pointee.status = .failed }
        }
    }

    /// Plans an operation again, for the members that are there now.
    func replan(_ index: OperationIndex, into output: inout PlannerOutput) {
        operations[index].clearVerdict()
        begin(index, into: &output)
    }

    /// Goes on with an operation's next columns, or ends it.
    private func finishPass(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "the pass is not done")
        if operation.pointee.status == .noSpace || operation.pointee.status == .refused {
            return startMending(index, into: &output)
        }
        guard operation.pointee.status == .done, operation.pointee.pass1 < operation.pointee.column1 else {
            return end(index, .done)
        }
        logs?.endRecord(of: &operation.pointee)
        operation.pointee.pass0 = operation.pointee.pass1 + 1
        startPass(index, into: &output)
    }

    /// Ends an operation with the worse of `status` and its own. `settle` releases it.
    func end(_ index: OperationIndex, _ status: ArrayStatus) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "an operation ends with I/O under way")
        logs?.endRecord(of: &operation.pointee)
        operation.pointee.status = operation.pointee.status.combined(with: status)
        if operation.pointee.kind.isRecovery {
            operation.pointee.move(to: .retiring)
            retire()
        } else {
            operation.pointee.move(to: .ended)
            ended.append(index, in: operations)
        }
    }

    /// Releases operations that ended and starts what waited for them. It is a loop over a list, since in a failed
    /// array one end causes the next, thousands of times.
    func settle(into output: inout PlannerOutput) {
        while true {
            if let index = ended.popFirst(in: operations) {
                release(index, into: &output)
            } else if let index = scratch.serveFirst(in: operations) {
                start(index, into: &output)
            } else if pool.freeCount > 0, let tag = requests.firstStarved {
                if expand(tag, into: &output) { requests.serveFirst() }
            } else {
                return
            }
        }
    }

    /// Unlocks an operation's stripe range and starts what waited for it. The operation may go on, having changed
    /// nothing yet.
    func unlock(_ index: OperationIndex, into output: inout PlannerOutput) {
        var ready = OperationList()
        stripeIndex.remove(index) { ready.append($0, in: operations) }
        while let next = ready.popFirst(in: operations) { claimScratch(next, into: &output) }
    }

    /// Gives up an ended operation's stripe range, scratch memory and index, and ends its request if it was the last
    /// one.
    private func release(_ index: OperationIndex, into output: inout PlannerOutput) {
        let released = operations[index]
        assert(released.phase == .ended, "an operation is released before its end")
        if !released.scratch.isNone { scratch.release(released.scratch) }
        if released.lock.isIndexed { unlock(index, into: &output) }
        pool.release(index)
        if released.kind.isMaintenance { return output.maintained.append(released.maintenanceOutcome(geometry)) }
        let request = requests[released.request]
        request.pointee.status = request.pointee.status.combined(with: released.status)
        assert(request.pointee.remaining > 0, "the request has no operation")
        request.pointee.remaining -= 1
        finishRequestPart(released.request, into: &output)
    }
}
