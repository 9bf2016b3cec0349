import ArrayEngine
import HardwareBus
import Platform
import RAID
import RAIDControllerInterface
import SCSI
import Statistics

/// The RAID controller card: firmware over arrays, behind a register window (RAIDControllerInterface).
///
/// The doorbell has the card copy new commands to its command table. The thread that rang it then runs the firmware on
/// its own lane: it takes such commands, decodes them, hands requests to the engine of the arrays, and posts
/// completions. Lanes run in parallel. They share the rings, behind locks that are never held across I/O, and the
/// command table, which needs none.
public final class RAIDController: PCIFunction, @unchecked Sendable {
    // SAFETY: `units` never changes; the engine gives each lane a number of its own, and one thread uses that entry.

    /// The most commands in the card.
    package static let commandCapacity = 1024
    /// The most arrays behind a card.
    package static let arrayCountMax = 62
    /// The request capacity that the card needs of its engine: for commands, and above them for destages of the write
    /// caches.
    package static let requestCapacity = commandCapacity + WriteCache.runCapacity

    /// The card's numbers in its configuration space: no vendor's, "nb" and "RD" in ASCII.
    package static let (vendorID, deviceID): (UInt16, UInt16) = (0x6E62, 0x5244)

    /// What is behind the card.
    package let engine: ArrayEngine
    /// One for each array, by target and then by logical unit.
    let units: [LogicalUnit]
    private let unitsPerTarget: Int
    /// Bytes of BAR 0, of which the registers are the first.
    private static let registerByteCount = 4096
    private let configuration = PCIConfigurationSpace(
        vendorID: vendorID, deviceID: deviceID, classCode: 0x01_04_00, revision: 1, barByteCount: registerByteCount)
    let rings: CardRings
    let commands: CommandTable
    /// By the number that the engine has given the lane.
    let lanes: UnsafeMutablePointer<CardLane?>

    /// - Parameters:
    ///   - engine: the arrays behind the card, by target and then by logical unit; its request capacity is
    ///     `requestCapacity`.
    ///   - unitsPerTarget: the number of logical units of each target.
    ///   - dart: the IOMMU between the card and memory.
    ///   - disksAreRemovable: INQUIRY reports removable media (the RMB bit).
    ///   - writeCacheByteCount: bytes of the volatile write-back cache, in equal shares for the arrays; 0 (or shares
    ///     below two pages of 4 KiB) for none. Destaging takes as much memory again, at most.
    package init(
        engine: ArrayEngine, unitsPerTarget: Int = 1, dart: DART, disksAreRemovable: Bool = false,
        writeCacheByteCount: Int = 0
    ) {
        let arrays = engine.arrays
        precondition(arrays.count <= Self.arrayCountMax, "the card has room for \(Self.arrayCountMax) arrays")
        assert(unitsPerTarget > 0 && unitsPerTarget <= 256, "logical units have 8 bits")
        precondition(arrays.count.isMultiple(of: unitsPerTarget), "each target has the same number of logical units")
        self.engine = engine
        self.unitsPerTarget = unitsPerTarget
        units = arrays.map {
            LogicalUnit(
                $0, unitsPerTarget: unitsPerTarget, isRemovable: disksAreRemovable,
                writeCacheByteCount: writeCacheByteCount / arrays.count)
        }
        commands = CommandTable(capacity: Self.commandCapacity, dart: dart)
        rings = CardRings(dart: dart, commands: commands)
        lanes = .allocate(capacity: engine.laneCount)
        lanes.initialize(repeating: nil, count: engine.laneCount)
        super.init(dart: dart)
    }

    deinit {
        lanes.deinitialize(count: engine.laneCount)
        lanes.deallocate()
    }

    public override var pinsCommands: Bool { true }
    public override var countsFilledBytes: Bool { true }

    /// The unit that answers commands to a logical unit number. The target's first unit answers for units that do not
    /// exist, and says so. Nil when there is no such target.
    func unit(target: UInt16, logicalUnit: UInt8) -> LogicalUnit? {
        let first = Int(target) * unitsPerTarget
        guard first < units.count else { return nil }
        return units[Int(logicalUnit) < unitsPerTarget ? first + Int(logicalUnit) : first]
    }

