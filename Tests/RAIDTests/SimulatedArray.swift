import Glibc
import MDFormat
import MemberIO
import Platform

@testable import RAID

/// Members in memory and an executor that does what the planner asked for later and in any order, as several threads
/// would: another thread's calls may come between a call and its parity jobs.
final class SimulatedArray {
    let geometry: ArrayGeometry
    private(set) var planner: RAIDPlanner
    private let operationCapacity: Int
    private var callCount = 0
    var output = PlannerOutput()
    var members: [[UInt8]]
    /// What is at the replacement's place until it has a role.
    var replacement: [UInt8] = []
    /// By role: who had it before it was replaced last, and how many replacements there had been with that. I/O that
    /// had begun before may end there.
    private var replaced: [Place: (bytes: [UInt8], isFailing: Bool, count: Int)] = [:]
    /// How many members have been replaced so far.
    private var replacedCount = 0
    /// What calls of the planner asked for and nobody has begun to do.
    var work: [PlannerOutput] = []
    /// I/Os that were started and have not ended.
    var pending: [MemberIO] = []
    /// For each of these, how many writes its member had completed when it was started.
    private var pendingMarks: [Int] = []
    /// For each of these, whether it may end on a member that is replaced from so many replacements on; nil for no.
    private var pendingBindings: [Int?] = []
    /// The members as they would be after a loss of power that spares nothing of what need not be durable.
    var durable: [[UInt8]]
    /// Writes to each member that have ended and need not be durable, oldest first.
    var volatileWrites: [[VolatileWrite]]
    private var completedWrites: [Int]
    /// What calls gather is left to be gathered for longer, until a step ends the batch.
    var gathers = false
    var finished: [FinishedRequest] = []
    /// Maintenance that ended.
    var maintained: [MaintenanceOutcome] = []
    var reads = 0
    var writes = 0
    /// The members whose I/Os fail from now on.
    var failingMembers: Set<Place> = []
    /// Places of members that cannot be read, although the members have not failed.
    var isUnreadable: (MemberIO) -> Bool = { _ in false }
    /// Blocks that reads fail on.
    var badBlocks: BadBlocks
    /// Blocks that were healed.
    var corrected: [CorrectedRead] = []
    /// I/Os that went where the planner knew that nothing is: to a missing member, or to a failed array.
    var misdirected = 0
    /// Called before a write group is started; false rejects it.
    var hasSpace: () -> Bool = { true }
    /// Called before a write is done; true ends it with `.noSpace`, although its group had been given space.
    var runsOutOfSpace: () -> Bool = { false }
    /// Called before an operation is done; true ends it with `.refused`.
    var refuses: (MemberIO) -> Bool = { _ in false }
    private let scratch: UnsafeMutableRawPointer
    private let zeroes: UnsafeMutableRawPointer

    init(
        level: RAIDLevel, memberCount: Int, chunkByteCount: Int, stripes: Int, missingMember: Role? = nil,
        operationCapacity: Int = 2048, consistency: ConsistencyPolicy = .resync, dataByteOffset: Int = 4096
    ) {
        self.operationCapacity = operationCapacity
        geometry = ArrayGeometry(
            level: level, memberCount: memberCount, chunkByteCount: chunkByteCount,
            memberDataByteCount: UInt64(stripes * chunkByteCount),
            dataByteOffset: UInt64(dataByteOffset))
        badBlocks = BadBlocks(geometry)
        let scratchByteCount = RAIDPlanner.scratchByteCount(memberCount: memberCount)
        scratch = .allocate(byteCount: scratchByteCount, alignment: 4096)
        // Whatever the planner forgets to read must not happen to be right.
        scratch.initializeMemory(as: UInt8.self, repeating: 0xEE, count: scratchByteCount)
        zeroes = .allocate(byteCount: 65536, alignment: 4096)
        zeroes.initializeMemory(as: UInt8.self, repeating: 0, count: 65536)
        members = Array(
            repeating: Array(repeating: 0, count: dataByteOffset + stripes * chunkByteCount), count: memberCount)
        planner = RAIDPlanner(
            geometry: geometry, requestCapacity: 64, operationCapacity: operationCapacity, scratch: scratch,
            zeroes: zeroes, missingMember: missingMember, consistency: consistency)
        if let missingMember { members[missingMember] = Array(repeating: 0xDD, count: members[missingMember].count) }
        durable = []
        volatileWrites = Array(repeating: [], count: memberCount + 1)
        completedWrites = Array(repeating: 0, count: memberCount + 1)
    }

