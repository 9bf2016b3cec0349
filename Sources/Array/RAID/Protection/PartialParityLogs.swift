import MDFormat
import MemberIO

/// The members' partial parity logs, as the planner keeps them: which operations wait for a record, which are covered
/// by the one that is on disk, and which members must be flushed before it may be replaced.
///
/// A member has one *unit* at a time: a header and the partial parity of up to 148 operations, written with one durable
/// write. Operations that become ready meanwhile wait, and make the next unit. Recovery looks at the newest header only,
/// so the next one is written when everything that the last one covers is durable.
struct PartialParityLogs {
    enum Phase: UInt8, BitwiseCopyable {
        /// What the last unit covered is durable.
        case idle
        /// The unit is being written.
        case writing
        /// The unit is durable, and its operations go on.
        case covering
        /// Its operations have ended; members are being flushed.
        case flushing
    }

    /// What there is of the newest unit in the log of a member that is to take the role.
    enum Replica: UInt8, BitwiseCopyable {
        /// That log is not valid.
        case missing
        /// The unit is being copied there; there is no next one meanwhile.
        case underWay
        /// It is as good as the member's own log, and gets each unit that that gets.
        case written
    }

    struct Log: BitwiseCopyable {
        var phase = Phase.idle
        var replica = Replica.missing
        /// Writes of the unit that have not come back, and the worst that came.
        var writeCount: UInt8 = 0
        var writeStatus = MemberStatus.done
        /// The newest unit, bytes; 0 when there was none yet.
        var unitByteCount = 0
        var areaByteOffset: UInt64
        var generation: UInt64
        /// Operations without a record.
        var waiting = OperationList()
        /// Operations of the unit that is being written.
        var unit = OperationList()
        /// Operations of the unit that have not ended.
        var coveredCount: UInt32 = 0
        /// One bit a member: written by the unit's operations.
        var written: UInt64 = 0
        /// One bit a member: to be flushed for the unit, and no flush that began late enough is under way.
        var unflushed: UInt64 = 0
        /// One bit a member: the flush that is under way began late enough for the unit.
        var flushing: UInt64 = 0
    }

    let logs: UnsafeMutablePointer<Log>
    let memberCount: Int
    /// Partial parity in one unit, bytes.
    let capacity: Int
    /// One bit a member: a flush is under way.
    var flushesUnderWay: UInt64 = 0
    private let memory: UnsafeMutableRawPointer
    private static let unitByteCount =
        MDPartialParityLog.headerByteCount + MDPartialParityLog.partialParityByteCountMax

    init(_ area: PartialParityLogArea) {
        precondition(area.byteCount >= PartialParityLogArea.byteCountMin, "the area of the logs is too small")
        memberCount = area.byteOffsets.count
        capacity = min(
            area.byteCount - MDPartialParityLog.headerByteCount, MDPartialParityLog.partialParityByteCountMax)
        logs = .allocate(capacity: memberCount)
        memory = .allocate(byteCount: memberCount * Self.unitByteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: memberCount * Self.unitByteCount)
        for member in 0..<memberCount {
            (logs + member).initialize(
                to: Log(areaByteOffset: area.byteOffsets[member], generation: area.generations[member]))
            MDPartialParityLog.prepareHeader(at: header(ofMember: member), signature: area.signature)
        }
    }

    func deallocate() {
        logs.deallocate()
        memory.deallocate()
    }

    /// The memory of a member's unit: the header.
    func header(ofMember member: Int) -> UnsafeMutableRawPointer { memory + member * Self.unitByteCount }

    /// The memory of a member's unit: the partial parity of all its operations.
    func partialParity(ofMember member: Int) -> UnsafeMutableRawPointer {
        header(ofMember: member) + MDPartialParityLog.headerByteCount
    }

    /// Members that some unit wants flushed and that no flush is under way for.
    var flushable: UInt64 {
        var wanted: UInt64 = 0
        for member in 0..<memberCount { wanted |= logs[member].unflushed }
        return wanted & ~flushesUnderWay
    }

    /// A member is being flushed: all units that wait for that are served by this flush.
    mutating func beginFlush(ofMember member: Int) {
        let bit: UInt64 = 1 << UInt64(member)
        flushesUnderWay |= bit
        for log in 0..<memberCount where logs[log].unflushed & bit != 0 {
            logs[log].unflushed &= ~bit
            logs[log].flushing |= bit
        }
    }

    /// A member's flush ended, or the member failed; then nothing has to be durable there any more.
    mutating func endFlush(ofMember member: Int) {
        let bit: UInt64 = 1 << UInt64(member)
        flushesUnderWay &= ~bit
        for log in 0..<memberCount { logs[log].flushing &= ~bit }
    }

    /// What had to be durable at one place has to be at another, where the same member is now.
    func move(from place: Int, to other: Int) {
        let (from, to): (UInt64, UInt64) = (1 << UInt64(place), 1 << UInt64(other))
        for log in 0..<memberCount {
            if logs[log].written & from != 0 { logs[log].written |= to }
            // A flush that is under way to the other place may be of the member that was there before.
            if (logs[log].unflushed | logs[log].flushing) & from != 0 { logs[log].unflushed |= to }
            logs[log].written &= ~from
            logs[log].unflushed &= ~from
            logs[log].flushing &= ~from
        }
    }

    /// Nothing has to be durable on a member that is missing.
    func forget(member: Int) {
        for log in 0..<memberCount { logs[log].unflushed &= ~(1 << UInt64(member)) }
    }
}
