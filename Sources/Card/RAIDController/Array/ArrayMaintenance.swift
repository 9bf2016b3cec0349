import MDFormat
import Platform
import RAID
import Statistics

/// The job of maintenance that an array has, if it has one.
///
/// Threads: any, but `next`, `found` and `finish` on the one that does the work.
final class ArrayMaintenance: @unchecked Sendable {
    // SAFETY: everything is touched under `lock`, but for the bell.
    private let lock = Lock()
    private let bell = Doorbell()
    private var schedule: MaintenanceSchedule?
    private var member: Int?
    /// How many regions a guided rebuild is about, of how many.
    private var regions: (count: Int, total: Int)?
    private var jobCount: UInt64 = 0
    /// The last job that ended.
    private var last: JobSnapshot?
    private var isSuspended = false

    /// Wakes the thread that does the work.
    func ring() { bell.ring() }

    func wait(milliseconds: Int) { _ = bell.wait(milliseconds: milliseconds) }

    // MARK: Jobs

    /// Begins a job.
    /// - Returns: its number, or nil while there is another one, or when no more are to begin.
    func begin(
        _ new: MaintenanceSchedule, member: Int? = nil, regions: (count: Int, total: Int)? = nil
    ) -> UInt64? {
        let number: UInt64? = lock.withLock {
            guard schedule == nil, !isSuspended else { return nil }
            schedule = new
            self.member = member
            self.regions = regions
            jobCount += 1
            return jobCount
        }
        ring()
        return number
    }

    /// Ends the job that runs if it is not a rebuild.
    /// - Returns: whether there was one.
    func cancel() -> Bool {
        let isCancelled = lock.withLock {
            guard let job = schedule?.job, job != .rebuild else { return false }
            schedule!.cancel()
            return true
        }
        ring()
        return isCancelled
    }

    /// Ends whatever runs, and begins nothing any more.
    func suspend() {
        lock.withLock {
            isSuspended = true
            schedule?.cancel()
        }
        ring()
    }

    /// What is to be kept of the job that has ended because no more are to go on; nil for one that ended otherwise.
    var interruption: MaintenanceRecord? {
        lock.withLock { isSuspended && schedule?.isCancelled == true ? schedule?.record : nil }
    }

    /// The job that runs, or nil.
    var job: MaintenanceSchedule.Job? { lock.withLock { schedule?.job } }

    // MARK: Steps

    /// What is to be done; nil when there is no job. What is to be submitted has been.
    /// - Parameter submit: gives a request to the planner; returns whether it took it.
    func next(
        now: UInt64, clientOperations: UInt64, submit: (MaintenanceRequest) -> Bool
    ) -> MaintenanceSchedule.Step? {
        // The planner's lock is taken inside of this one, so that nothing ends before it is counted.
        lock.withLock {
            guard let step = schedule?.next(now: now, clientOperations: clientOperations) else { return nil }
            guard case .submit(let request) = step else { return step }
            guard submit(request) else { return .wait }
            schedule!.submitted(request, now: now)
            return step
        }
    }

    /// Whether the job that runs is a guided rebuild.
    var isGuided: Bool { lock.withLock { schedule?.isGuided ?? false } }

    func unwritten(upTo end: UInt64?) { lock.withLock { schedule?.unwritten(upTo: end) } }

    func found(data: UInt64?) { lock.withLock { schedule?.found(data: data) } }

    /// Takes what ended, on whichever lane.
    func ended(_ outcomes: [MaintenanceOutcome]) {
        guard !outcomes.isEmpty else { return }
        lock.withLock {
            for outcome in outcomes { schedule?.ended(outcome) }
        }
        ring()
    }

    /// Where the job that runs could not do something, and how much of the members' data area it has done.
    var failure: (range: Range<UInt64>?, doneByteCount: UInt64) {
        lock.withLock { (schedule?.failedRange, schedule?.doneByteCount ?? 0) }
    }

    /// The job has ended.
    /// - Parameter reason: why it failed, for people.
    func finish(_ end: MaintenanceSchedule.End, reason: String?, geometry: ArrayGeometry) {
        lock.withLock {
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

    /// The job that runs, or the last one.
    func snapshot(geometry: ArrayGeometry) -> JobSnapshot? {
        lock.withLock { running(geometry: geometry) ?? last }
    }

    /// Under `lock`.
    private func running(geometry: ArrayGeometry) -> JobSnapshot? {
        guard let schedule else { return nil }
        var snapshot = JobSnapshot(number: jobCount, kind: schedule.job.rawValue, byteCount: schedule.byteCount)
        snapshot.member = member
        snapshot.doneByteCount = schedule.doneByteCount
        snapshot.rebuiltByteCount = schedule.rebuiltByteCount
        snapshot.regions = regions.map { JobSnapshot.Regions(written: $0.count, total: $0.total) }
        snapshot.wrongByteCount = schedule.wrongByteCount
        snapshot.wrongPlaces = schedule.wrongPlaces.map { byteOffset in
            let stripe = byteOffset / geometry.chunkByteCount
            return JobSnapshot.Place(
                member: geometry.parityMember(stripe: stripe), memberByteOffset: geometry.dataByteOffset + byteOffset,
                arrayByteOffset: stripe * geometry.stripeByteCount)
        }
        return snapshot
    }
}
