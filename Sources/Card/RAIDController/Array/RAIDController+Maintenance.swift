import ArrayStore
import MemberIO
import Platform
import RAID
import Statistics

/// How the maintenance thread of an array waits before its next call of `maintain`.
package enum MaintenancePause: Sendable, Equatable {
    /// For I/O of its lane or, when there is none, in `waitForMaintenance`.
    case working
    /// In `waitForMaintenance`, until that time at most.
    case until(nanoseconds: UInt64)
    /// In `waitForMaintenance`: there is nothing to do.
    case idle
}

/// Rebuilding, checking and repairing while commands run. The card's firmware does this on a lane of its own.
extension RAIDController {
    /// How often a rebuild's progress is made durable.
    private static let checkpointNanoseconds: UInt64 = 3_000_000_000
    /// How long a job waits after it found no space.
    private static let retryNanoseconds: UInt64 = 5_000_000_000
    /// How long a job waits after it met blocks that could not be read or written.
    private static let unreadableRetryNanoseconds: UInt64 = 60_000_000_000
    /// How long maintenance waits for I/O of a log or of a replacement to end.
    private static let logNanoseconds: UInt64 = 1_000_000
    /// The most steps of one call. Between calls, the caller runs its lane.
    private static let stepMax = 64

    // MARK: The maintenance thread

    /// Does all maintenance of an array that can be done now. Called on the lane's thread, the same one for a target
    /// each time.
    /// - Parameter now: nanoseconds of a clock that does not go back.
    package func maintain(target index: Int, lane number: Int, now: UInt64) -> MaintenancePause {
        let target = arrays[index]
        let lane = lanes[number]!
        defer { post(lane) }
        for _ in 0..<Self.stepMax {
            let step = target.maintenance.next(now: now, clientOperations: takenCount) { request in
                target.plannerLock.withLock {
                    let isTaken = target.planner.submit(request, into: &lane.output)
                    target.planner.finishBatch(into: &lane.output)
                    return isTaken
                }
            }
            switch step {
            case nil:
                if let pause = beginJob(target, now: now) { return pause }
            case .submit:
                execute(lane, target)
                flushStaged(lane, target)
            case .look(let byteOffset): look(from: byteOffset, target)
            case .record(let record): target.array.keep(record)
            case .wait:
                recordProgress(target, now: now)
                return .working
            case .pause(let nanoseconds):
                recordProgress(target, now: now)
                return .until(nanoseconds: nanoseconds)
            case .end(.done) where !isLogCopied(target, lane): return .until(nanoseconds: now + Self.logNanoseconds)
            case .end(let end): finish(end, target, now: now)
            }
        }
        return .working
    }

    /// Copies the replaced member's log to a replacement, which may not take the role without it.
    /// - Returns: whether the copy is complete, or none is needed.
    private func isLogCopied(_ target: ArrayTarget, _ lane: CardLane) -> Bool {
        let isCopied = target.plannerLock.withLock { target.planner.copyLogToReplacement(into: &lane.output) }
        execute(lane, target)
        flushStaged(lane, target)
        return isCopied
    }

    /// Finds the next position at which a job has something to do.
    private func look(from byteOffset: UInt64, _ target: ArrayTarget) {
        if target.maintenance.isGuided {
            let written = target.plannerLock.withLock { target.planner.nextWritten(from: byteOffset) }
            guard written == byteOffset else { return target.maintenance.unwritten(upTo: written) }
        }
        let base = target.geometry.dataByteOffset
        let data = target.array.nextData(from: base + byteOffset)
        target.maintenance.found(data: data.map { $0 - base })
    }

    /// Waits until an array's maintenance is woken, or the time is up.
    package func waitForMaintenance(target: Int, milliseconds: Int) {
        arrays[target].maintenance.wait(milliseconds: milliseconds)
    }

    /// Ends an array's maintenance; a rebuild goes on when the array is opened again. The caller goes on calling
    /// `maintain` until it returns `.idle`.
    package func suspendMaintenance(target: Int) { arrays[target].maintenance.suspend() }