    deinit {
        scratch.deallocate()
        zeroes.deallocate()
    }

    /// Begins anew, with a new planner.
    func reset(missingMember: Role?, members original: [[UInt8]]) {
        planner = RAIDPlanner(
            geometry: geometry, requestCapacity: 64, operationCapacity: operationCapacity, scratch: scratch,
            zeroes: zeroes, missingMember: missingMember)
        members = original
        if let missingMember { members[missingMember] = Array(repeating: 0xDD, count: members[missingMember].count) }
        failingMembers = []
        badBlocks.removeAll()
        corrected = []
        finished = []
        misdirected = 0
    }

    /// Submits a request and does at once what follows from it.
    func submit(_ request: ArrayRequest) {
        call { $0.submit(request, into: &output) }
        drain()
    }

    /// Submits a request and leaves the rest for later.
    func post(_ request: ArrayRequest) {
        call { $0.submit(request, into: &output) }
    }

    /// Calls the planner and keeps what it asks for.
    private func call(_ body: (RAIDPlanner) -> Void) {
        body(planner)
        if !gathers { planner.finishBatch(into: &output) }
        keepOutput()
        callCount += 1
        if callCount % 64 == 0 { PlannerInvariants(planner: planner).check() }
    }

    private func keepOutput() {
        for io in output.memberIOs where isMisdirected(io) { misdirected += 1 }
        if !output.isEmpty { work.append(output) }
        output.removeAll()
    }

    /// A recovering member may be written anywhere, and read where it is in sync.
    private func isMisdirected(_ io: MemberIO) -> Bool {
        if planner.state == .failed { return true }
        if io.place == geometry.replacementPlace { return planner.replacement == nil || io.kind == .read }
        guard let role = geometry.role(at: io.place), planner.state == .degraded(missing: role) else { return false }
        guard let recovery = planner.recovery else { return true }
        let end = io.byteOffset + UInt64(io.byteCount)
        return io.kind == .read && end > geometry.dataByteOffset + recovery.boundary
    }

    /// Submits maintenance and does at once what follows from it.
    /// - Returns: whether the planner took it.
    func submit(_ request: MaintenanceRequest) -> Bool {
        var isTaken = false
        call { isTaken = $0.submit(request, into: &output) }
        drain()
        return isTaken
    }

    /// Puts a new member in the place of a failed one, in sync below the boundary. What it holds above is arbitrary.
    func replace(_ member: Role, content: UInt8, boundary: UInt64 = 0) {
        failingMembers.remove(Place(member))
        badBlocks.forget(at: Place(member))
        for index in members[member].indices[(Int(geometry.dataByteOffset + boundary))...] {
            members[member][index] = content
        }
        precondition(planner.beginRecovery(Recovery(member: member, boundary: boundary)))
    }

    /// Begins to copy a member to a new one of arbitrary content.
    /// - Returns: false while that cannot be.
    func beginReplacement(of member: Role, content: UInt8, boundary: UInt64 = 0) -> Bool {
        guard planner.canBeginReplacement else { return false }
        failingMembers.remove(geometry.replacementPlace)
        replacement = members[member]
        for index in replacement.indices[(Int(geometry.dataByteOffset + boundary))...] { replacement[index] = content }
        planner.beginReplacement(Recovery(member: member, boundary: boundary))
        return true
    }

    /// Lets the replacement get the log of the member whose role it is to take.
    /// - Returns: whether it has it.
    func copyLogToReplacement() -> Bool {
        var isCopied = false
        call { isCopied = $0.copyLogToReplacement(into: &output) }
        drain()
        return isCopied
    }

    /// The recovering member has everything, and a replacement the role.
    func endRecovery() -> Bool {
        let replaced = planner.replacement?.member
        guard planner.endRecovery() else { return false }
        if let replaced { takeRole(replaced) }
        return true
    }

