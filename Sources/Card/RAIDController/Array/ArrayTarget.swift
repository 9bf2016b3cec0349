import ArrayStore
import MDFormat
import Members
import Platform
import RAID
import SCSI
import Statistics
import Synchronization

/// One array behind the card: its planner, its members' places and space, and its logical unit.
///
/// Threads: any; the planner only under `plannerLock`.
package final class ArrayTarget: @unchecked Sendable {
    // SAFETY: `planner` is used under `plannerLock`; `index`, `disk`, `fileBase` and `cache` are set before the card
    // runs.
    /// The array on disk: open and locked.
    package let array: OpenedArray
    /// The array's layout.
    package let geometry: ArrayGeometry
    /// By role; then the replacement's place, if the array can have one.
    let places: [MemberPlace]
    let spaces: [MemberSpace]
    private(set) var disk: DirectAccessTarget
    let plannerLock = Lock()
    let planner: RAIDPlanner
    /// Nil when the array has no write cache.
    private(set) var cache: WriteCache?
    let verifyMemory: VerifyMemory
    /// A sequence count: even while all members are in sync; odd otherwise, and then reads need the planner. Changed
    /// under `plannerLock`. A read without the planner is valid only if the count is the same before and after it.
    let membershipEpoch: Atomic<UInt64>
    let maintenance = ArrayMaintenance()
    /// Whether the card has ever had a command for the array.
    let hasBeenAsked = Atomic<Bool>(false)
    private let hasReportedRefusal = Atomic<Bool>(false)
    /// Held while a member comes or goes, from the superblocks to the planner, so that both agree.
    let membership = Lock()
    /// When a rebuild's progress is made durable next. On the maintenance thread.
    var checkpointAt: UInt64 = 0
    /// When a job that failed is tried again. On the maintenance thread.
    var retryAt: UInt64 = 0
    /// The planner's `doubtCount` when the last repair began. Under `plannerLock`.
    var doubtCountAtRepair: UInt64 = 0
    private(set) var index = 0
    /// The position of the array's first member among the places of a lane, which are those of all arrays.
    private(set) var fileBase = 0
    private let memory: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - array: open and locked; it stays so while the card exists.
    ///   - commandCapacity: the most commands in the card.
    ///   - isRemovable: INQUIRY reports a removable medium (the RMB bit).
    /// - Throws: when the process has no address space for the members' space maps.
    package init(
        array: OpenedArray, commandCapacity: Int = RAIDController.commandCapacity, isRemovable: Bool = false
    ) throws(OSError) {
        self.array = array
        geometry = array.geometry
        let geometry = array.geometry
        places = array.places
        spaces = try places.map { place throws(OSError) in
            try MemberSpace(place: place, byteCount: geometry.dataByteOffset + geometry.memberDataByteCount)
        }
        disk = DirectAccessTarget(traits: Self.traits(of: array, isRemovable: isRemovable))
        verifyMemory = VerifyMemory(commandCapacity: commandCapacity)
        membershipEpoch = Atomic(array.missingRole == nil ? 0 : 1)
        let scratchByteCount = RAIDPlanner.scratchByteCount(memberCount: geometry.memberCount)
        let zeroByteCount = 64 << 10
        memory = .allocate(byteCount: zeroByteCount + scratchByteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: zeroByteCount)
        planner = RAIDPlanner(
            geometry: geometry, requestCapacity: commandCapacity + WriteCache.runCapacity,
            scratch: memory + zeroByteCount,
            zeroes: UnsafeRawPointer(memory), missingMember: geometry.level == .raid5 ? array.missingRole : nil,
            consistency: array.consistency)
        if let recovering = array.recoveringMember {
            let unit = geometry.unitByteCount
            _ = planner.beginRecovery(
                Recovery(member: recovering.role, boundary: recovering.byteCount / unit * unit))
        }
        if let replacing = array.replacementState {
            let unit = geometry.unitByteCount
            planner.beginReplacement(Recovery(member: replacing.role, boundary: replacing.byteCount / unit * unit))
        }
    }

    deinit { memory.deallocate() }

    /// Puts the array behind a card.
    /// - Parameters:
    ///   - index: the array's position among the card's arrays.
    ///   - unitCount: the number of logical units of the array's target.
    ///   - fileBase: the position of the array's first member among the places of a lane.
    ///   - writeCacheByteCount: the size of the array's write cache; 0 for none.
    func attach(index: Int, unitCount: UInt8, fileBase: Int, writeCacheByteCount: Int) {
        self.index = index
        var traits = disk.traits
        traits.unitCount = unitCount
        disk = DirectAccessTarget(traits: traits)
        self.fileBase = fileBase
        guard !array.isReadOnly else { return }
        cache = WriteCache(
            byteCount: writeCacheByteCount, stripeByteCount: geometry.stripeByteCount,
            commandCapacity: RAIDController.commandCapacity)
    }

    /// Reports a block that can be read again: the first, and then more and more rarely. `status` has the count.
    func report(_ corrected: CorrectedRead) {
        guard corrected.count.nonzeroBitCount == 1 else { return }
        let count = corrected.count == 1 ? "" : "; it is the \(corrected.count)th such block"
        array.report(
            "member \(corrected.member) of \(array.name) could not read the block at byte \(corrected.byteOffset); it was "
                + "rewritten from the other members and can be read again\(count)", .warning)
    }

    /// Notes that a write lacked space on one member, and that the parity of its rows could not be corrected.
    func noteDoubt() {
        if array.noteDoubtfulParity() {
            array.report(
                "a write to \(array.name) found no space on one member after it was done on others; free some space, and "
                    + "the parity will be repaired", .warning)
        }
        maintenance.wake()
    }

    /// Reports the first operation that the system, or a member's server, refused.
    func noteRefusal(by place: Int) {
        guard !hasReportedRefusal.exchange(true, ordering: .relaxed) else { return }
        array.report(
            "the system rejected an operation on member \(place) of \(array.name) (wrong address or argument, or no memory): "
                + "the request failed, and the member stays; check the machine's memory and the member's file system",
            .warning)
    }

    /// Whether a member is being rebuilt.
    var hasRecovery: Bool { plannerLock.withLock { planner.recovery != nil } }

    var isSound: Bool { membershipEpoch.load(ordering: .acquiring) & 1 == 0 }

    /// How many RAID 5 writes were full stripes, and how many had to read first.
    package var writeStatistics: WriteStatistics { plannerLock.withLock { planner.statistics } }

    /// By role: blocks that could be read again after they were rewritten.
    var correctedReads: [UInt64] { plannerLock.withLock { planner.correctedReads } }

    /// The array's state for reports, without its members.
    func snapshot() -> ArraySnapshot {
        var snapshot = ArraySnapshot(name: array.name, level: Int(geometry.level.rawValue))
        let view = array.view
        snapshot.missingMembers = view.missingMembers
        snapshot.state = view.state
        snapshot.hasPendingRebuild = view.hasPendingRebuild
        snapshot.job = maintenance.snapshot(geometry: geometry)
        if geometry.level == .raid5 {
            let writes = writeStatistics
            snapshot.writes = WriteSnapshot(
                fullStripe: writes.fullStripeWrites, readModify: writes.readModifyWrites,
                reconstruct: writes.reconstructWrites)
        }
        return snapshot
    }

    private static func traits(of array: OpenedArray, isRemovable: Bool) -> DiskTraits {
        let geometry = array.geometry
        var traits = DiskTraits()
        traits.product = "RAID \(geometry.level.rawValue)"
        traits.serialNumber = ArrayStore.uuidText(array.uuid).filter { $0 != ":" }
        traits.identifier = array.uuid
        traits.blockCount = geometry.capacityByteCount / UInt64(traits.blockByteCount)
        // A power of two that fits the two-byte field of the Block Limits VPD page (SBC-3), for chunks above 16 MiB
        // too.
        let granularity = min(geometry.chunkByteCount, 16 << 20)
        traits.optimalTransferGranularity = UInt16(granularity / UInt64(traits.blockByteCount))
        traits.optimalTransferBlocks = UInt32(clamping: geometry.stripeByteCount / UInt64(traits.blockByteCount))
        traits.isReadOnly = array.isReadOnly
        traits.isRemovable = isRemovable
        return traits
    }
}
