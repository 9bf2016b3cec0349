import Platform
import RAID

/// An array whose members are open and locked, and whose superblocks are kept.
///
/// Threads: `recordFailure` and `failedMembers` on any; the rest on one control thread.
package final class OpenedArray: @unchecked Sendable {
    // SAFETY: `superblocks`, `newest`, `bitmap`, `failedRoles` and `writtenEvents` are touched under `lock`.
    /// What messages call where the members are: their directory.
    package let place: String
    package let geometry: ArrayGeometry
    package let isReadOnly: Bool
    /// By role; nil for a member that the array runs without.
    package let members: [ArrayMember?]
    /// The member that has been rebuilt in part, its role, and how many bytes of its data have been. The role counts as
    /// missing.
    package let recovering: (role: Int, member: ArrayMember, byteCount: UInt64)?
    /// Members without a role, which may take one.
    package let spares: [ArrayMember]
    /// What keeps parity right, and from where it goes on. `.resync` for an array that is only read.
    package let consistency: ConsistencyPolicy
    package let name: String
    package let uuid: [UInt8]
    private let surroundings: ArrayStore.Surroundings
    private let lock = Lock()
    /// By role, what was written last or found.
    private var superblocks: [MDSuperblock?]
    private var newest: MDSuperblock
    /// The header of the bitmap; its bits belong to whoever plans writes.
    private var bitmap: MDBitmap?
    private var failedRoles: Set<Int>
    /// By role: the events of the superblock that the member has durably, as far as is known. What was found when the array
    /// was opened may have been written by a process that died before it flushed.
    private var writtenEvents: [UInt64]

    init(
        scan: MemberScan, place: String, readOnly: Bool, consistency: ConsistencyPolicy,
        in surroundings: ArrayStore.Surroundings
    ) {
        self.place = place
        self.surroundings = surroundings
        geometry = scan.geometry
        members = scan.members
        isReadOnly = readOnly
        recovering = scan.recovering.first.map { ($0, $1, $1.superblock.recoveryByteOffset ?? 0) }
        spares = scan.spares
        self.consistency = consistency
        if case .bitmap(let area) = consistency { bitmap = area.bitmap }
        superblocks = scan.members.map { $0?.superblock }
        newest = scan.newest
        failedRoles = Set(scan.missingRoles)
        writtenEvents = Array(repeating: 0, count: scan.members.count)
        name = ArrayStore.name(of: scan.newest)
        uuid = scan.newest.setUUID
    }

    /// What the array was made with.
    package var superblockConsistency: ArrayConsistency { lock.withLock { newest.consistency } }

    /// The role that the array runs without from the start, or nil.
    package var missingRole: Int? { members.firstIndex { $0 == nil } }

    /// The roles of members that the array runs without, from the start or since they failed. Any thread.
    package var failedMembers: [Int] { lock.withLock { failedRoles.sorted() } }

    /// Says durably on every member that writes are going to come, and that absent members miss them.
    package func markDirty() throws(ArrayStoreError) {
        try update { $0.resyncOffset = geometry.level == .raid5 ? 0 : MDSuperblock.clean }
    }

    /// Says durably that all parity is right. Members must have been flushed.
    package func markClean() throws(ArrayStoreError) {
        try update { $0.resyncOffset = MDSuperblock.clean }
    }

    /// Says durably on the survivors that a member failed, so that it cannot come back with old data. Returns when that
    /// is so, also for those who ask while another thread is writing it.
    /// - Returns: whether the survivors could be written.
    package func recordFailure(role: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        guard failedRoles.insert(role).inserted, !isReadOnly else { return true }
        surroundings.report("member \(role) of \(name) failed; the array goes on without it")
        do throws(ArrayStoreError) {
            try writeMembers { _ in }
            return true
        } catch {
            surroundings.report(error.description)
            return false
        }
    }

    private func update(_ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        try writeMembers(change)
    }

    /// Writes a new state to every member that is there. Under `lock`, which is held across this rare I/O so that nobody
    /// acknowledges what the survivors do not know yet.
    ///
    /// A crash on the way leaves members one change behind the others, and two behind is stale. So those that are behind
    /// already get the present state first.
    private func writeMembers(_ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        try writeMembersBehind()
        change(&newest)
        newest.events += 1
        newest.updateTime = surroundings.clock() & 0xFF_FFFF_FFFF
        for role in failedRoles {
            if let device = newest.device(withRole: UInt16(role)) {
                newest.setRole(MDSuperblock.roleFaulty, ofDevice: device)
            }
        }
        try writeBitmapHeader(to: members.indices.filter { !failedRoles.contains($0) }.compactMap { members[$0] })
        try writeMembersBehind()
    }

    /// Writes the present state to every member that does not have it.
    private func writeMembersBehind() throws(ArrayStoreError) {
        for (role, member) in members.enumerated()
        where !failedRoles.contains(role) && writtenEvents[role] < newest.events {
            guard let member, var own = superblocks[role] else { continue }
            own.takeState(of: newest)
            superblocks[role] = own
            try member.write(own)
            writtenEvents[role] = newest.events
        }
    }

    /// A bitmap that knows of fewer events than the superblock is out of date, so its header goes first.
    private func writeBitmapHeader(to present: [ArrayMember]) throws(ArrayStoreError) {
        guard bitmap != nil else { return }
        bitmap?.events = newest.events
        // What a member has missed is only known from when the last one failed.
        if failedRoles.isEmpty { bitmap?.eventsCleared = newest.events }
        if let bitmap { try MemberBitmap.writeHeader(bitmap, to: present) }
    }
}