    private func takeRole(_ role: Role) {
        badBlocks.forget(at: Place(role))
        replacedCount += 1
        replaced[Place(role)] = (members[role], failingMembers.contains(Place(role)), replacedCount)
        members[role] = replacement
        if failingMembers.remove(geometry.replacementPlace) == nil {
            failingMembers.remove(Place(role))
        } else {
            failingMembers.insert(Place(role))
        }
    }

    /// The member at a place failed.
    func fail(at place: Place) {
        if let role = geometry.role(at: place) { return fail(role) }
        if planner.replacement != nil { return planner.endReplacement() }
        if let role = planner.replacementRole { fail(role) }
    }

    /// A member failed.
    func fail(_ member: Role) {
        let wasReplaced = planner.replacement?.member == member
        planner.memberFailed(member)
        if wasReplaced { takeRole(member) }
    }

    /// Where the next block that is not zero lies on any member, in the data area.
    func nextData(from byteOffset: UInt64) -> UInt64? {
        var block = byteOffset
        while block < geometry.memberDataByteCount {
            if hasData(byteOffset: geometry.dataByteOffset + block, byteCount: 4096) { return block }
            block += 4096
        }
        return nil
    }

    private func hasData(byteOffset: UInt64, byteCount: UInt64) -> Bool {
        let range = Int(byteOffset)..<Int(byteOffset + byteCount)
        let others = planner.replacement == nil ? [] : [replacement]
        return (members + others).contains { member in
            member.withUnsafeBytes { bytes in
                stride(from: range.lowerBound, to: range.upperBound, by: 8).contains {
                    bytes.load(fromByteOffset: $0, as: UInt64.self) != 0
                }
            }
        }
    }

    /// Does all that was asked for, up to starting the I/Os.
    func drain() {
        while !work.isEmpty { perform(at: 0) }
    }

    /// Does what one call asked for, up to starting the I/Os.
    private func perform(at position: Int) {
        let unit = work.remove(at: position)
        for job in unit.parityJobs { run(job, unit.paritySources) }
        for job in unit.checksumJobs {
            let bytes = UnsafeRawBufferPointer(start: job.source, count: job.byteCount)
            job.destination.storeBytes(of: CRC32C.checksum(of: bytes).littleEndian, as: UInt32.self)
        }
        var rejected: [Range<Int>] = []
        for group in unit.groups where !hasSpace() {
            rejected.append(group.firstIO..<group.firstIO + group.ioCount)
            call { $0.reject(group.token, into: &output) }
        }
        for (index, io) in unit.memberIOs.enumerated() where !rejected.contains(where: { $0.contains(index) }) {
            pending.append(io)
            pendingBindings.append(io.token % 2 == 0 ? replacedCount : nil)
            pendingMarks.append(completedWrites[io.place.index])
        }
        finished += unit.finished
        maintained += unit.maintained
        corrected += unit.correctedReads
        for token in unit.completeAfterJobs { call { $0.complete(token, .done, into: &output) } }
        for test in unit.zeroTests {
            let wrong = wrongBlocks(test, unit.paritySources)
            call { $0.tested(test.token, wrongBlocks: wrong, into: &output) }
        }
        for test in unit.holeTests {
            let hasData = hasData(byteOffset: test.byteOffset, byteCount: test.byteCount)
            call { $0.tested(test.token, wrongBlocks: hasData ? 1 : 0, into: &output) }
        }
    }

    /// Ends the I/O at a position of `pending`, and does at once what follows.
    func complete(at position: Int) {
        end(at: position)
        drain()
    }

