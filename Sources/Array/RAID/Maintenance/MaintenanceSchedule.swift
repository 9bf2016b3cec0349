import MDFormat

/// What a job of maintenance does next. It does nothing itself: whoever runs it submits, looks for data and waits, and
/// tells it what came of that. So it runs on any thread and from any clock.
package struct MaintenanceSchedule: Sendable {
    /// The kinds of jobs; as the commands are called.
    package enum Job: String, Sendable, Equatable {
        case rebuild
        /// A rebuild whose member takes the place of one that still serves.
        case replace
        case check
        case repair

        /// Whether it fills a member.
        package var isRecovery: Bool { self == .rebuild || self == .replace }
    }

    /// What whoever runs the job does.
    package enum Step: Equatable, Sendable {
        /// To be submitted to the planner; `submitted` if it took it.
        case submit(MaintenanceRequest)
        /// Where is the next data of any member, from that byte of its data area on? The answer is `found`. For a guided
        /// rebuild, where are the next bytes that the member may have missed? If not there, `unwritten` is the answer.
        case look(from: UInt64)
        /// To be kept in case that the job is interrupted.
        case record(MaintenanceRecord)
        /// Nothing, until something ends.
        case wait
        /// Nothing, until then.
        case pause(untilNanoseconds: UInt64)
        case end(End)
    }

    /// How a job ended.
    package enum End: String, Sendable, Equatable {
        case done
        case cancelled
        case noSpace
        case failed
    }

    /// Units under way at a time: enough to keep every member busy, few enough not to make clients' writes wait long.
    private static let depth = 16
    /// Bytes of each member a second that a job goes on with while clients are at work.
    private static let busyByteCountPerSecond: UInt64 = 32 << 20
    /// How often a check or a repair is recorded.
    private static let recordNanoseconds: UInt64 = 3_000_000_000
    /// How long clients are taken to be at work after their last request.
    private static let busyNanoseconds: UInt64 = 100_000_000
    /// Places of wrong parity that are kept.
    package static let placeCountMax = 16

    package let job: Job
    /// A rebuild that passes over what the bitmap says the member has not missed.
    package let isGuided: Bool
    private let unit: UInt64
    private let chunk: UInt64
    /// Where the job ends: bytes of a member's data area.
    package let byteCount: UInt64
    /// What comes next.
    private var position: UInt64
    /// Where something has to be done, at `position` or above, and what the stretch up to there is believed to be.
    private var data: UInt64?
    private var stretch = MaintenanceRequest.Kind.skip
    private var inFlight = 0
    private var ending: End?
    private var clientOperations: UInt64 = 0
    private var busyUntil: UInt64 = 0
    private var mayGoOn: UInt64 = 0
    private var recordAt: UInt64 = 0

    /// Bytes of parity that were found wrong.
    package private(set) var wrongByteCount: UInt64 = 0
    /// Where: bytes of the data area, in blocks of 4 KiB; the first few.
    package private(set) var wrongPlaces: [UInt64] = []
    /// Bytes of the recovering member that were computed and written.
    package private(set) var rebuiltByteCount: UInt64 = 0

    /// Where something could not be done first: bytes of the data area.
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

    /// Goes on with a check or a repair that was interrupted.
    package init(resuming record: MaintenanceRecord, geometry: ArrayGeometry) {
        self.init(record.job, geometry: geometry, start: record.position)
        wrongByteCount = record.wrongByteCount
        wrongPlaces = record.wrongPlaces
    }

    /// What it takes to go on with a check or a repair; nil while something of it is under way.
    package var record: MaintenanceRecord? {
        guard !job.isRecovery, inFlight == 0 else { return nil }
        return MaintenanceRecord(
            job: job, position: position, wrongByteCount: wrongByteCount, wrongPlaces: wrongPlaces)
    }

    /// Bytes of the data area that are behind the job, but for units under way.
    package var doneByteCount: UInt64 { position - min(position, UInt64(inFlight) * unit) }

    /// What is to be done.
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
        // A client may have written there meanwhile, so what seems to be empty is looked at again under its lock; alone,
        // so that what has data after all is the next to be rebuilt.
        guard inFlight == 0 else { return .wait }
        return .submit(MaintenanceRequest(stretch, byteOffset: position, byteCount: data - position))
    }

    /// The answer to `look`.
    /// - Parameter data: nil when there is no more.
    package mutating func found(data: UInt64?) {
        let next = min(data.map { $0 / unit * unit } ?? byteCount, byteCount)
        if !job.isRecovery {
            // Empty stripes have the right parity.
            position = max(position, next)
            self.data = position
        } else {
            passOver(to: next, as: .skip)
        }
    }

    /// The other answer to `look`: nothing was written there while the member was away.
    /// - Parameter end: where it may have missed something; nil when nowhere.
    package mutating func unwritten(upTo end: UInt64?) { passOver(to: min(end ?? byteCount, byteCount), as: .keep) }

    /// What is passed over are whole stripes, or nothing.
    private mutating func passOver(to end: UInt64, as kind: MaintenanceRequest.Kind) {
        let isAligned = position % chunk == 0
        data = isAligned && end / chunk * chunk > position ? end / chunk * chunk : position
        stretch = kind
    }

    /// The planner took the last request.
    package mutating func submitted(_ request: MaintenanceRequest, now: UInt64) {
        inFlight += 1
        position = request.end
        data = nil
        if request.kind != .skip && request.kind != .keep {
            let time = unit * 1_000_000_000 / Self.busyByteCountPerSecond
            // What was done while nobody else was at work is not made up for.
            mayGoOn = (now < busyUntil ? max(mayGoOn, now) : now) + time
        }
    }

    /// Something that was submitted ended.
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

    /// Whether the job is over, or about to be, before it was done.
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
