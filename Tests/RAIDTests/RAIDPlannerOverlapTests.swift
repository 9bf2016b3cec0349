import MDFormat
import MemberIO
import Platform
import RAID
import Testing

/// What goes wrong in a random run.
struct Trouble: CustomTestStringConvertible, Sendable {
    var name: String
    /// Members that fail, one after another.
    var failures = 0
    /// Groups are rejected now and then.
    var rejects = false
    /// Writes run out of space although their group had been given it.
    var runsOutOfSpace = false
    /// The system does not take some operations.
    var refuses = false
    /// Blocks become unreadable.
    var badBlocks = false
    /// They stay so when they are written.
    var staysBad = false
    var missingMember: Role?
    var level = RAIDLevel.raid5
    var protection = ArrayConsistency.resync
    /// Maintenance that goes on meanwhile; with `.rebuild` and `.replace`, whatever has failed is replaced.
    var job: MaintenanceSchedule.Job?
    /// Replacements are given up now and then.
    var cancels = false

    var testDescription: String { name }
}

/// Requests that overlap, side by side, ended in any order: every read shows, and the array ends with, what some order
/// of them allows.
final class OverlapRun {
    let seed: UInt64
    let trouble: Trouble
    let array: SimulatedArray
    private var generator: SeededGenerator
    private var schedule: MaintenanceSchedule?
    /// Jobs that ran to their end.
    private(set) var jobsDone = 0
    private var history: SectorHistory
    private var flights: [UInt32: (request: ArrayRequest, memory: UnsafeMutableRawBufferPointer, identifier: UInt32)] =
        [:]
    private var nextValue: UInt32 = 1
    private let sectorCount: Int

    init(seed: UInt64, trouble: Trouble) {
        self.seed = seed
        self.trouble = trouble
        generator = SeededGenerator(seed: seed)
        let memberCount = Int.random(in: 3...6, using: &generator)
        let chunks = trouble.job == nil ? [4096, 8192, 16384] : [4096, 16384, 128 << 10]
        let chunk = chunks.randomElement(using: &generator)!
        array = SimulatedArray(
            level: trouble.level, memberCount: memberCount, chunkByteCount: chunk, stripes: chunk > 65536 ? 2 : 12,
            missingMember: trouble.missingMember, operationCapacity: [2, 5, 2048].randomElement(using: &generator)!,
            consistency: Self.policy(trouble.protection, memberCount: memberCount, stripeChunk: chunk),
            dataByteOffset: trouble.protection == .resync ? 4096 : 4096 + Self.areaByteCount)
        if let missing = trouble.missingMember {
            // The lost member held zeros, as all others do.
            for member in array.geometry.roles where member != missing {
                array.members[member] = array.members[member].map { _ in 0 }
            }
        }
        sectorCount = Int(array.geometry.capacityByteCount) / SectorHistory.sectorByteCount
        history = SectorHistory(sectorCount: sectorCount)
        let misfortune = Misfortune(seed: seed)
        array.badBlocks.stayBad = trouble.staysBad
        if trouble.rejects { array.hasSpace = { misfortune.spares(5) } }
        if trouble.runsOutOfSpace { array.runsOutOfSpace = { !misfortune.spares(20) } }
        // Without a member, what a half-done write has left can only be made good by reading it back.
        let mayRefuseReads = trouble.missingMember == nil && trouble.failures == 0
        if trouble.refuses { array.refuses = { ($0.kind == .write || mayRefuseReads) && !misfortune.spares(20) } }
    }

    /// Room for a log or a bitmap, in front of the data.
    private static let areaByteCount = 256 << 10

    private static func policy(
        _ protection: ArrayConsistency, memberCount: Int, stripeChunk: Int
    ) -> ConsistencyPolicy {
        let offsets = Array(repeating: UInt64(4096), count: memberCount)
        switch protection {
        case .resync: return .resync
        case .ppl:
            return .partialParityLog(
                PartialParityLogArea(
                    byteOffsets: offsets, byteCount: areaByteCount, signature: 1,
                    generations: Array(repeating: 1, count: memberCount)))
        case .bitmap:
            var bitmap = MDBitmap(
                setUUID: Array(repeating: 1, count: 16), syncSectors: UInt64(12 * stripeChunk / 512),
                areaByteCount: 8192, events: 1)
            bitmap.chunkByteCount = 8192
            bitmap.bits = Array(repeating: 0, count: (bitmap.bitCount + 7) / 8)
            return .bitmap(BitmapArea(byteOffsets: offsets, bitmap: bitmap))
        }
    }

