import ArrayStore
import MDFormat
import MemberIO
import Members
import Platform
import RAID
import Statistics
import Synchronization

/// An array that is being served: what is on its members, the plan of what happens to them, and its maintenance.
///
/// Threads: any; the planner only under `plannerLock`.
package final class LiveArray: @unchecked Sendable {
    // SAFETY: `planner` and `doubtCountAtRepair` are used under `plannerLock`, `mustFail` under `membership`; the rest
    // never changes.
    /// The array on disk: open and locked.
    let store: OpenedArray
    let geometry: ArrayGeometry
    /// The array's position in the engine.
    package let index: Int
    /// The position of the array's first member among the places of a lane, which are those of all arrays.
    let fileBase: Int
    /// By role; then the replacement's place, if the array can have one.
    let places: [MemberPlace]
    let spaces: [MemberSpace]
    let plannerLock = Lock()
    let planner: RAIDPlanner
    /// A sequence count: even while all members are in sync; odd otherwise, and then reads need the planner. Changed
    /// under `plannerLock`. A read without the planner is valid only if the count is the same before and after it.
    let membershipEpoch: Atomic<UInt64>
    let maintenance = ArrayMaintenance()
    private let hasReportedRefusal = Atomic<Bool>(false)
    /// Held while a member comes or goes, from the superblocks to the planner, so that both agree.
    let membership = Lock()
    /// The places of members that do not know a change. Under `membership`.
    var mustFail: [Place] = []
    /// The planner's `doubtCount` when the last repair began. Under `plannerLock`.
    var doubtCountAtRepair: UInt64 = 0
    private let memory: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - store: open and locked; it stays so while this exists.
    ///   - requestCapacity: tags of requests are below it.
    /// - Throws: when the process has no address space for the members' space maps.
    package init(
        _ store: OpenedArray, index: Int = 0, fileBase: Int = 0, requestCapacity: Int
    ) throws(OSError) {
        self.store = store
        self.index = index
        self.fileBase = fileBase
        geometry = store.geometry
        let geometry = store.geometry
        places = store.places
        spaces = try places.map { place throws(OSError) in
            try MemberSpace(place: place, byteCount: geometry.dataByteOffset + geometry.memberDataByteCount)
        }
        assert(
            places.count == geometry.memberCount || places.count == geometry.memberCount + 1, "a member has no place")
        membershipEpoch = Atomic(store.missingRole == nil ? 0 : 1)
        let scratchByteCount = RAIDPlanner.scratchByteCount(memberCount: geometry.memberCount)
        let zeroByteCount = 64 << 10
        memory = .allocate(byteCount: zeroByteCount + scratchByteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: zeroByteCount)
        planner = RAIDPlanner(
            geometry: geometry, requestCapacity: requestCapacity, scratch: memory + zeroByteCount,
            zeroes: UnsafeRawPointer(memory), missingMember: geometry.level == .raid5 ? store.missingRole : nil,
            consistency: store.consistency)
        if let recovering = store.recoveringMember {
            let unit = geometry.unitByteCount
            _ = planner.beginRecovery(
                Recovery(member: recovering.role, boundary: recovering.byteCount / unit * unit))
        }
        if let replacing = store.replacementState {
            let unit = geometry.unitByteCount
            planner.beginReplacement(Recovery(member: replacing.role, boundary: replacing.byteCount / unit * unit))
        }
    }

    deinit { memory.deallocate() }

    /// Whether an I/O stays inside the member at its place. Only durable writes, which are of logs and bitmaps, go in
    /// front of the data.
    func accepts(_ io: MemberIO) -> Bool {
        guard io.place.index < places.count, io.kind != .flush else { return io.place.index < places.count }
        let end = geometry.dataByteOffset + geometry.memberDataByteCount
        return io.byteOffset + UInt64(io.byteCount) <= end
            && (io.byteOffset >= geometry.dataByteOffset || io.kind == .durableWrite)
    }

    // MARK: What clients see of it

    /// The array's name.
    package var name: String { store.name }
    /// Its UUID, 16 bytes.
    package var uuid: [UInt8] { store.uuid }
    /// The UUID as 32 hexadecimal digits.
    package var uuidText: String { ArrayStore.uuidText(store.uuid).filter { $0 != ":" } }
    /// Its RAID level, as a number.
    package var level: Int { Int(geometry.level.rawValue) }
    /// Whether nothing may be written to it.
    package var isReadOnly: Bool { store.isReadOnly }
    /// Whether members can be added and rebuilt.
    package var takesMembers: Bool { geometry.level == .raid5 && !isReadOnly }
    /// Bytes that clients can use.
    package var capacityByteCount: UInt64 { geometry.capacityByteCount }
    /// Bytes of one chunk.
    package var chunkByteCount: UInt64 { geometry.chunkByteCount }
    /// Bytes of data in one stripe.
    package var stripeByteCount: UInt64 { geometry.stripeByteCount }

    // MARK: What users are told

    /// Reports a block that can be read again: the first, and then more and more rarely. `status` has the count.
    func report(_ corrected: CorrectedRead) {
        guard corrected.count.nonzeroBitCount == 1 else { return }
        let count = corrected.count == 1 ? "" : "; it is the \(corrected.count)th such block"
        store.report(
            "member \(corrected.member) of \(store.name) could not read the block at byte \(corrected.byteOffset); it was "
                + "rewritten from the other members and can be read again\(count)", .warning)
    }

    /// Notes that a write lacked space on one member, and that the parity of its rows could not be corrected.
    func noteDoubt() {
        if store.noteDoubtfulParity() {
            store.report(
                "a write to \(store.name) found no space on one member after it was done on others; free some space, and "
                    + "the parity will be repaired", .warning)
        }
        maintenance.wake()
    }

    /// Reports the first operation that the system, or a member's server, refused.
    func noteRefusal(by place: Place) {
        guard !hasReportedRefusal.exchange(true, ordering: .relaxed) else { return }
        store.report(
            "the system rejected an operation on member \(place) of \(store.name) (wrong address or argument, or no memory): "
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
        var snapshot = ArraySnapshot(name: name, level: level)
        let view = store.view
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
}
