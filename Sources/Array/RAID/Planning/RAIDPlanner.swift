import MDFormat
import MemberIO

/// Turns array requests into member I/Os and parity jobs, and their outcomes into finished requests.
///
/// A state machine: it does no I/O, follows no payload pointer, reads no clock and starts no thread. Everything is
/// allocated at the start; requests that find no room wait inside, in order. Its parts own the state and take the
/// steps; the planner carries operations from one part to the next.
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
    /// The bytes of scratch memory that `init` needs.
    package static func scratchByteCount(memberCount: Int) -> Int { ScratchPool.byteCount(memberCount: memberCount) }

    /// The array's shape.
    package let geometry: ArrayGeometry
    /// Who is there.
    var members: PlannedMembers
    /// Counts of RAID 5 updates, by what they had to read.
    package internal(set) var statistics = WriteStatistics()

    private(set) var requests: RequestTable
    /// What operations hold and wait for.
    var schedule: OperationSchedule
    let operations: UnsafeMutablePointer<StripeOperation>
    /// What operations read, compute and write.
    let io: OperationIO
    var healing: BlockHealing
    var mending: Mending
    var maintenance: MaintenanceWork
    /// Present under the policy `.partialParityLog`.
    var logs: PartialParityLogs?
    /// Present under the policy `.bitmap`.
    var bitmap: WriteIntentBitmap?

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
        members = PlannedMembers(geometry: geometry, missing: missingMember)
        requests = RequestTable(geometry: geometry, capacity: requestCapacity)
        schedule = OperationSchedule(capacity: operationCapacity)
        operations = schedule.operations
        io = OperationIO(
            geometry: geometry, operations: operations,
            scratch: ScratchMemory(base: scratch, memberCount: geometry.memberCount), zeroes: zeroes)
        healing = BlockHealing(io)
        mending = Mending(io)
        maintenance = MaintenanceWork(io)
        switch consistency {
        case .resync: break
        case .bitmap(let area): bitmap = WriteIntentBitmap(area, geometry: geometry)
        case .partialParityLog(let area): logs = PartialParityLogs(area, geometry: geometry)
        }
    }

    deinit {
        requests.deallocate()
        schedule.deallocate()
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
        case (.flush, _): requests.flush(request.tag, &members, into: &output)
        case (_, .raid0): requests.emit(request.tag, &members, into: &output)
        case (_, .raid5):
            // Behind those that wait for a free operation.
            if requests.hasStarved || !expand(request.tag, into: &output) { requests.starve(request.tag) }
            if !schedule.ended.isEmpty { settle(into: &output) }
        }
    }

    /// Takes the outcome of a member I/O. If it is a member's failure (`isFailure`) on RAID 5, the caller has called
    /// `memberFailed` before.
    package func complete(_ token: PlannerToken, _ status: MemberStatus, into output: inout PlannerOutput) {
        if token.isToReplacement { members.endReplacementIO() }
        switch token.kind {
        case .operation: completeIO(token.operation, status, into: &output)
        case .healing:
            let next = healing.complete(token.operation, member: token.healedRole, status, members, into: &output)
            go(on: token.operation, next, into: &output)
        case .request: requests.completeIO(token.tag, status, &members, into: &output)
        case .flushRound: requests.completeFlush(status, &members, into: &output)
        case .logWrite: completeLogWrite(token.logRole, status, isReplica: token.isToReplacement, into: &output)
        case .logFlush: logs!.endFlush(of: token.flushedPlace)
        case .bitmapWrite: completeBitmapWrite(status, into: &output)
        case .bitmapFlush: bitmap!.endFlush(status)
        }
        if !schedule.ended.isEmpty { settle(into: &output) }
    }

    /// Ends a run of calls, before other callers are let in: what the calls have gathered for a log or the bitmap is
    /// written at once.
    package func finishBatch(into output: inout PlannerOutput) {
        guard logs != nil || bitmap != nil else { return }
        while true {
            if logs != nil { advanceLogs(into: &output) }
            if bitmap != nil { advanceBitmap(into: &output) }
            if schedule.ended.isEmpty { return }
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

    /// Turns as much of a request into operations as there are free ones.
    /// - Returns: whether that was all of it.
    private func expand(_ tag: UInt32, into output: inout PlannerOutput) -> Bool {
        let request = requests[tag]
        // A record of the log covers one stripe.
        let zeroesStripes = logs == nil
        while !request.pointee.isExpanded, request.pointee.status != .failed {
            guard schedule.freeCount > 0 else { return false }
            guard let operation = request.pointee.takeOperation(geometry, zeroesStripes: zeroesStripes)
            else { continue }
            request.pointee.remaining += 1
            begin(schedule.add(operation), into: &output)
        }
        requests.endExpansion(tag, &members, into: &output)
        return true
    }

    // MARK: Ends

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
            schedule.end(index)
        }
    }

    /// Ends a recovery's work in order.
    func retire() {
        while let index = maintenance.retireFirst(&members) { schedule.end(index) }
    }

    /// Releases operations that ended and starts what waited for them. It is a loop over a list, since in a failed
    /// array one end causes the next, thousands of times.
    func settle(into output: inout PlannerOutput) {
        while true {
            switch schedule.takeDue() {
            case .release(let index): release(index, into: &output)
            case .start(let index): start(index, into: &output)
            case nil:
                guard schedule.freeCount > 0, let tag = requests.firstStarved else { return }
                if expand(tag, into: &output) { requests.serveFirst() }
            }
        }
    }

    /// Gives up what an ended operation holds, and ends its request if it was the last one.
    private func release(_ index: OperationIndex, into output: inout PlannerOutput) {
        let released = operations[index]
        start(schedule.giveUp(index), into: &output)
        schedule.release(index)
        if released.kind.isMaintenance { return output.maintained.append(released.maintenanceOutcome(geometry)) }
        requests.end(part: released.status, of: released.request, &members, into: &output)
    }
}
