import MDFormat
import MemberIO

/// The members' partial parity logs, as the planner keeps them: which operations wait for a record, which are covered
/// by the log unit that is on disk, and which members must be flushed before that unit may be replaced.
///
/// A member has one *log unit* at a time: a header and the partial parity of up to 148 operations, written with one
/// durable write. Operations that become ready meanwhile wait for the next unit. Recovery reads the newest header only,
/// so the next unit is written when everything that the last one covers is durable.
struct PartialParityLogs {
    /// How far the newest log unit is.
    private enum Phase: UInt8, BitwiseCopyable {
        /// Everything that the last unit covered is durable.
        case idle
        /// The unit is being written.
        case writing
        /// The unit is durable, and its operations go on.
        case covering
        /// The unit's operations have ended; members are being flushed.
        case flushing
    }

    /// How much of the newest log unit the log of a member's replacement has.
    private enum Replica: UInt8, BitwiseCopyable {
        /// That log is not valid.
        case missing
        /// The unit is being copied there; no next unit is made meanwhile.
        case underWay
        /// It is as good as the member's own log, and gets each unit that the member gets.
        case written
    }

    /// The log of one member.
    private struct Log: BitwiseCopyable {
        var phase = Phase.idle
        var replica = Replica.missing
        /// Writes of the unit that have not come back.
        var writeCount: UInt8 = 0
        /// The worst outcome of the unit's writes so far.
        var writeStatus = MemberStatus.done
        /// Size of the newest unit, bytes; 0 before the first one.
        var unitByteCount = 0
        /// Where the log begins in the member file.
        var areaByteOffset: UInt64
        /// Of the last header that was made.
        var generation: UInt64
        /// Operations that wait for a record.
        var waiting = OperationList()
        /// Operations of the unit that is being written.
        var unit = OperationList()
        /// Operations of the unit that have not ended.
        var coveredCount: UInt32 = 0
        /// One bit a place: written by the unit's operations.
        var written: UInt64 = 0
        /// One bit a place: to be flushed for the unit, and no flush that is under way began late enough.
        var unflushed: UInt64 = 0
        /// One bit a place: the flush that is under way began late enough for the unit.
        var flushing: UInt64 = 0
    }

    /// A log unit that is being made.
    struct Unit: BitwiseCopyable {
        /// The role of the log's member.
        let role: Role
        fileprivate(set) var entryCount = 0
        /// Bytes of partial parity.
        fileprivate(set) var byteCount = 0

        init(role: Role) { self.role = role }

        /// Whether no more operations have room.
        var isFull: Bool { entryCount == MDPartialParityLog.entryCountMax }
    }

    let geometry: ArrayGeometry
    private let logs: UnsafeMutablePointer<Log>
    /// Room for partial parity in one unit, bytes.
    private let capacity: Int
    /// One bit a place: a flush is under way.
    private var flushesUnderWay: UInt64 = 0
    private let memory: UnsafeMutableRawPointer
    private static let unitByteCount =
        MDPartialParityLog.headerByteCount + MDPartialParityLog.partialParityByteCountMax

    init(_ area: PartialParityLogArea, geometry: ArrayGeometry) {
        precondition(area.byteCount >= PartialParityLogArea.byteCountMin, "the area of the logs is too small")
        self.geometry = geometry
        let memberCount = geometry.memberCount
        precondition(area.byteOffsets.count == memberCount, "each member has a log")
        capacity = min(
            area.byteCount - MDPartialParityLog.headerByteCount, MDPartialParityLog.partialParityByteCountMax)
        logs = .allocate(capacity: memberCount)
        memory = .allocate(byteCount: memberCount * Self.unitByteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: memberCount * Self.unitByteCount)
        for role in geometry.roles {
            (logs + role).initialize(
                to: Log(areaByteOffset: area.byteOffsets[role], generation: area.generations[role]))
            MDPartialParityLog.prepareHeader(at: header(of: role), signature: area.signature)
        }
    }

    func deallocate() {
        logs.deallocate()
        memory.deallocate()
    }

