import ArrayStore
import HardwareBus
import MemberIO
import Platform
import RAIDController

/// One simulated array from its creation to its end: served, crashed and opened again, many times.
///
/// Every choice comes from the seed, and everything runs on one thread, so the same seed gives the same life.
///
/// Threads: one.
final class ArrayLife {
    let shape: ArrayShape
    let world: SimulatedWorld
    let members: [SimulatedMember]
    let driver = SimulatedDriver()
    var model: SectorModel
    var history = History()
    let habits: Habits

    // What is open.
    var array: OpenedArray?
    var card: RAIDController?
    var lanes: [Int] = []
    /// Where member I/O waits to be ended.
    var channels: [SimulatedChannel] = []

    // What is known of the members and their superblocks.
    var knowledge: Knowledge
    /// Rows in which data and parity may disagree, since a crash or a lack of space interrupted writes.
    var isSuspect: [Bool]
    /// What happened since the content was last looked at.
    var crash = SectorModel.Crash()

    // What has happened since the array was opened.
    var faultyRoles: [Bool] = []
    var hasBeenFull = false
    /// How the last flush was answered.
    var lastFlushWasGood = false

    private(set) var step = 0
    private(set) var crashCount = 0
    var nextModification: UInt32 = 1

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        shape = ArrayShape(&random)
        habits = Habits(&random, shape)
        let world = SimulatedWorld(random: random)
        self.world = world
        let byteCount = shape.plan.memberByteCount
        members = (0..<shape.memberCount).map {
            SimulatedMember(name: "member \($0)", byteCount: byteCount, world: world)
        }
        model = SectorModel(sectorCount: shape.sectorCount)
        knowledge = Knowledge(memberCount: shape.memberCount)
        isSuspect = Array(repeating: false, count: shape.rowCount)
    }

    /// Lives until the end, or for so many steps; the array is opened once more after the last one.
    /// - Throws: when a promise was not kept.
    func run(steps: Int) throws(SimulationFault) {
        try create()
        for _ in 0..<habits.servings {
            guard try reopen(), step < steps else { return }
            try serve(until: steps)
        }
    }

    func note(_ text: String) { history.add(.note(text), step: step) }

    func countStep() { step += 1 }

    // MARK: Creation

    private func create() throws(SimulationFault) {
        do throws(ArrayStoreError) {
            try ArrayStore.format(members, plan: shape.plan, time: 1, using: &world.random)
        } catch { throw SimulationFault("the array could not be made: \(error)") }
        // Room for metadata is there from the start.
        for member in members { _ = member.reserve(byteOffset: 0, byteCount: UInt64(shape.dataSector * 512)) }
    }

    // MARK: Crashes

    /// Ends the process, or the system with it; what is under way is done in part.
    func endAbruptly(powerFails: Bool) {
        crashCount += 1
        note(powerFails ? "the power fails" : "the process dies")
        world.goDown()
        for member in members { markSuspect(member, powerFails: powerFails) }
        for member in members { member.crash(powerFails: powerFails) }
        crash.powerFailed = crash.powerFailed || powerFails
        crash.cacheWasLost = crash.cacheWasLost || powerFails || habits.cacheByteCount > 0
        letGo()
        world.comeUp()
    }

    /// The process is gone: so are its card and its open array.
    func letGo() {
        driver.detach()
        card = nil
        array = nil
        lanes = []
        channels = []
    }

    /// Notes the rows of which a crash may leave some sectors old and some new.
    private func markSuspect(_ member: SimulatedMember, powerFails: Bool) {
        for channel in member.channels {
            for operation in channel.operations where !operation.io.kind.isRead {
                for row in rows(operation.io) { isSuspect[row] = true }
            }
        }
        guard powerFails else { return }
        member.image.forEachVolatileSector { sector in
            if sector >= shape.dataSector { isSuspect[sector - shape.dataSector] = true }
        }
    }

    /// The rows that a member I/O covers: none for flushes, and for metadata.
    func rows(_ io: MemberIO) -> Range<Int> {
        let first = Int(io.byteOffset / 512) - shape.dataSector
        return io.kind == .flush || first < 0 ? 0..<0 : first..<first + Int(io.byteCount / 512)
    }
}
