import ArrayEngine
import ArrayStore
import HardwareBus
import MemberIO
import Platform
import RAID
import RAIDController

/// One simulated array from its creation to its end: served, crashed and opened again, many times.
///
/// Every choice comes from the seed, and everything runs on one thread, so the same seed gives the same life.
///
/// Threads: one.
final class ArrayLife {
    let shape: ArrayShape
    let world: SimulatedWorld
    /// All disks. The first ones are the array's first members.
    var disks: [SimulatedMember]
    /// By role: the disk that has the role, or had it last.
    var members: [SimulatedMember]
    let driver = SimulatedDriver()
    var model: SectorModel
    var history = History()
    let workload: Workload

    // The open array, as it is served, and the card in front of it.
    var array: OpenedArray?
    var live: LiveArray?
    var card: RAIDController?
    var lanes: [Int] = []
    /// By role: the bay of the member. Empty for arrays whose members cannot be replaced.
    var bays: [SimulatedBay] = []

    // Knowledge of the members and their superblocks.
    var knowledge: Knowledge
    /// By row: data and parity may disagree, since a crash or a lack of space interrupted a write.
    var isSuspect: [Bool]
    /// Blocks that were unreadable at some opening since the content was last checked: the disk's number, and the
    /// block's.
    var unreadableBlocks: Set<[Int]> = []
    /// By disk: the content of an older copy.
    var snapshots: [Int: [UInt8]] = [:]
    /// The array was opened by force, or that was tried, since the content was last checked.
    var wasForced = false
    /// The crashes since the content was last checked.
    var crash = SectorModel.Crash()

    // Events since the array was opened.
    /// By role: the member is not in sync, or does not work.
    var faultyRoles: [Bool] = []
    var hasBeenFull = false
    /// By block of rows: the last time at which not all of it could be read or computed; 0 for never.
    var lostAt: [UInt64] = []
    /// How often blocks have become unreadable.
    var damageCount = 0
    /// An I/O to the replacement has failed.
    var hasReplacementFailed = false
    /// Disks that were added and are to come back to their old roles.
    var returning: Set<Int> = []
    /// By disk: the role in its superblock when the array was found to be lost; empty while the array is not lost.
    var rolesWhenLost: [UInt16?] = []
    /// A user has cancelled a replacement.
    var mayEndReplacement = false
    /// Blocks of rows that were rewritten on some member and have not been read again.
    var unverifiedBlocks: Set<Int> = []
    /// The last flush was answered with GOOD.
    var lastFlushWasGood = false
    /// The check or repair that was asked for and is not known to have ended, and its number.
    var job: (kind: MaintenanceSchedule.Job, number: UInt64)?

    private(set) var step = 0
    private(set) var crashCount = 0
    var tally = LifeTally()
    var nextModification: UInt32 = 1

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        shape = ArrayShape(&random)
        workload = Workload(&random, shape)
        let world = SimulatedWorld(random: random)
        self.world = world
        let byteCount = shape.plan.memberByteCount
        disks = (0..<shape.memberCount).map {
            SimulatedMember(name: "member \($0)", byteCount: byteCount, world: world)
        }
        members = disks
        model = SectorModel(sectorCount: shape.sectorCount)
        knowledge = Knowledge(memberCount: shape.memberCount)
        isSuspect = Array(repeating: false, count: shape.rowCount)
    }

    /// Runs the life to its end, or for `steps` steps; the array is opened once more after the last step.
    /// - Throws: when a promise was not kept.
    func run(steps: Int) throws(SimulationFault) {
        try create()
        for _ in 0..<workload.servings {
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
        for member in members { reserveMetadata(of: member) }
    }

    /// Reserves the metadata's space on a disk, as creating an array does.
    func reserveMetadata(of disk: SimulatedMember) {
        _ = disk.reserve(byteOffset: 0, byteCount: UInt64(shape.dataSector * 512))
    }

    // MARK: Crashes

    /// Ends the process, or the system with it. I/O under way is done in part.
    func endAbruptly(powerFails asked: Bool) {
        // If the process dies between a failed flush and its record, nothing remembers which data was dropped.
        let powerFails = asked || shape.level == .raid5 && hasUnknownLoss
        crashCount += 1
        tally[powerFails ? .powerLosses : .processDeaths] += 1
        if array?.recoveringMember != nil { tally[.crashesInRebuild] += 1 }
        if array?.replacementState != nil { tally[.crashesInReplacement] += 1 }
        note(powerFails ? "the power fails" : "the process dies")
        world.goDown()
        for channel in world.channels { markSuspect(channel) }
        if powerFails {
            for member in members { markVolatileSuspect(member) }
            for number in disks.indices where knowledge.disks[number].may.contains(.replacing) {
                markVolatileSuspect(disks[number])
            }
        } else if shape.level == .raid0 && disks.contains(where: \.hasDropped) {
            model.noteDropped()
            for disk in disks { disk.forgetDropped() }
        }
        for channel in world.channels { channel.leaveHalfDone() }
        for disk in disks { disk.crash(powerFails: powerFails) }
        crash.powerFailed = crash.powerFailed || powerFails
        crash.cacheWasLost = crash.cacheWasLost || powerFails || workload.cacheByteCount > 0
        letGo()
        world.comeUp()
    }

    /// Whether a disk has dropped the data of a failed flush, and may still be taken for a good one.
    private var hasUnknownLoss: Bool {
        disks.indices.contains { disks[$0].hasDropped && knowledge.disks[$0].may != .out }
    }

    /// Drops the card and the open array, as the end of the process does.
    func letGo() {
        driver.detach()
        card = nil
        live = nil
        array = nil
        lanes = []
        bays = []
        returning = []
        rolesWhenLost = []
        job = nil
        world.channels = []
    }

    /// Notes the rows of which a crash may leave some sectors old and some new.
    private func markSuspect(_ channel: SimulatedChannel) {
        for operation in channel.operations { markSuspect(operation.io) }
    }

    /// Notes the rows that one member I/O may leave half written.
    func markSuspect(_ io: MemberIO) {
        guard !io.kind.isRead else { return }
        for row in rows(io) { isSuspect[row] = true }
    }

    private func markVolatileSuspect(_ member: SimulatedMember) {
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
