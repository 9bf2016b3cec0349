import ArrayStore
import MemberIO
import RAID

/// How the maintenance thread of an array waits before it calls `LiveArray.maintain` again.
package enum MaintenancePause: Sendable, Equatable {
    /// For I/O of its lane or, when there is none, in `LiveArray.waitForMaintenance`.
    case working
    /// In `waitForMaintenance`, until that time at most.
    case until(nanoseconds: UInt64)
    /// In `waitForMaintenance`: there is nothing to do.
    case idle
}

/// Rebuilding, checking and repairing while requests run: the steps of the maintenance thread.
extension ArrayMaintenance {
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

    /// Does all maintenance that can be done now.
    /// - Parameters:
    ///   - array: the array whose maintenance this is.
    ///   - lane: the same one each time.
    ///   - now: nanoseconds of a clock that does not go back.
    func run(_ array: LiveArray, on lane: EngineLane, now: UInt64) -> MaintenancePause {
        for _ in 0..<Self.stepMax {
            let step = next(now: now, requestCount: lane.engine.requestCount) { request in
                array.plannerLock.withLock {
                    let isTaken = array.planner.submit(request, into: &lane.output)
                    array.planner.finishBatch(into: &lane.output)
                    return isTaken
                }
            }
            switch step {
            case nil:
                if let pause = beginJob(array, now: now) { return pause }
            case .submit:
                lane.engine.execute(lane, array)
                lane.engine.start(array, on: lane)
            case .look(let byteOffset): look(from: byteOffset, array)
            case .record(let record): array.store.keep(record)
            case .wait:
                recordProgress(array, now: now)
                return .working
            case .pause(let nanoseconds):
                recordProgress(array, now: now)
                return .until(nanoseconds: nanoseconds)
            case .end(.done) where !isLogCopied(array, lane):
                return .until(nanoseconds: now + Self.logNanoseconds)
            case .end(let end): finish(end, array, now: now)
            }
        }
        return .working
    }

    /// Copies the replaced member's log to a replacement, which may not take the role without it.
    /// - Returns: whether the copy is complete, or none is needed.
    private func isLogCopied(_ array: LiveArray, _ lane: EngineLane) -> Bool {
        let isCopied = array.plannerLock.withLock { array.planner.copyLogToReplacement(into: &lane.output) }
        lane.engine.execute(lane, array)
        lane.engine.start(array, on: lane)
        return isCopied
    }

    /// Finds the next position at which a job has something to do.
    private func look(from byteOffset: UInt64, _ array: LiveArray) {
        if isGuided {
            let written = array.plannerLock.withLock { array.planner.nextWritten(from: byteOffset) }
            guard written == byteOffset else { return unwritten(upTo: written) }
        }
        let base = array.geometry.dataByteOffset
        let data = array.store.nextData(from: base + byteOffset)
        found(data: data.map { $0 - base })
    }

    /// Begins or resumes the job that an array needs, if there is one: a rebuild when it has a member for that, the
    /// repair of doubtful parity, or an interrupted check.
    /// - Returns: nil when there is something to do now.
    private func beginJob(_ array: LiveArray, now: UInt64) -> MaintenancePause? {
        let recovery = array.plannerLock.withLock { array.planner.recovery }
        if now < retryAt && (recovery != nil || array.store.needsRepair) {
            return .until(nanoseconds: retryAt)
        }
        guard !array.isReadOnly else { return .idle }
        if array.isSound && recovery == nil {
            guard let schedule = scheduleOfSound(array) else { return .idle }
            return begin(schedule, of: array) == nil ? .idle : nil
        }
        if recovery == nil {
            // That I/O may go to a spare: a spare's log must not change any more when the spare gets a role.
            let hasReplacementIO = array.plannerLock.withLock { array.planner.hasReplacementIO }
            if hasReplacementIO { return .until(nanoseconds: now + Self.logNanoseconds) }
            array.store.takeBackReconnected()
            guard activateSpare(array, now: now) else {
                return now < retryAt ? .until(nanoseconds: retryAt) : .idle
            }
        }
        guard let recovery = array.plannerLock.withLock({ array.planner.recovery }) else { return .idle }
        checkpointAt = now + Self.checkpointNanoseconds
        let isGuided = array.store.recoveringMember?.isGuided ?? false
        let schedule = MaintenanceSchedule(
            array.isSound ? .replace : .rebuild, geometry: array.geometry, start: recovery.boundary,
            isGuided: isGuided)
        let regions = isGuided ? array.plannerLock.withLock { array.planner.writtenRegions } : nil
        if let regions {
            array.store.report(
                "\(regions.count) of \(regions.total) regions of \(array.name) were written to without member "
                    + "\(recovery.member), and are copied to it", .notice)
        }
        return begin(schedule, member: recovery.member, regions: regions) == nil ? .idle : nil
    }