    /// Chance that lives apart from the run's own generator, since the array asks for it.
    private final class Misfortune {
        private var generator: SeededGenerator
        init(seed: UInt64) { generator = SeededGenerator(seed: ~seed) }
        func spares(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &generator) != 0 }
    }

    func run(steps: Int) {
        for step in 0..<steps {
            if step % 60 == 59, array.failingMembers.count < trouble.failures {
                array.failingMembers.insert(Place(Role(index: Int.random(in: 0..<placeCount, using: &generator))))
            }
            if trouble.badBlocks && array.planner.state == .healthy && step % 4 == 0 {
                array.badBlocks.addSome(using: &generator)
            }
            if flights.count < 10 && Bool.random(using: &generator) {
                submit()
            } else if !array.pending.isEmpty {
                array.complete(at: Int.random(in: 0..<array.pending.count, using: &generator))
            }
            land()
            maintain(isEnding: false)
        }
        repeat {
            while !array.pending.isEmpty {
                array.complete(at: Int.random(in: 0..<array.pending.count, using: &generator))
                land()
                maintain(isEnding: true)
            }
            maintain(isEnding: true)
        } while !array.pending.isEmpty || schedule != nil
        check()
    }

    /// Where members can fail.
    private var placeCount: Int { array.geometry.memberCount + (array.planner.replacement == nil ? 0 : 1) }

    /// Goes on with the maintenance, or begins a new job.
    private func maintain(isEnding: Bool) {
        guard let job = trouble.job else { return }
        for outcome in array.maintained { schedule!.ended(outcome) }
        array.maintained.removeAll()
        if schedule == nil { begin(job, isEnding: isEnding) }
        if trouble.cancels && array.planner.replacement != nil && Int.random(in: 0..<40, using: &generator) == 0 {
            schedule?.cancel()
            array.planner.endReplacement()
        }
        while let step = schedule?.next(now: 0, clientOperations: 0) {
            switch step {
            case .submit(let request):
                guard array.submit(request) else { return }
                schedule!.submitted(request, now: 0)
                for outcome in array.maintained { schedule!.ended(outcome) }
                array.maintained.removeAll()
            case .look(let byteOffset): schedule!.found(data: array.nextData(from: byteOffset))
            case .record: break
            case .wait, .pause: return
            case .end(.done) where !array.copyLogToReplacement(): return
            case .end(let end):
                finish(end)
                return
            }
        }
    }

    private func begin(_ job: MaintenanceSchedule.Job, isEnding: Bool) {
        guard job.isRecovery else {
            if !isEnding && array.planner.state == .healthy {
                schedule = MaintenanceSchedule(job, geometry: array.geometry)
            }
            return
        }
        if job == .replace && !isEnding && array.planner.canBeginReplacement {
            let member = Role(index: Int.random(in: 0..<array.geometry.memberCount, using: &generator))
            #expect(array.beginReplacement(of: member, content: [0, 0xA7].randomElement(using: &generator)!))
            schedule = MaintenanceSchedule(job, geometry: array.geometry)
            return
        }
        guard case .degraded(let missing) = array.planner.state,
            Int.random(in: 0..<20, using: &generator) == 0 || isEnding
        else { return }
        // At the end, whatever fails has failed.
        if isEnding { array.failingMembers = [] }
        array.replace(missing, content: [0, 0xA7].randomElement(using: &generator)!)
        schedule = MaintenanceSchedule(job, geometry: array.geometry)
    }

    private func finish(_ end: MaintenanceSchedule.End) {
        let ended = schedule!
        schedule = nil
        switch end {
        case .done where ended.job == .replace && array.planner.recovery == nil:
            // It was given up while its log was being copied.
            #expect(trouble.failures > 0 || trouble.cancels, "\(trouble.name), seed \(seed)")
        case .done where ended.job.isRecovery:
            #expect(array.endRecovery(), "\(trouble.name), seed \(seed)")
            jobsDone += 1
        case .done:
            #expect(ended.wrongByteCount == 0, "\(trouble.name), seed \(seed)")
            jobsDone += 1
        case .noSpace:
            // What could not be written is tried again from where the member is in sync.
            guard let recovery = array.planner.recovery else { return }
            schedule = MaintenanceSchedule(ended.job, geometry: array.geometry, start: recovery.boundary)
        case .failed where trouble.refuses && array.planner.recovery != nil:
            schedule = MaintenanceSchedule(
                ended.job, geometry: array.geometry, start: array.planner.recovery!.boundary)
        case .failed where trouble.refuses && array.planner.replacement != nil:
            schedule = MaintenanceSchedule(
                ended.job, geometry: array.geometry, start: array.planner.replacement!.boundary)
        case .failed, .cancelled:
            let mayFail = trouble.failures > 0 || trouble.cancels || trouble.staysBad || trouble.refuses
            #expect(mayFail, "\(trouble.name), seed \(seed)")
        }
    }

    private func check() {
        #expect(flights.isEmpty, "\(trouble.name), seed \(seed): requests never ended")
        #expect(array.misdirected == 0, "\(trouble.name), seed \(seed)")
        if trouble.badBlocks && !trouble.staysBad && trouble.failures == 0 {
            #expect(array.planner.state == .healthy, "\(trouble.name), seed \(seed)")
        }
        // Without redundancy, parity that could not be written is data that is wrong.
        guard array.planner.state == .healthy || (array.planner.state != .failed && !array.planner.isParityDoubtful)
        else { return }
        let fault = history.firstFault(in: array.content())
        #expect(fault == nil, "\(trouble.name), seed \(seed)")
        if trouble.level == .raid5 && array.planner.state == .healthy && !array.planner.isParityDoubtful {
            #expect(array.hasConsistentParity, "\(trouble.name), seed \(seed)")
        }
    }

    private func submit() {
        let tag = (UInt32(0)..<64).first { flights[$0] == nil }!
        let longest = Bool.random(using: &generator) ? 12 : sectorCount
        let start = Int.random(in: 0..<sectorCount, using: &generator)
        let count = Int.random(in: 1...min(longest, sectorCount - start), using: &generator)
        let kinds: [ArrayRequest.Operation] = [.read, .read, .write, .write, .write, .zero, .flush]
        let operation = kinds.randomElement(using: &generator)!
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: count * SectorHistory.sectorByteCount, alignment: 512)
        memory.initializeMemory(as: UInt32.self, repeating: operation == .write ? nextValue : 0xDEAD_BEEF)
        var request = ArrayRequest(
            operation, byteOffset: UInt64(start * SectorHistory.sectorByteCount), byteCount: UInt64(memory.count),
            memory: memory.baseAddress!, tag: tag)
        request.mayPunch = Bool.random(using: &generator)
        request.forceUnitAccess = Int.random(in: 0..<8, using: &generator) == 0
        let identifier = nextValue
        nextValue += 1
        flights[tag] = (request, memory, identifier)
        switch operation {
        case .read: history.beginRead(start..<start + count, tag: tag)
        case .write, .zero:
            history.beginModification(
                start..<start + count, value: operation == .write ? identifier : 0, identifier: identifier)
        case .flush: break
        }
        array.submit(request)
    }

    private func land() {
        for finished in array.finished {
            guard let flight = flights.removeValue(forKey: finished.tag) else {
                Issue.record("\(trouble.name), seed \(seed): request \(finished.tag) ended twice")
                continue
            }
            check(finished.status, of: flight.request)
            let start = Int(flight.request.byteOffset) / SectorHistory.sectorByteCount
            let sectors = start..<start + flight.memory.count / SectorHistory.sectorByteCount
            switch flight.request.operation {
            case .read:
                let fault = history.endRead(tag: finished.tag, memory: UnsafeRawBufferPointer(flight.memory))
                if finished.status == .done { #expect(fault == nil, "\(trouble.name), seed \(seed)") }
            case .write, .zero:
                history.endModification(sectors, identifier: flight.identifier, isDone: finished.status == .done)
            case .flush: break
            }
            flight.memory.deallocate()
        }
        array.finished.removeAll()
    }

    /// A request fails only when the array has, and lacks space only when something took it.
    private func check(_ status: ArrayStatus, of request: ArrayRequest) {
        switch status {
        case .done:
            #expect(array.planner.state != .failed, "\(trouble.name), seed \(seed)")
        case .noSpace:
            let mayLackSpace = trouble.rejects || trouble.runsOutOfSpace
            #expect(mayLackSpace, "\(trouble.name), seed \(seed)")
        case .refused: #expect(trouble.refuses, "\(trouble.name), seed \(seed)")
        case .failed:
            let isUnreadable = trouble.badBlocks && (trouble.level == .raid0 || array.planner.state != .healthy)
            let mayFail =
                array.planner.state == .failed || (trouble.level == .raid0 && trouble.failures > 0) || isUnreadable
            #expect(mayFail, "\(trouble.name), seed \(seed)")
        }
    }
}