    /// The header in the memory of a member's unit.
    private func header(of role: Role) -> UnsafeMutableRawPointer { memory + role.index * Self.unitByteCount }

    /// The partial parity of an operation in the memory of its unit.
    func partialParity(of operation: StripeOperation) -> UnsafeMutableRawPointer {
        let role = geometry.parityMember(stripe: operation.stripe)
        assert(Int(operation.recordOffset!) + operation.columnByteCount <= capacity, "the record ends behind the unit")
        return header(of: role) + MDPartialParityLog.headerByteCount + Int(operation.recordOffset!)
    }

    private func log(of operation: StripeOperation) -> UnsafeMutablePointer<Log> {
        logs + geometry.parityMember(stripe: operation.stripe)
    }

    // MARK: Operations

    /// Makes an operation wait for a record in the log of its parity's member.
    func append(_ index: OperationIndex, in operations: UnsafeMutablePointer<StripeOperation>) {
        assert(operations[index].outstanding == 0, "an operation waits for a record with I/O under way")
        assert(operations[index].recordOffset == nil, "an operation waits for a record and has one")
        operations[index].move(to: .protecting)
        log(of: operations[index]).pointee.waiting.append(index, in: operations)
    }

    /// The operation that waits longest for a record in a member's log.
    func firstWaiting(of role: Role) -> OperationIndex? { logs[role].waiting.first }

    /// Lets the operation that waits longest wait no more.
    func dropFirst(of role: Role, in operations: UnsafeMutablePointer<StripeOperation>) {
        assert(!logs[role].waiting.isEmpty, "no operation waits for a record")
        _ = logs[role].waiting.popFirst(in: operations)
    }

    /// Notes that an operation with a record writes to a place.
    func noteWrite(of operation: StripeOperation, to place: Place) {
        assert(operation.recordOffset != nil, "the operation has no record")
        assert(log(of: operation).pointee.phase == .covering, "a write begins before its record is durable")
        log(of: operation).pointee.written |= place.bit
    }

    /// Ends an operation's record, if it has one: what was to be written is written as far as it will be.
    func endRecord(of operation: inout StripeOperation) {
        guard operation.recordOffset != nil else { return }
        operation.recordOffset = nil
        let log = log(of: operation)
        precondition(log.pointee.coveredCount > 0, "the unit covers no operation")
        assert(log.pointee.phase == .covering, "a record ends before it is written")
        log.pointee.coveredCount -= 1
    }

    // MARK: Units

    /// How many operations the newest unit covers.
    func coveredCount(of role: Role) -> Int { Int(logs[role].coveredCount) }

    /// Whether a member's next unit may be written, and operations wait for one.
    func canBeginUnit(of role: Role) -> Bool {
        logs[role].phase == .idle && logs[role].replica != .underWay && !logs[role].waiting.isEmpty
    }

    /// Makes a record of the operation that waits longest.
    /// - Returns: where its checksum of the partial parity goes, or nil when there is no room for it in the unit.
    func addFirst(
        to unit: inout Unit, in operations: UnsafeMutablePointer<StripeOperation>
    ) -> UnsafeMutableRawPointer? {
        let log = logs + unit.role
        assert(log.pointee.phase == .idle && !unit.isFull, "the last unit still covers something, or the next is full")
        let index = log.pointee.waiting.first!
        let entry = entry(of: operations[index])
        let byteCount = Int(entry.partialParityByteCount)
        guard unit.byteCount + byteCount <= capacity else { return nil }
        _ = log.pointee.waiting.popFirst(in: operations)
        log.pointee.unit.append(index, in: operations)
        operations[index].recordOffset = UInt32(unit.byteCount)
        let encoded = MDPartialParityLog.entry(unit.entryCount, ofHeaderAt: header(of: unit.role))
        entry.encode(at: encoded)
        unit.byteCount += byteCount
        unit.entryCount += 1
        return encoded + MDPartialParityLog.entryChecksumOffset
    }