    private func end(at position: Int) {
        let io = pending.remove(at: position)
        let mark = pendingMarks.remove(at: position)
        let binding = pendingBindings.remove(at: position)
        let isOld = binding.map { $0 < replaced[io.place]?.count ?? 0 } ?? false
        let isFailing =
            isOld
            ? replaced[io.place]!.isFailing
            : failingMembers.contains(behind(io.place)) || (io.kind == .read && isUnreadable(io))
        if isFailing {
            failIfAtFault(io, .failed)
            // A failed read may have left anything in memory, and nothing on the member counts any more.
            if io.kind.isRead { spoil(io) }
            call { $0.complete(io.plannerToken, .failed, into: &output) }
        } else if io.kind != .flush && refuses(io) {
            failIfAtFault(io, .refused)
            if io.kind.isRead { spoil(io) } else if !isOld { executePart(io) }
            call { $0.complete(io.plannerToken, .refused, into: &output) }
        } else if badBlocks.fails(io) {
            failIfAtFault(io, .unreadable)
            spoil(io)
            call { $0.complete(io.plannerToken, .unreadable, into: &output) }
        } else if !io.kind.isRead && io.kind != .flush && runsOutOfSpace() {
            if !isOld { executePart(io) }
            call { $0.complete(io.plannerToken, .noSpace, into: &output) }
        } else if isOld {
            executeOnReplaced(io)
            call { $0.complete(io.plannerToken, .done, into: &output) }
        } else {
            execute(io)
            badBlocks.note(io)
            if !durable.isEmpty { keepDurable(io, mark) }
            call { $0.complete(io.plannerToken, .done, into: &output) }
        }
        // Nothing keeps marks here, so none has to be renewed before.
        if planner.hasBitsToClear { call { $0.clearBits(into: &output) } }
    }

    private func failIfAtFault(_ io: MemberIO, _ status: MemberStatus) {
        guard geometry.level == .raid5, planner.isFailure(io.plannerToken, at: io.place, status) else {
            return
        }
        fail(at: io.place)
    }

    private func spoil(_ io: MemberIO) {
        io.memory!.initializeMemory(as: UInt8.self, repeating: 0xBB, count: Int(io.byteCount))
    }

    /// A write that runs out of space has done what comes before that.
    private func executePart(_ io: MemberIO) {
        var part = io
        part.byteCount = io.byteCount / 1024 * 512
        if io.kind == .write { execute(part) }
    }

    var isIdle: Bool { pending.isEmpty && work.isEmpty }

    /// Ends some I/O, or does what some call asked for.
    func step(using generator: inout SeededGenerator) {
        let choice = Int.random(in: 0..<pending.count + work.count + (gathers ? 1 : 0), using: &generator)
        if choice < pending.count {
            end(at: choice)
        } else if choice < pending.count + work.count {
            perform(at: choice - pending.count)
        } else {
            endBatch()
        }
    }

    /// Ends the batch of calls.
    func endBatch() {
        planner.finishBatch(into: &output)
        keepOutput()
    }

    func completeAll(using generator: inout SeededGenerator) {
        while true {
            if gathers { endBatch() }
            if isIdle { return }
            step(using: &generator)
        }
    }

    /// A period of the bitmap passes; what follows is done at once.
    func tick() {
        postTick()
        drain()
    }

    /// A period of the bitmap passes, and the rest is left for later.
    func postTick() {
        call { $0.tick(into: &output) }
    }

    /// The array comes to rest; what follows is done at once.
    func rest() {
        call { $0.rest(into: &output) }
        drain()
    }

    /// The place of the member at a place: that of the replacement leads to the role that it got.
    private func behind(_ place: Place) -> Place {
        guard place == geometry.replacementPlace, planner.replacement == nil else { return place }
        return planner.replacementRole.map { Place($0) } ?? place
    }

    /// Ends what had begun on a member that has been replaced.
    private func executeOnReplaced(_ io: MemberIO) {
        guard io.kind == .read else { return }
        replaced[io.place]!.bytes.withUnsafeBytes {
            io.memory!.copyMemory(from: $0.baseAddress! + Int(io.byteOffset), byteCount: Int(io.byteCount))
        }
    }

    private func execute(_ io: MemberIO) {
        var io = io
        io.place = behind(io.place)
        if io.place == geometry.replacementPlace {
            execute(io, on: &replacement)
        } else {
            execute(io, on: &members[io.place.index])
        }
    }

    private func execute(_ io: MemberIO, on member: inout [UInt8]) {
        let range = Int(io.byteOffset)..<Int(io.byteOffset) + Int(io.byteCount)
        switch io.kind {
        case .read, .reread:
            reads += 1
            member.withUnsafeBytes {
                io.memory!.copyMemory(from: $0.baseAddress! + range.lowerBound, byteCount: range.count)
            }
        case .write, .durableWrite:
            writes += 1
            member.withUnsafeMutableBytes {
                _ = memcpy($0.baseAddress! + range.lowerBound, io.memory!, range.count)
            }
        case .punch, .zero:
            member.withUnsafeMutableBytes {
                _ = memset($0.baseAddress! + range.lowerBound, 0, range.count)
            }
        case .flush: break
        }
    }