    /// Begins or resumes the job that an array needs, if there is one: a rebuild when it has a member for that, the
    /// repair of doubtful parity, or an interrupted check.
    /// - Returns: nil when there is something to do now.
    private func beginJob(_ target: ArrayTarget, now: UInt64) -> MaintenancePause? {
        let recovery = target.plannerLock.withLock { target.planner.recovery }
        if now < target.retryAt && (recovery != nil || target.array.needsRepair) {
            return .until(nanoseconds: target.retryAt)
        }
        guard !target.array.isReadOnly else { return .idle }
        if target.isSound && recovery == nil {
            guard let schedule = scheduleOfSound(target) else { return .idle }
            return begin(schedule, target) == nil ? .idle : nil
        }
        if recovery == nil {
            // That I/O may go to a spare: a spare's log must not change any more when the spare gets a role.
            let hasReplacementIO = target.plannerLock.withLock { target.planner.hasReplacementIO }
            if hasReplacementIO { return .until(nanoseconds: now + Self.logNanoseconds) }
            target.array.takeBackReconnected()
            guard activateSpare(target, now: now) else {
                return now < target.retryAt ? .until(nanoseconds: target.retryAt) : .idle
            }
        }
        guard let recovery = target.plannerLock.withLock({ target.planner.recovery }) else { return .idle }
        target.checkpointAt = now + Self.checkpointNanoseconds
        let isGuided = target.array.recoveringMember?.isGuided ?? false
        let schedule = MaintenanceSchedule(
            target.isSound ? .replace : .rebuild, geometry: target.geometry, start: recovery.boundary,
            isGuided: isGuided)
        let regions = isGuided ? target.plannerLock.withLock { target.planner.writtenRegions } : nil
        if let regions {
            target.array.report(
                "\(regions.count) of \(regions.total) regions of \(target.array.name) were written to without member "
                    + "\(recovery.member), and are copied to it", .notice)
        }
        return target.maintenance.begin(schedule, member: recovery.member, regions: regions) == nil ? .idle : nil
    }

    /// The job that an array with all its members needs: a repair, an interrupted check or repair, or none.
    private func scheduleOfSound(_ target: ArrayTarget) -> MaintenanceSchedule? {
        let interrupted = target.array.takeInterruptedJob()
        if target.array.needsRepair { return MaintenanceSchedule(.repair, geometry: target.geometry) }
        guard let interrupted else { return nil }
        let percent = target.geometry.percent(interrupted.position)
        target.array.report(
            "the \(interrupted.job.rawValue) of \(target.array.name) that was interrupted goes on at \(percent) %",
            .notice)
        return MaintenanceSchedule(resuming: interrupted, geometry: target.geometry)
    }

    /// Begins a check or a repair. A repair does not cover parity that becomes doubtful after this call.
    /// - Returns: the job's number, or nil when the job cannot begin.
    private func begin(_ schedule: MaintenanceSchedule, _ target: ArrayTarget) -> UInt64? {
        target.plannerLock.withLock { target.doubtCountAtRepair = target.planner.doubtCount }
        return target.maintenance.begin(schedule)
    }

    /// Gives the missing role of a degraded array to a spare.
    /// - Returns: whether a member has the role now, and is to be rebuilt.
    private func activateSpare(_ target: ArrayTarget, now: UInt64) -> Bool {
        guard case .degraded(let missing) = target.plannerLock.withLock({ target.planner.state }) else { return false }
        do throws(ArrayStoreError) {
            return try target.activateSpare()
        } catch {
            // Without the spare, the array stays degraded as it was.
            failUntold(error, else: missing, target)
            if error.kind == .notTaken { target.retryAt = now + Self.unreadableRetryNanoseconds }
            return false
        }
    }

    /// Makes a rebuild's progress durable once in `checkpointNanoseconds`.
    private func recordProgress(_ target: ArrayTarget, now: UInt64) {
        guard now >= target.checkpointAt else { return }
        target.checkpointAt = now + Self.checkpointNanoseconds
        recordBoundary(target)
    }

    /// Makes a rebuild's progress durable.
    /// - Returns: the recovery as it is recorded, or nil when there is none (any more).
    @discardableResult
    private func recordBoundary(_ target: ArrayTarget) -> Recovery? {
        let (recovery, isReplacement) = target.plannerLock.withLock {
            (target.planner.recovery, target.planner.replacement != nil)
        }
        guard let recovery else { return nil }
        let place = isReplacement ? target.geometry.replacementPlace : recovery.member
        do throws(ArrayStoreError) {
            if try target.array.recordRecovery(byteCount: recovery.boundary) { return recovery }
            target.memberFailed(place)
        } catch { failUntold(error, else: place, target) }
        return nil
    }

    /// Fails the members whose superblocks could not be written.
    /// - Parameter place: the role, or the replacement's place, that fails if the error names no member.
    private func failUntold(_ error: ArrayStoreError, else place: Int, _ target: ArrayTarget) {
        target.array.report(error.description, .error)
        if error.kind == .notTaken && error.members.isEmpty { return }
        for untold in error.members.isEmpty ? [place] : error.members { target.memberFailed(untold) }
    }