    /// The job that an array with all its members needs: a repair, an interrupted check or repair, or none.
    private func scheduleOfSound(_ array: LiveArray) -> MaintenanceSchedule? {
        let interrupted = array.store.takeInterruptedJob()
        if array.store.needsRepair { return MaintenanceSchedule(.repair, geometry: array.geometry) }
        guard let interrupted else { return nil }
        let percent = array.geometry.percent(interrupted.position)
        array.store.report(
            "the \(interrupted.job.rawValue) of \(array.name) that was interrupted goes on at \(percent) %",
            .notice)
        return MaintenanceSchedule(resuming: interrupted, geometry: array.geometry)
    }

    /// Gives the missing role of a degraded array to a spare.
    /// - Returns: whether a member has the role now, and is to be rebuilt.
    private func activateSpare(_ array: LiveArray, now: UInt64) -> Bool {
        guard case .degraded = array.plannerLock.withLock({ array.planner.state }) else { return false }
        do throws(ArrayStoreError) {
            return try array.activateSpare()
        } catch {
            // Without the spare, the array stays degraded as it was. What the members could not be told is reported.
            if error.places.isEmpty { array.store.report(error.description, .error) }
            if error.kind == .notTaken { retryAt = now + Self.unreadableRetryNanoseconds }
            return false
        }
    }

    /// Makes a rebuild's progress durable once in `checkpointNanoseconds`.
    private func recordProgress(_ array: LiveArray, now: UInt64) {
        guard now >= checkpointAt else { return }
        checkpointAt = now + Self.checkpointNanoseconds
        recordBoundary(array)
    }

    /// Makes a rebuild's progress durable.
    /// - Returns: the recovery as it is recorded, or nil when there is none (any more).
    @discardableResult
    private func recordBoundary(_ array: LiveArray) -> Recovery? {
        let (recovery, isReplacement) = array.plannerLock.withLock {
            (array.planner.recovery, array.planner.replacement != nil)
        }
        guard let recovery else { return nil }
        let place = isReplacement ? array.geometry.replacementPlace : Place(recovery.member)
        return array.recordRecovery(recovery, place: place) ? recovery : nil
    }

    private func finish(_ end: MaintenanceSchedule.End, _ array: LiveArray, now: UInt64) {
        guard let job else { return }
        var end = end
        if job.isRecovery && end != .failed {
            let recovery = recordBoundary(array)
            if end == .done && !endRecovery(recovery, array, now: now) { end = .failed }
        }
        if end == .noSpace {
            array.store.report(
                "the \(job.rawValue) of \(array.name) has no space; it goes on when there is some", .warning)
            retryAt = now + Self.retryNanoseconds
        }
        let reason = end == .failed ? reportFailure(of: job, array, now: now) : nil
        if job == .repair && end == .done { noteRepaired(array) }
        if !job.isRecovery { array.store.keep(interruption) }
        finish(end, reason: reason, geometry: array.geometry)
        let wrong = snapshot(geometry: array.geometry)?.wrongByteCount ?? 0
        if wrong > 0 {
            // Reported here too, since the user who asked for the job may have left.
            array.store.report(
                "the \(job.rawValue) of \(array.name) found \(wrong) bytes of wrong parity", .warning)
        }
    }

    /// Reports a failed job, and sets the time at which it is tried again.
    /// - Returns: why the job failed, for users.
    private func reportFailure(of job: MaintenanceSchedule.Job, _ array: LiveArray, now: UInt64) -> String {
        let (name, failure) = (array.name, failure)
        if array.store.health == .failed { return "\(name) has failed" }
        guard job.isRecovery ? array.hasRecovery : array.isSound else {
            let missing = array.store.failedMembers.map { "member \($0)" }.joined(separator: ", ")
            guard !missing.isEmpty else { return "the new member failed" }
            return job.isRecovery ? "\(missing) failed while it was filled" : "\(missing) failed"
        }
        let reason =
            failure.range.map { array.store.unreadableText(in: $0) ?? "blocks could not be read, but can be read now" }
            ?? "its end could not be recorded on the members"
        let isTriedAgain = job.isRecovery || array.store.needsRepair
        if isTriedAgain { retryAt = now + Self.unreadableRetryNanoseconds }
        array.store.report(
            "the \(job.rawValue) of \(name) ended at \(array.geometry.percent(failure.doneByteCount)) %: \(reason)"
                + (isTriedAgain ? "; it is tried again in a minute" : "")
                + ". Writing to those bytes of the array, best in whole stripes, makes them readable", .error)
        return reason
    }

    private func noteRepaired(_ array: LiveArray) {
        let isDoubtful = array.plannerLock.withLock {
            array.planner.repaired(doubtCount: array.doubtCountAtRepair)
            return array.planner.isParityDoubtful
        }
        if !isDoubtful { array.store.noteRepaired() }
    }

    private func endRecovery(_ recovery: Recovery?, _ array: LiveArray, now: UInt64) -> Bool {
        guard let recovery, recovery.boundary == array.geometry.memberDataByteCount else { return false }
        assert(recovery.member.index < array.geometry.memberCount, "a role is rebuilt that the array has not")
        let isEnded = array.endRecovery()
        if !isEnded && array.isSound { retryAt = now + Self.retryNanoseconds }
        return isEnded
    }
}
