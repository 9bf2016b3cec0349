import MDFormat
import Platform
import RAID
import Statistics

/// An array's maintenance job, if there is one, and the result of the last one.
///
/// Threads: any; but `run` and the steps that it takes on the maintenance thread only.
final class ArrayMaintenance: @unchecked Sendable {
    // SAFETY: `checkpointAt` and `retryAt` belong to the maintenance thread; the rest but `wakeup` is accessed under
    // `lock`.
    private let lock = Lock()
    private let wakeup = AutoResetEvent()
    private var schedule: MaintenanceSchedule?
    private var member: Role?
    /// For a guided rebuild: the bitmap regions to copy, and all regions of the bitmap.
    private var regions: (count: Int, total: Int)?
    private var jobCount: UInt64 = 0
    /// The last job that ended, if any.
    private var last: JobSnapshot?
    private var isSuspended = false
    /// When a rebuild's progress is made durable next.
    var checkpointAt: UInt64 = 0
    /// When a job that failed is tried again.
    var retryAt: UInt64 = 0

    /// Wakes the maintenance thread.
    func wake() { wakeup.set() }

    func wait(milliseconds: Int) { _ = wakeup.wait(milliseconds: milliseconds) }

    // MARK: Jobs

    /// Begins a job.
    /// - Returns: the job's number; nil while another job runs, and after `suspend`.
    func begin(
        _ new: MaintenanceSchedule, member: Role? = nil, regions: (count: Int, total: Int)? = nil
    ) -> UInt64? {
        let number: UInt64? = lock.withLock {
            guard schedule == nil, !isSuspended else { return nil }
            assert(!new.isCancelled, "a job is begun that was cancelled")
            schedule = new
            self.member = member
            self.regions = regions
            jobCount += 1
            return jobCount
        }
        wake()
        return number
    }

    /// Begins a check or a repair. A repair does not cover parity that becomes doubtful after this call.
    /// - Returns: the job's number; nil while another job runs, and after `suspend`.
    func begin(_ new: MaintenanceSchedule, of array: LiveArray) -> UInt64? {
        array.plannerLock.withLock { array.doubtCountAtRepair = array.planner.doubtCount }
        return begin(new)
    }

    /// Cancels the running job, unless it is a rebuild.
    /// - Returns: whether a job was cancelled.
    func cancel() -> Bool {
        let isCancelled = lock.withLock {
            guard let job = schedule?.job, job != .rebuild else { return false }
            schedule!.cancel()
            return true
        }
        wake()
        return isCancelled
    }

    /// Cancels the running job, and lets no other one begin.
    func suspend() {
        lock.withLock {
            isSuspended = true
            schedule?.cancel()
        }
        wake()
    }

    /// The record that resumes the job when the array is opened again; nil unless `suspend` ended it.
    var interruption: MaintenanceRecord? {
        lock.withLock { isSuspended && schedule?.isCancelled == true ? schedule?.record : nil }
    }

    /// The running job's kind, or nil.
    var job: MaintenanceSchedule.Job? { lock.withLock { schedule?.job } }

    // MARK: Steps

    /// Takes the job's next step, or nil when there is no job. The request of a `.submit` step has been submitted
    /// already.
    /// - Parameters:
    ///   - now: nanoseconds of a clock that does not go back.
    ///   - requestCount: how many requests the engine has taken so far.
    ///   - submit: gives a request to the planner; returns whether the planner took it.
    func next(
        now: UInt64, requestCount: UInt64, submit: (MaintenanceRequest) -> Bool
    ) -> MaintenanceSchedule.Step? {
        // The planner's lock is taken inside this one, so that no request ends before it is counted.
        lock.withLock {
            guard let step = schedule?.next(now: now, clientOperations: requestCount) else { return nil }
            guard case .submit(let request) = step else { return step }
            guard submit(request) else { return .wait }
            schedule!.submitted(request, now: now)
            return step
        }
    }

    /// Whether the running job is a guided rebuild.
    var isGuided: Bool { lock.withLock { schedule?.isGuided ?? false } }

    func unwritten(upTo end: UInt64?) { lock.withLock { schedule?.unwritten(upTo: end) } }

    func found(data: UInt64?) { lock.withLock { schedule?.found(data: data) } }

    /// Takes maintenance requests that ended. Any lane.
    func ended(_ outcomes: [MaintenanceOutcome]) {
        guard !outcomes.isEmpty else { return }
        lock.withLock {
            for outcome in outcomes { schedule?.ended(outcome) }
        }
        wake()
    }

    /// The first range that the running job could not process, and the bytes done so far, both in a member's data area.
    var failure: (range: Range<UInt64>?, doneByteCount: UInt64) {
        lock.withLock { (schedule?.failedRange, schedule?.doneByteCount ?? 0) }
    }

    /// Ends the running job, and keeps its state for reports.
    /// - Parameter reason: why the job failed, for users.
    func finish(_ end: MaintenanceSchedule.End, reason: String?, geometry: ArrayGeometry) {
        lock.withLock {
            assert(schedule != nil, "no job is under way")
            last = running(geometry: geometry)
            last?.reason = reason
            switch end {
            case .done: last?.state = .done
            case .cancelled: last?.state = .cancelled
            case .noSpace: last?.state = .noSpace
            case .failed: last?.state = .failed
            }
            schedule = nil
        }
    }

    // MARK: Reports

    /// The state of the running job, or else of the last one.
    func snapshot(geometry: ArrayGeometry) -> JobSnapshot? {
        lock.withLock { running(geometry: geometry) ?? last }
    }

    /// The running job's state, or nil. Under `lock`.
    private func running(geometry: ArrayGeometry) -> JobSnapshot? {
        guard let schedule else { return nil }
        var snapshot = JobSnapshot(number: jobCount, kind: schedule.job.rawValue, byteCount: schedule.byteCount)
        snapshot.member = member?.index
        snapshot.doneByteCount = schedule.doneByteCount
        snapshot.rebuiltByteCount = schedule.rebuiltByteCount
        snapshot.regions = regions.map { JobSnapshot.Regions(written: $0.count, total: $0.total) }
        snapshot.wrongByteCount = schedule.wrongByteCount
        snapshot.wrongPlaces = schedule.wrongPlaces.map { byteOffset in
            let stripe = byteOffset / geometry.chunkByteCount
            return JobSnapshot.Place(
                member: geometry.parityMember(stripe: stripe).index,
                memberByteOffset: geometry.dataByteOffset + byteOffset,
                arrayByteOffset: stripe * geometry.stripeByteCount)
        }
        return snapshot
    }
}
