import MDFormat

/// Decides the next step of a maintenance job. It does nothing itself: its runner submits, looks for data and waits,
/// and reports the results. So it runs on any thread and from any clock.
package struct MaintenanceSchedule: Sendable {
    /// The kinds of jobs, named like the commands.
    package enum Job: String, Sendable, Equatable {
        case rebuild
        /// A rebuild whose member takes the place of one that still serves.
        case replace
        case check
        case repair

        /// Whether it fills a member.
        package var isRecovery: Bool { self == .rebuild || self == .replace }
    }

    /// A step for the runner of the job.
    package enum Step: Equatable, Sendable {
        /// Submits a request to the planner, and calls `submitted` if the planner took it.
        case submit(MaintenanceRequest)
        /// Asks for the first byte at or behind `from` that any member has data for: the runner calls `found`. In a
        /// guided rebuild the runner first asks where the member may have missed something (`RAIDPlanner.nextWritten`),
        /// and calls `unwritten` if that is further on.
        case look(from: UInt64)
        /// Keeps a record in case the job is interrupted.
        case record(MaintenanceRecord)
        /// Waits until something ends.
        case wait
        /// Waits until that time.
        case pause(untilNanoseconds: UInt64)
        /// The job is over.
        case end(End)
    }

    /// How a job ended.
    package enum End: String, Sendable, Equatable {
        case done
        case cancelled
        case noSpace
        case failed
    }

    /// Units under way at a time: enough to keep every member busy, few enough to keep clients' writes from waiting
    /// long.
    private static let depth = 16
    /// Bytes of each member a second that a job works on while clients are at work.
    private static let busyByteCountPerSecond: UInt64 = 32 << 20
    /// How often a check or a repair is recorded.
    private static let recordNanoseconds: UInt64 = 3_000_000_000
    /// How long clients count as being at work after their last request.
    private static let busyNanoseconds: UInt64 = 100_000_000
    /// Places of wrong parity that are kept.
    package static let placeCountMax = 16

    /// The kind of the job.
    package let job: Job
    /// Whether a rebuild passes over what the bitmap says the member has not missed.
    package let isGuided: Bool
    private let unit: UInt64
    private let chunk: UInt64
    /// Where the job ends: bytes of a member's data area.
    package let byteCount: UInt64
    /// Where the job goes on: bytes of a member's data area.
    private var position: UInt64
    /// The next place, at `position` or above, that has to be worked on; nil while it is not known.
    private var data: UInt64?
    /// What the stretch from `position` to `data` is believed to be.
    private var stretch = MaintenanceRequest.Kind.skipIfHole
    private var inFlight = 0
    private var ending: End?
    private var clientOperations: UInt64 = 0
    private var busyUntil: UInt64 = 0
    private var mayGoOn: UInt64 = 0
    private var recordAt: UInt64 = 0

    /// Bytes of parity that were found wrong.
    package private(set) var wrongByteCount: UInt64 = 0
    /// Where wrong parity was found: the first few blocks of 4 KiB, bytes of the data area.
    package private(set) var wrongPlaces: [UInt64] = []
    /// Bytes of the recovering member that were computed and written.
    package private(set) var rebuiltByteCount: UInt64 = 0

    /// The first range that could not be done: bytes of the data area.
    package private(set) var failedRange: Range<UInt64>?

    /// - Parameters:
    ///   - start: bytes of the data area that are done already; a multiple of the unit.
    ///   - isGuided: a rebuild passes over regions whose bits are not set.
    package init(_ job: Job, geometry: ArrayGeometry, start: UInt64 = 0, isGuided: Bool = false) {
        self.job = job
        self.isGuided = isGuided
        unit = geometry.unitByteCount
        chunk = geometry.chunkByteCount
        byteCount = geometry.memberDataByteCount
        position = start
    }

    /// Continues a check or a repair that was interrupted.
    package init(resuming record: MaintenanceRecord, geometry: ArrayGeometry) {
        self.init(record.job, geometry: geometry, start: record.position)
        wrongByteCount = record.wrongByteCount
        wrongPlaces = record.wrongPlaces
    }

    /// What it takes to continue a check or a repair. Nil for a recovery, and while something is under way.
    package var record: MaintenanceRecord? {
        guard !job.isRecovery, inFlight == 0 else { return nil }
        return MaintenanceRecord(
            job: job, position: position, wrongByteCount: wrongByteCount, wrongPlaces: wrongPlaces)
    }

    /// Bytes of the data area that are done, without units under way.
    package var doneByteCount: UInt64 { position - min(position, UInt64(inFlight) * unit) }

    /// Decides the next step.
    /// - Parameters:
    ///   - now: nanoseconds of a clock that does not go back.
    ///   - clientOperations: requests of clients so far.
    package mutating func next(now: UInt64, clientOperations: UInt64) -> Step {
        if clientOperations != self.clientOperations {
            self.clientOperations = clientOperations
            busyUntil = now + Self.busyNanoseconds
        }
        if let ending { return inFlight > 0 ? .wait : .end(ending) }
        if position >= byteCount { return inFlight > 0 ? .wait : .end(.done) }
        if !job.isRecovery && now >= recordAt {
            guard let record else { return .wait }
            recordAt = now + Self.recordNanoseconds
            return .record(record)
        }
        guard inFlight < Self.depth else { return .wait }
        if now < mayGoOn && now < busyUntil { return .pause(untilNanoseconds: min(mayGoOn, busyUntil)) }
        guard let data else { return .look(from: position) }
        let kind: MaintenanceRequest.Kind =
            switch job {
            case .rebuild, .replace: .rebuild
            case .check: .check
            case .repair: .repair
            }
        if data <= position { return .submit(MaintenanceRequest(kind, byteOffset: position, byteCount: unit)) }
        // A client may have written there meanwhile, so the stretch is tested again under its lock. It is tested alone:
        // if it has data after all, that has to be the next to be rebuilt.
        guard inFlight == 0 else { return .wait }
        return .submit(MaintenanceRequest(stretch, byteOffset: position, byteCount: data - position))
    }

    /// Takes the answer to `look`.
    /// - Parameter data: nil when there is no data any more.
    package mutating func found(data: UInt64?) {
        let next = min(data.map { $0 / unit * unit } ?? byteCount, byteCount)
        if !job.isRecovery {
            // Empty stripes have the right parity.
            position = max(position, next)
            self.data = position
        } else {
            passOver(to: next, as: .skipIfHole)
        }
    }

    /// Takes the other answer to `look`: nothing was written there while the member was away.
    /// - Parameter end: the first byte that it may have missed; nil when there is none.
    package mutating func unwritten(upTo end: UInt64?) {
        passOver(to: min(end ?? byteCount, byteCount), as: .skipIfClean)
    }

    /// Plans to pass over whole stripes up to `end`, or over nothing.
    private mutating func passOver(to end: UInt64, as kind: MaintenanceRequest.Kind) {
        let isAligned = position % chunk == 0
        data = isAligned && end / chunk * chunk > position ? end / chunk * chunk : position
        stretch = kind
    }

    /// Notes that the planner took the last request.
    package mutating func submitted(_ request: MaintenanceRequest, now: UInt64) {
        inFlight += 1
        position = request.end
        data = nil
        if request.kind != .skipIfHole && request.kind != .skipIfClean {
            let time = unit * 1_000_000_000 / Self.busyByteCountPerSecond
            // Progress beyond the rate, made while clients were idle, is not held against the job.
            mayGoOn = (now < busyUntil ? max(mayGoOn, now) : now) + time
        }
    }

    /// Takes the outcome of a request that was submitted.
    package mutating func ended(_ outcome: MaintenanceOutcome) {
        inFlight -= 1
        let request = outcome.request
        switch outcome.result {
        case .done:
            note(outcome)
        case .hasData:
            position = request.byteOffset
            data = position
        case .noSpace: ending = ending ?? .noSpace
        case .failed:
            ending = ending ?? .failed
            failedRange = failedRange ?? request.byteOffset..<request.end
        }
    }

    /// Whether the job was cancelled before it was done. Its last units may still be under way.
    package var isCancelled: Bool { ending == .cancelled }

    /// Ends the job as soon as nothing of it is under way.
    package mutating func cancel() { ending = ending ?? .cancelled }

    private mutating func note(_ outcome: MaintenanceOutcome) {
        if outcome.request.kind == .rebuild { rebuiltByteCount += outcome.request.byteCount }
        guard outcome.wrongBlocks != 0, outcome.request.kind == .check || outcome.request.kind == .repair else {
            return
        }
        let block = UInt64(ZeroTest.blockByteCount)
        wrongByteCount += UInt64(outcome.wrongBlocks.nonzeroBitCount) * block
        for bit in 0..<UInt64(32) where outcome.wrongBlocks >> UInt32(bit) & 1 != 0 {
            guard wrongPlaces.count < Self.placeCountMax else { return }
            wrongPlaces.append(outcome.request.byteOffset + bit * block)
        }
    }
}