@Suite("The RAID planner with requests that overlap")
struct RAIDPlannerOverlapTests {
    static let troubles = [
        Trouble(name: "healthy"),
        Trouble(name: "degraded", missingMember: 1),
        Trouble(name: "a failing member", failures: 1),
        Trouble(name: "two failing members", failures: 2),
        Trouble(name: "rejected groups", rejects: true),
        Trouble(name: "rejected groups and a failing member", failures: 1, rejects: true),
        Trouble(name: "space that was not there after all", runsOutOfSpace: true),
        Trouble(name: "space that was not there after all, without a member", runsOutOfSpace: true, missingMember: 1),
        Trouble(name: "space that was not there after all, with failures", failures: 1, runsOutOfSpace: true),
        Trouble(name: "space that was not there after all, with logs", runsOutOfSpace: true, protection: .ppl),
        Trouble(name: "refusals", refuses: true),
        Trouble(name: "refusals without a member", refuses: true, missingMember: 1),
        Trouble(name: "refusals and a failing member", failures: 1, refuses: true),
        Trouble(name: "refusals with logs", refuses: true, protection: .ppl),
        Trouble(name: "refusals with a bitmap", refuses: true, protection: .bitmap),
        Trouble(name: "refusals and a rebuild", refuses: true, missingMember: 2, job: .rebuild),
        Trouble(name: "refusals and replacements", refuses: true, job: .replace),
        Trouble(name: "RAID 0 with refusals", refuses: true, level: .raid0),
        Trouble(name: "bad blocks", badBlocks: true),
        Trouble(name: "bad blocks with logs", badBlocks: true, protection: .ppl),
        Trouble(name: "bad blocks with a bitmap", badBlocks: true, protection: .bitmap),
        Trouble(name: "bad blocks and a check", badBlocks: true, job: .check),
        Trouble(name: "bad blocks and a repair", badBlocks: true, job: .repair),
        Trouble(name: "bad blocks and replacements", badBlocks: true, job: .replace),
        Trouble(name: "bad blocks and a failing member", failures: 1, badBlocks: true),
        Trouble(name: "bad blocks and two failing members", failures: 2, badBlocks: true),
        Trouble(name: "bad blocks and a lack of space", rejects: true, badBlocks: true),
        Trouble(name: "blocks that stay bad", badBlocks: true, staysBad: true),
        Trouble(name: "blocks that stay bad, with logs", badBlocks: true, staysBad: true, protection: .ppl),
        Trouble(name: "blocks that stay bad and a check", badBlocks: true, staysBad: true, job: .check),
        Trouble(name: "RAID 0", level: .raid0),
        Trouble(name: "RAID 0 with bad blocks", badBlocks: true, level: .raid0),
        Trouble(name: "a rebuild", missingMember: 2, job: .rebuild),
        Trouble(name: "rebuilds after failures", failures: 3, job: .rebuild),
        Trouble(name: "a rebuild and failures", failures: 2, missingMember: 0, job: .rebuild),
        Trouble(name: "a rebuild and rejected groups", rejects: true, missingMember: 1, job: .rebuild),
        Trouble(name: "rebuilds with logs", failures: 3, protection: .ppl, job: .rebuild),
        Trouble(name: "rebuilds with a bitmap", failures: 3, protection: .bitmap, job: .rebuild),
        Trouble(name: "a rebuild with logs", missingMember: 1, protection: .ppl, job: .rebuild),
        Trouble(name: "a repair with logs", protection: .ppl, job: .repair),
        Trouble(name: "replacements", job: .replace),
        Trouble(name: "replacements and failures", failures: 2, job: .replace),
        Trouble(name: "replacements and many failures", failures: 5, job: .replace),
        Trouble(name: "replacements that are given up", job: .replace, cancels: true),
        Trouble(name: "replacements and rejected groups", rejects: true, job: .replace),
        Trouble(name: "replacements that run out of space", runsOutOfSpace: true, job: .replace),
        Trouble(name: "replacements with logs", failures: 2, protection: .ppl, job: .replace, cancels: true),
        Trouble(name: "replacements with a bitmap", failures: 2, protection: .bitmap, job: .replace, cancels: true),
        Trouble(name: "a check", job: .check),
        Trouble(name: "a repair", job: .repair),
        Trouble(name: "a repair and a failing member", failures: 1, job: .repair),
        Trouble(name: "RAID 0 with a failing member", failures: 1, level: .raid0),
    ]

    @Test("reads show, and the array ends with, what some order allows", arguments: troubles)
    func random(trouble: Trouble) {
        for seed in UInt64(1)...10 { OverlapRun(seed: seed, trouble: trouble).run(steps: 240) }
    }
}
