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
    enum Phase: UInt8, BitwiseCopyable {
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
    enum Replica: UInt8, BitwiseCopyable {
        /// That log is not valid.
        case missing
        /// The unit is being copied there; no next unit is made meanwhile.
        case underWay
        /// It is as good as the member's own log, and gets each unit that the member gets.
        case written
    }

    /// The log of one member.
    struct Log: BitwiseCopyable {
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

    let logs: UnsafeMutablePointer<Log>
    let memberCount: Int
    /// Room for partial parity in one unit, bytes.
    let capacity: Int
    /// One bit a place: a flush is under way.
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

    /// The header in the memory of a member's unit.
    func header(ofMember member: Int) -> UnsafeMutableRawPointer { memory + member * Self.unitByteCount }

    /// The partial parity of all operations in the memory of a member's unit.
    func partialParity(ofMember member: Int) -> UnsafeMutableRawPointer {
        header(ofMember: member) + MDPartialParityLog.headerByteCount
    }

    /// One bit a place: to be flushed for some unit, and no flush is under way.
    var flushable: UInt64 {
        var wanted: UInt64 = 0
        for member in 0..<memberCount { wanted |= logs[member].unflushed }
        return wanted & ~flushesUnderWay
    }

    /// Notes that a flush of a member begins. It serves all units that wait for one.
    mutating func beginFlush(ofMember member: Int) {
        let bit: UInt64 = 1 << UInt64(member)
        flushesUnderWay |= bit
        for log in 0..<memberCount where logs[log].unflushed & bit != 0 {
            logs[log].unflushed &= ~bit
            logs[log].flushing |= bit
        }
    }

    /// Notes that a flush of a member ended. Nothing has to become durable on a member that failed.
    mutating func endFlush(ofMember member: Int) {
        let bit: UInt64 = 1 << UInt64(member)
        flushesUnderWay &= ~bit
        for log in 0..<memberCount { logs[log].flushing &= ~bit }
    }

    /// Moves what has to become durable to another place, where the same member is now.
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

    /// Forgets what has to become durable on a member that is missing.
    func forget(member: Int) {
        for log in 0..<memberCount { logs[log].unflushed &= ~(1 << UInt64(member)) }
    }
}