    /// Whether the card has ever had a command for an array. Any thread.
    package func hasBeenAsked(array: Int) -> Bool { units[array].hasBeenAsked.load(ordering: .relaxed) }

    /// An array's state, and the counters of its members. Any thread.
    package func snapshot(array index: Int) -> ArraySnapshot {
        var snapshot = engine.snapshot(array: index)
        snapshot.target = index / unitsPerTarget
        snapshot.logicalUnit = index % unitsPerTarget
        return snapshot
    }

    /// The bytes in a logical unit's write cache that are not on its members yet; 0 without a cache. Any thread.
    public override func dirtyByteCount(target: UInt16, logicalUnit: UInt8) -> UInt64 {
        unit(target: target, logicalUnit: logicalUnit)?.cache?.dirtyByteCount ?? 0
    }

    public override var registerByteCount: Int { Self.registerByteCount }

    public override func readConfiguration(_ offset: Int) -> UInt32 { configuration.read(offset) }

    public override func writeConfiguration(_ offset: Int, _ value: UInt32, mask: UInt32) {
        configuration.write(offset, value, mask: mask)
    }

    public override func readRegister(_ offset: Int) -> UInt32 {
        guard configuration.answersInMemorySpace else { return .max }
        return switch offset {
        case RAIDControllerRegister.identification: RAIDControllerRegister.identity
        case RAIDControllerRegister.targetCount: UInt32(units.count / unitsPerTarget)
        case RAIDControllerRegister.logicalUnitCount: UInt32(unitsPerTarget)
        default: .max
        }
    }

    public override func writeRegister(_ offset: Int, _ value: UInt32) {
        guard configuration.answersInMemorySpace else { return }
        if offset == RAIDControllerRegister.interruptTest { interruptHandler?() } else { rings.write(offset, value) }
    }

    public override func reset() {
        configuration.reset()
        rings.write(RAIDControllerRegister.control, 0)
    }

    // MARK: Lanes

    public override func makeLane() throws -> Int {
        let lane = try engine.makeLane()
        assert(lanes[lane.number] == nil, "two lanes have the same number")
        lanes[lane.number] = CardLane(engine: lane)
        return lane.number
    }

    public override func releaseLane(_ lane: Int) {
        let engineLane = lanes[lane]!.engine
        assert(lanes[lane]!.finished.isEmpty, "a lane is released with answers that are not posted")
        // Before the release, after which another thread may have the number.
        lanes[lane] = nil
        engine.release(engineLane)
    }

    public override func hasOutstandingWork(lane: Int) -> Bool { lanes[lane]!.engine.hasOutstandingIO }

    public override func wait(lane: Int, orReadable descriptor: Int32) {
        lanes[lane]!.engine.wait(orReadable: descriptor)
    }

    public override func run(lane: Int) -> Bool {
        let lane = lanes[lane]!
        var worked = false
        while true {
            let reaped = reap(lane)
            let taken = rings.hasCommands ? takeCommands(lane) : 0
            if reaped == 0 && taken == 0 { return worked }
            post(lane)
            assert(!lane.engine.hasRequests, "a request is gathered and not planned")
            worked = true
        }
    }

    /// Handles the outcomes of member I/O.
    /// - Returns: their number.
    private func reap(_ lane: CardLane) -> Int {
        let count = engine.reap(lane.engine)
        assert(lane.engine.finished.isEmpty, "requests of another array have ended")
        while let array = engine.completeNext(on: lane.engine) { settle(lane, units[array.index]) }
        return count
    }

    /// Lets a thread other than the card's work on an array with a lane, and answers commands that end with that. The
    /// lane's thread.
    package func work<Result>(on array: Int, lane: Int, _ body: (LiveArray, EngineLane) -> Result) -> Result {
        let lane = lanes[lane]!
        assert(lane.finished.isEmpty && lane.engine.finished.isEmpty, "the lane has answers of another call")
        let result = body(units[array].array, lane.engine)
        settle(lane, units[array])
        post(lane)
        return result
    }

    /// Answers the commands that have ended on the lane, and asserts the interrupt.
    func post(_ lane: CardLane) {
        guard !lane.finished.isEmpty else { return }
        lane.finished.withUnsafeBufferPointer { rings.post($0) }
        lane.finished.removeAll(keepingCapacity: true)
        interruptHandler?()
    }
}