    private func wrongBlocks(_ test: ZeroTest, _ sources: [UnsafeRawPointer]) -> UInt32 {
        var wrong: UInt32 = 0
        for offset in stride(from: 0, to: test.byteCount, by: 8) {
            let word = sources[test.firstSource..<test.firstSource + test.sourceCount].reduce(UInt64(0)) {
                $0 ^ $1.load(fromByteOffset: offset, as: UInt64.self)
            }
            if word != 0 { wrong |= 1 << UInt32(offset / ZeroTest.blockByteCount) }
        }
        return wrong
    }

    /// From now on keeps apart what is durable and what is not; at the moment everything is.
    func beginCrashes() { durable = members }

    private func keepDurable(_ io: MemberIO, _ mark: Int) {
        let member = io.place.index
        let range = Int(io.byteOffset)..<Int(io.byteOffset) + Int(io.byteCount)
        switch io.kind {
        case .read, .reread: break
        case .write, .punch, .zero:
            let bytes = Array(members[member][range])
            volatileWrites[member].append(VolatileWrite(byteOffset: range.lowerBound, bytes: bytes))
            completedWrites[member] += 1
        case .durableWrite:
            durable[member].replaceSubrange(range, with: members[member][range])
        case .flush:
            // What ended after the flush had begun is not covered.
            let covered = volatileWrites[member].count - (completedWrites[member] - mark)
            guard covered > 0 else { return }
            for write in volatileWrites[member][..<covered] {
                durable[member].replaceSubrange(write.range, with: write.bytes)
            }
            volatileWrites[member].removeFirst(covered)
        }
    }

    private func run(_ job: ParityJob, _ sources: [UnsafeRawPointer]) {
        // The destination may be one of the sources, so it is written last.
        var words = [UInt64](repeating: 0, count: job.byteCount / 8)
        words.withUnsafeMutableBufferPointer { words in
            for source in job.firstSource..<job.firstSource + job.sourceCount {
                let bytes = sources[source]
                var word = 0
                while word < words.count {
                    words[word] ^= bytes.load(fromByteOffset: word * 8, as: UInt64.self)
                    word += 1
                }
            }
        }
        words.withUnsafeBytes { job.destination.copyMemory(from: $0.baseAddress!, byteCount: job.byteCount) }
    }

    // MARK: The naive view

    /// The array's bytes, put together without the planner; a missing member's from all others.
    func content() -> [UInt8] {
        let lost: Role? = if case .degraded(let member) = planner.state { member } else { nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(geometry.capacityByteCount))
        for stripe in 0..<geometry.memberDataByteCount / geometry.chunkByteCount {
            for column in 0..<geometry.columnCount {
                let member = geometry.member(stripe: stripe, column: column)
                let start = Int(geometry.memberByteOffset(stripe: stripe, chunkOffset: 0))
                let range = start..<start + Int(geometry.chunkByteCount)
                if member == lost {
                    bytes += exclusiveOr(range, without: member)
                } else {
                    bytes += members[member][range]
                }
            }
        }
        return bytes
    }

    /// Whether every stripe's parity is the exclusive-or of its data.
    var hasConsistentParity: Bool {
        let range = Int(geometry.dataByteOffset)..<members[0].count
        return exclusiveOr(range, without: nil) == [UInt8](repeating: 0, count: range.count)
    }

    /// The exclusive-or of all members but one in a range; words at a time, for the sake of debug builds.
    private func exclusiveOr(_ range: Range<Int>, without lost: Role?) -> [UInt8] {
        var words = [UInt64](repeating: 0, count: range.count / 8)
        words.withUnsafeMutableBufferPointer { words in
            for member in geometry.roles where member != lost {
                members[member].withUnsafeBytes { bytes in
                    var word = 0
                    while word < words.count {
                        words[word] ^= bytes.load(fromByteOffset: range.lowerBound + word * 8, as: UInt64.self)
                        word += 1
                    }
                }
            }
        }
        return words.withUnsafeBytes { Array($0) }
    }
}