    private func entry(of operation: StripeOperation) -> MDPartialParityLog.Entry {
        let byteCount = UInt64(operation.columnByteCount)
        let columns = UInt64(operation.passColumns.count)
        let first =
            operation.stripe * geometry.stripeByteCount + UInt64(operation.pass0) * geometry.chunkByteCount
            + UInt64(operation.chunkOffset)
        return MDPartialParityLog.Entry(
            dataSector: first / 512,
            partialParityByteCount: columns == geometry.columnCount ? 0 : UInt32(byteCount),
            dataByteCount: UInt32(byteCount * columns),
            parityRole: UInt32(geometry.parityMember(stripe: operation.stripe).index))
    }

    /// Begins to write a unit, which has operations; also to the log of the member's replacement, if that is as good as
    /// the member's.
    func begin(_ unit: Unit, _ members: inout PlannedMembers, into output: inout PlannerOutput) {
        let log = logs + unit.role
        precondition(log.pointee.phase == .idle && unit.entryCount > 0, "the last unit still covers something")
        log.pointee.phase = .writing
        log.pointee.coveredCount = UInt32(unit.entryCount)
        log.pointee.writeStatus = .done
        log.pointee.writeCount = 1
        seal(unit, into: &output)
        let write = unitWrite(unit.role, members)
        output.memberIOs.append(write)
        guard log.pointee.replica == .written, members.replacement?.member == unit.role else { return }
        log.pointee.writeCount = 2
        members.emitToReplacement(write, into: &output)
    }

    /// Fills the header of a unit whose entries are there.
    private func seal(_ unit: Unit, into output: inout PlannerOutput) {
        let log = logs + unit.role
        assert(log.pointee.replica != .underWay, "the last unit is being copied")
        log.pointee.generation += 1
        log.pointee.unitByteCount = MDPartialParityLog.headerByteCount + unit.byteCount
        let header = header(of: unit.role)
        MDPartialParityLog.complete(
            headerAt: header, generation: log.pointee.generation, entryCount: unit.entryCount)
        output.checksumJobs.append(
            ChecksumJob(
                destination: header + MDPartialParityLog.checksumOffset, source: header,
                byteCount: MDPartialParityLog.headerByteCount))
    }

    private func unitWrite(_ role: Role, _ members: PlannedMembers) -> MemberIO {
        MemberIO(
            kind: .durableWrite, place: Place(role), byteOffset: logs[role].areaByteOffset,
            byteCount: logs[role].unitByteCount, memory: header(of: role),
            token: .logWrite(of: role, generation: members.generation))
    }

    /// Takes the outcome of a unit's write, or of its copy to the replacement.
    /// - Parameter isReplica: the write went to the log of the member's replacement.
    /// - Returns: when all are back, the unit's operations and the worst outcome.
    func endWrite(
        of role: Role, _ status: MemberStatus, isReplica: Bool
    ) -> (operations: OperationList, status: MemberStatus)? {
        let log = logs + role
        if isReplica {
            let isCopy = log.pointee.replica == .underWay
            log.pointee.replica = status == .done ? .written : .missing
            if isCopy { return nil }
        }
        precondition(log.pointee.phase == .writing && log.pointee.writeCount > 0, "no unit is being written")
        // Either of the two members may have the role when the operations go on, so both need the record.
        if status == .failed || log.pointee.writeStatus == .done { log.pointee.writeStatus = status }
        log.pointee.writeCount -= 1
        guard log.pointee.writeCount == 0 else { return nil }
        log.pointee.phase = .covering
        assert(!log.pointee.unit.isEmpty, "the unit has no operation")
        defer { log.pointee.unit = OperationList() }
        return (log.pointee.unit, log.pointee.writeStatus)
    }

    // MARK: The replacement's log

    /// Notes that a member has a new replacement, whose log is not valid.
    func forgetReplica(of role: Role) {
        assert(logs[role].replica != .underWay, "the unit is being copied to the last replacement")
        logs[role].replica = .missing
    }