    private func finish(_ end: MaintenanceSchedule.End, _ target: ArrayTarget, now: UInt64) {
        guard let job = target.maintenance.job else { return }
        var end = end
        if job.isRecovery && end != .failed {
            let recovery = recordBoundary(target)
            if end == .done && !endRecovery(recovery, target, now: now) { end = .failed }
        }
        if end == .noSpace {
            target.array.report(
                "the \(job.rawValue) of \(target.array.name) has no space; it goes on when there is some", .warning)
            target.retryAt = now + Self.retryNanoseconds
        }
        let reason = end == .failed ? reportFailure(of: job, target, now: now) : nil
        if job == .repair && end == .done { noteRepaired(target) }
        if !job.isRecovery { target.array.keep(target.maintenance.interruption) }
        target.maintenance.finish(end, reason: reason, geometry: target.geometry)
        let wrong = target.maintenance.snapshot(geometry: target.geometry)?.wrongByteCount ?? 0
        if wrong > 0 {
            // Reported here too, since the user who asked for the job may have left.
            target.array.report(
                "the \(job.rawValue) of \(target.array.name) found \(wrong) bytes of wrong parity", .warning)
        }
    }

    /// Reports a failed job, and sets the time at which it is tried again.
    /// - Returns: why the job failed, for users.
    private func reportFailure(of job: MaintenanceSchedule.Job, _ target: ArrayTarget, now: UInt64) -> String {
        let (name, failure) = (target.array.name, target.maintenance.failure)
        if target.array.health == .failed { return "\(name) has failed" }
        guard job.isRecovery ? target.hasRecovery : target.isSound else {
            let missing = target.array.failedMembers.map { "member \($0)" }.joined(separator: ", ")
            guard !missing.isEmpty else { return "the new member failed" }
            return job.isRecovery ? "\(missing) failed while it was filled" : "\(missing) failed"
        }
        let reason =
            failure.range.map { target.array.unreadableText(in: $0) ?? "blocks could not be read, but can be read now" }
            ?? "its end could not be recorded on the members"
        let isTriedAgain = job.isRecovery || target.array.needsRepair
        if isTriedAgain { target.retryAt = now + Self.unreadableRetryNanoseconds }
        target.array.report(
            "the \(job.rawValue) of \(name) ended at \(target.geometry.percent(failure.doneByteCount)) %: \(reason)"
                + (isTriedAgain ? "; it is tried again in a minute" : "")
                + ". Writing to those bytes of the array, best in whole stripes, makes them readable", .error)
        return reason
    }

    private func noteRepaired(_ target: ArrayTarget) {
        let isDoubtful = target.plannerLock.withLock {
            target.planner.repaired(doubtCount: target.doubtCountAtRepair)
            return target.planner.isParityDoubtful
        }
        if !isDoubtful { target.array.noteRepaired() }
    }

    private func endRecovery(_ recovery: Recovery?, _ target: ArrayTarget, now: UInt64) -> Bool {
        guard let recovery, recovery.boundary == target.geometry.memberDataByteCount else { return false }
        do throws(ArrayStoreError) { return try target.endRecovery() } catch {
            if target.isSound {
                // The old member still serves: the superblock that could not be written may be the replacement's.
                target.array.report(error.description, .error)
                target.retryAt = now + Self.retryNanoseconds
                for untold in error.members {
                    target.memberFailed(untold == recovery.member ? target.geometry.replacementPlace : untold)
                }
            } else {
                failUntold(error, else: recovery.member, target)
            }
            return false
        }
    }

    // MARK: What users ask for

    /// Begins a check or a repair of a target. Any thread.
    /// - Returns: the job's number.
    package func begin(_ job: MaintenanceSchedule.Job, target: Int) throws(OperationError) -> UInt64 {
        let target = try redundantTarget(target, elseIt: "has no parity to \(job.rawValue)")
        let name = target.array.name
        if let running = target.maintenance.job {
            throw OperationError("a \(running.rawValue) of \(name) is under way; let it end first")
        }
        guard target.isSound else {
            throw Self.lacksMember(target, elseIt: "its parity cannot be checked")
        }
        // The new job makes an interrupted one that waits for a rebuild superfluous.
        _ = target.array.takeInterruptedJob()
        guard let number = begin(MaintenanceSchedule(job, geometry: target.geometry), target) else {
            throw OperationError("\(name) is busy or about to be stopped; try again")
        }
        return number
    }

    /// The error for a job that needs all members.
    /// - Parameter consequence: what cannot be done without the missing member; the end of a sentence.
    private static func lacksMember(_ target: ArrayTarget, elseIt consequence: String) -> OperationError {
        let name = target.array.name
        let missing = target.array.failedMembers.map(String.init).joined(separator: ", ")
        guard target.array.health != .failed else {
            return OperationError(
                "\(name) has failed, since it lacks members \(missing): bring them back, and serve it again")
        }
        return OperationError(
            "\(name) lacks a member (\(missing)), so \(consequence); add one and let it be rebuilt first: nbdext add")
    }

