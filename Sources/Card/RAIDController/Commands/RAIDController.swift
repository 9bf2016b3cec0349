import HardwareBus
import Members
import Platform
import RAID
import RAIDControllerInterface
import SCSI
import Statistics

/// The RAID controller card: firmware over arrays, behind a register window (RAIDControllerInterface).
///
/// A thread that rings the doorbell runs the firmware on its own lane: it takes commands from the submission ring,
/// decodes them, plans, executes member I/O with its own engine, and posts completions. Lanes run in parallel. They
/// share the rings, the command table and each array's planner, each behind a lock of its own that is never held
/// across I/O.
public final class RAIDController: PCIFunction, @unchecked Sendable {
    // SAFETY: `arrays` never changes; lanes come and go under `laneLock`, and one thread uses each entry.

    /// The most commands in the card.
    package static let commandCapacity = 1024
    /// The most arrays behind a card.
    package static let arrayCountMax = 62

    let arrays: [ArrayTarget]
    private let unitsPerTarget: Int
    let rings: CardRings
    let commands: CommandTable
    private let engine: MemberEngineKind
    private let laneLock = Lock()
    let lanes: UnsafeMutablePointer<CardLane?>
    private let laneCount: Int
    private let memberCounters: MemberCounters

    /// - Parameters:
    ///   - arrays: the arrays behind the card, by target and then by logical unit.
    ///   - unitsPerTarget: the number of logical units of each target.
    ///   - dart: the IOMMU between the card and memory.
    ///   - engine: how lanes execute member I/O.
    ///   - laneCount: the most lanes.
    ///   - writeCacheByteCount: bytes of the volatile write-back cache, in equal shares for the arrays; 0 (or shares
    ///     below two pages of 4 KiB) for none. Destaging takes as much memory again, at most.
    package init(
        arrays: [ArrayTarget], unitsPerTarget: Int = 1, dart: DART, engine: MemberEngineKind, laneCount: Int,
        writeCacheByteCount: Int = 0
    ) {
        precondition(arrays.count <= Self.arrayCountMax, "the card has room for \(Self.arrayCountMax) arrays")
        precondition(arrays.count.isMultiple(of: unitsPerTarget), "each target has the same number of logical units")
        self.arrays = arrays
        self.unitsPerTarget = unitsPerTarget
        self.engine = engine
        rings = CardRings(dart: dart)
        commands = CommandTable(capacity: Self.commandCapacity, dart: dart)
        self.laneCount = laneCount
        memberCounters = MemberCounters(laneCount: laneCount, fileCount: arrays.reduce(0) { $0 + $1.places.count })
        lanes = .allocate(capacity: laneCount)
        lanes.initialize(repeating: nil, count: laneCount)
        super.init(dart: dart)
        var fileBase = 0
        for (index, array) in arrays.enumerated() {
            array.attach(
                index: index, unitCount: UInt8(unitsPerTarget), fileBase: fileBase,
                writeCacheByteCount: writeCacheByteCount / arrays.count)
            fileBase += array.places.count
        }
    }

    deinit {
        lanes.deinitialize(count: laneCount)
        lanes.deallocate()
    }

    public override var pinsCommands: Bool { true }
    public override var countsFilledBytes: Bool { true }

    /// The array that answers commands to a logical unit. The target's first array answers for units that do not exist,
    /// and says so. Nil when there is no such target.
    func array(target: UInt16, logicalUnit: UInt8) -> ArrayTarget? {
        let first = Int(target) * unitsPerTarget
        guard first < arrays.count else { return nil }
        return arrays[Int(logicalUnit) < unitsPerTarget ? first + Int(logicalUnit) : first]
    }

    /// Whether the card has ever had a command for an array. Any thread.
    package func hasBeenAsked(array: Int) -> Bool { arrays[array].hasBeenAsked.load(ordering: .relaxed) }

    /// How many RAID 5 writes to an array were full stripes, and how many had to read first. Any thread.
    package func writeStatistics(array: Int) -> WriteStatistics { arrays[array].writeStatistics }

    /// An array's state, and the counters of its members. Any thread.
    package func snapshot(array index: Int) -> ArraySnapshot {
        let array = arrays[index]
        var snapshot = array.snapshot()
        snapshot.target = index / unitsPerTarget
        snapshot.logicalUnit = index % unitsPerTarget
        let correctedReads = array.correctedReads
        snapshot.members = (0..<array.geometry.memberCount).map {
            var member = memberCounters.snapshot(file: array.fileBase + $0, role: $0)
            member.correctedReadErrorCount = correctedReads[$0]
            return member
        }
        return snapshot
    }

    /// The bytes in a logical unit's write cache that are not on its members yet; 0 without a cache. Any thread.
    public override func dirtyByteCount(target: UInt16, logicalUnit: UInt8) -> UInt64 {
        array(target: target, logicalUnit: logicalUnit)?.cache?.dirtyByteCount ?? 0
    }

    public override func readRegister(_ offset: Int) -> UInt32 {
        switch offset {
        case RAIDControllerRegister.identification: RAIDControllerRegister.identity
        case RAIDControllerRegister.targetCount: UInt32(arrays.count / unitsPerTarget)
        case RAIDControllerRegister.logicalUnitCount: UInt32(unitsPerTarget)
        default: .max
        }
    }

    public override func writeRegister(_ offset: Int, _ value: UInt32) {
        if offset == RAIDControllerRegister.interruptTest { interruptHandler?() } else { rings.write(offset, value) }
    }

    public override func reset() { rings.write(RAIDControllerRegister.control, 0) }

    // MARK: Lanes

    public override func makeLane() throws -> Int {
        let members = try MemberLane(engine: engine, places: arrays.flatMap(\.places))
        let lane = CardLane(members: members)
        return try laneLock.withLock { () throws(OSError) in
            guard let index = (0..<laneCount).first(where: { lanes[$0] == nil }) else {
                throw OSError(code: 12, doing: "make another lane: all \(laneCount) are in use")
            }
            members.count(in: memberCounters, lane: index)
            lanes[index] = lane
            return index
        }
    }

    public override func releaseLane(_ lane: Int) {
        precondition(!hasOutstandingWork(lane: lane), "a lane was released with I/O outstanding")
        laneLock.withLock { lanes[lane] = nil }
    }

    /// The number of commands that all present lanes have taken. Any thread.
    var takenCount: UInt64 {
        laneLock.withLock {
            (0..<laneCount).reduce(0) { $0 &+ (lanes[$1]?.takenCount.load(ordering: .relaxed) ?? 0) }
        }
    }

    public override func hasOutstandingWork(lane: Int) -> Bool { lanes[lane]!.members.outstanding > 0 }

    public override func wait(lane: Int, orReadable descriptor: Int32) {
        lanes[lane]!.members.wait(orReadable: descriptor)
    }

    public override func run(lane: Int) -> Bool {
        let lane = lanes[lane]!
        var worked = false
        while true {
            let reaped = reap(lane)
            let taken = rings.hasSubmissions ? takeCommands(lane) : 0
            if reaped == 0 && taken == 0 { return worked }
            post(lane)
            worked = true
        }
    }

    /// Posts the completions that the lane has gathered, and asserts the interrupt.
    func post(_ lane: CardLane) {
        guard !lane.finished.isEmpty else { return }
        lane.finishedNumbers.withUnsafeBufferPointer { commands.release($0) }
        lane.finished.withUnsafeBufferPointer { rings.post($0) }
        lane.finished.removeAll(keepingCapacity: true)
        lane.finishedNumbers.removeAll(keepingCapacity: true)
        interruptHandler?()
    }
}