    /// Copies a member's newest unit to its replacement, unless the copy is there already or has to wait.
    /// - Returns: whether the log of the replacement is as good as the member's.
    func copy(of role: Role, _ members: inout PlannedMembers, into output: inout PlannerOutput) -> Bool {
        let log = logs + role
        guard log.pointee.replica == .missing, log.pointee.phase != .writing else {
            return log.pointee.replica == .written
        }
        if log.pointee.unitByteCount == 0 { seal(Unit(role: role), into: &output) }
        log.pointee.replica = .underWay
        members.emitToReplacement(unitWrite(role, members), into: &output)
        return false
    }

    // MARK: Flushes

    /// Takes each log as far as it goes without a new unit: from data that is written to flushes, from data that is
    /// durable to rest.
    mutating func advance(_ members: inout PlannedMembers, into output: inout PlannerOutput) {
        endCovering()
        emitFlushes(&members, into: &output)
        endFlushing()
    }

    /// Lets the logs whose units' operations have all ended ask for flushes of what was written.
    private func endCovering() {
        for role in geometry.roles {
            guard logs[role].phase == .covering, logs[role].coveredCount == 0 else { continue }
            logs[role].phase = .flushing
            assert(logs[role].unflushed | logs[role].flushing == 0, "the last unit still waits for a flush")
            logs[role].unflushed = logs[role].written
            logs[role].written = 0
        }
    }

    /// Ends the phase of the logs that want no flush any more.
    private func endFlushing() {
        for role in geometry.roles
        where logs[role].phase == .flushing && logs[role].unflushed | logs[role].flushing == 0 {
            logs[role].phase = .idle
        }
    }

    /// Emits the flushes that units want, of places where none is under way. Nothing has to become durable at a place
    /// without a member.
    private mutating func emitFlushes(_ members: inout PlannedMembers, into output: inout PlannerOutput) {
        for role in geometry.roles where role == members.absent || members.state == .failed { forget(Place(role)) }
        if members.replacement == nil { forget(geometry.replacementPlace) }
        while let place = beginFlush() {
            let flush = MemberIO.flush(place, token: .logFlush(of: place, generation: members.generation))
            if place == geometry.replacementPlace {
                members.emitToReplacement(flush, into: &output)
            } else {
                output.memberIOs.append(flush)
            }
        }
    }

    /// Begins a flush that some unit wants, of a place where none is under way. It serves all units that wait for one.
    /// - Returns: the place.
    private mutating func beginFlush() -> Place? {
        var wanted: UInt64 = 0
        for role in geometry.roles { wanted |= logs[role].unflushed }
        wanted &= ~flushesUnderWay
        guard wanted != 0 else { return nil }
        let place = Place(rawValue: UInt8(wanted.trailingZeroBitCount))
        let bit = place.bit
        assert(flushesUnderWay & bit == 0, "a flush of the place is under way")
        flushesUnderWay |= bit
        for role in geometry.roles where logs[role].unflushed & bit != 0 {
            logs[role].unflushed &= ~bit
            logs[role].flushing |= bit
        }
        return place
    }

    /// Notes that a flush of a place ended. Nothing has to become durable on a member that failed.
    mutating func endFlush(of place: Place) {
        let bit = place.bit
        precondition(flushesUnderWay & bit != 0, "no flush of the place is under way")
        flushesUnderWay &= ~bit
        for role in geometry.roles { logs[role].flushing &= ~bit }
    }

    /// Moves what has to become durable to another place, where the same member is now.
    func move(from place: Place, to other: Place) {
        assert(place != other, "the member stays where it is")
        let (from, to) = (place.bit, other.bit)
        for role in geometry.roles {
            if logs[role].written & from != 0 { logs[role].written |= to }
            // A flush that is under way to the other place may be of the member that was there before.
            if (logs[role].unflushed | logs[role].flushing) & from != 0 { logs[role].unflushed |= to }
            logs[role].written &= ~from
            logs[role].unflushed &= ~from
            logs[role].flushing &= ~from
        }
    }

    private func forget(_ place: Place) {
        for role in geometry.roles { logs[role].unflushed &= ~place.bit }
    }
}

extension Place {
    /// The place in a set of places: one bit each.
    fileprivate var bit: UInt64 { 1 << UInt64(rawValue) }
}