    /// Ends a target's running check, repair or replacement. Any thread.
    /// - Throws: when none of these is under way.
    package func cancelJob(target: Int) throws(OperationError) {
        let target = arrays[target]
        let isReplacing = target.plannerLock.withLock { target.planner.replacement != nil }
        // A replacement whose old member has failed is a rebuild by now.
        let isCancelled = (isReplacing || target.maintenance.job != .replace) && target.maintenance.cancel()
        guard !target.endReplacement(), !isCancelled else { return }
        throw OperationError("no check, repair or replacement of \(target.array.name) is under way")
    }

    /// Checks that a member of a target could be replaced now. Any thread.
    /// - Throws: the reason why not.
    package func checkMayReplace(target: Int) throws(OperationError) {
        let target = arrays[target]
        let name = target.array.name
        guard target.geometry.level == .raid5 else {
            throw OperationError("\(name) is a RAID 0 array: its members cannot be replaced")
        }
        guard !target.array.isReadOnly else {
            throw OperationError("\(name) is served read-only; serve it without --read-only")
        }
        if let replacing = target.array.replacementState {
            throw OperationError("member \(replacing.role) of \(name) is being replaced; let that end first")
        }
        if let running = target.maintenance.job {
            throw OperationError("a \(running.rawValue) of \(name) is under way; let it end first")
        }
        guard target.isSound else {
            throw Self.lacksMember(target, elseIt: "no other one can be replaced")
        }
    }

    /// Begins to replace a member by a spare. The member serves meanwhile. Any thread.
    /// - Parameter path: the spare's path; nil for any spare.
    package func replace(role: Int, by path: String?, target index: Int) throws(OperationError) {
        try checkMayReplace(target: index)
        let target = arrays[index]
        let name = target.array.name
        do throws(ArrayStoreError) {
            guard try target.beginReplacement(of: role, by: path) else {
                throw ArrayStoreError("\(name) is busy with the end of the last replacement; try again")
            }
        } catch {
            for untold in error.members where untold != target.geometry.replacementPlace {
                target.memberFailed(untold)
            }
            throw OperationError(error.description, cause: error)
        }
        target.maintenance.wake()
    }

    /// Removes a failed member or a spare from a target. Any thread.
    /// - Parameter matches: picks one of the array's members.
    /// - Returns: the path of the member's file.
    package func remove(
        target: Int, _ matches: (OpenedArray.MemberState) -> Bool
    ) throws(ArrayStoreError) -> String {
        do throws(ArrayStoreError) { return try arrays[target].array.remove(matches) } catch {
            for untold in error.members { arrays[target].memberFailed(untold) }
            throw error
        }
    }

    /// Takes a member of a target out of service, as `nbdext fail` does. Any thread.
    /// - Throws: when the array would be lost without the member, or the member has failed already.
    package func fail(role: Int, target: Int) throws(OperationError) {
        let target = try redundantTarget(target, elseIt: "would be lost without member \(role)")
        let name = target.array.name
        let others = target.array.failedMembers.filter { $0 != role }
        guard others.isEmpty else {
            throw OperationError(
                "\(name) lacks member \(others[0]) already, and would be lost without member \(role) too; let member "
                    + "\(others[0]) be rebuilt first")
        }
        let isFailed = target.array.memberStates.contains { $0.role == role && $0.condition == .failed }
        guard !isFailed else { throw OperationError("member \(role) of \(name) has failed already") }
        target.memberFailed(role)
    }

    /// The number of bitmap regions that were written to while a member of a target was away, and of all regions. Any
    /// thread.
    package func writtenRegions(target: Int) -> (count: Int, total: Int) {
        let target = arrays[target]
        return target.plannerLock.withLock { target.planner.writtenRegions }
    }

    /// Checks that a target's members are still there, since a member without I/O can disappear unnoticed. Any thread;
    /// may block.
    package func watchMembers(target: Int) { arrays[target].watchMembers() }

    /// A target of RAID 5 that may be written to.
    /// - Parameter reason: why a RAID 0 array cannot do what is asked for; the end of a sentence.
    private func redundantTarget(_ index: Int, elseIt reason: String) throws(OperationError) -> ArrayTarget {
        let target = arrays[index]
        let name = target.array.name
        guard target.geometry.level == .raid5 else {
            throw OperationError("\(name) is a RAID 0 array: it \(reason)")
        }
        guard !target.array.isReadOnly else {
            throw OperationError("\(name) is served read-only; serve it without --read-only")
        }
        return target
    }

    /// Wakes a target's maintenance after a spare was added. Any thread.
    package func lookForSpare(target: Int) { arrays[target].maintenance.wake() }
}
