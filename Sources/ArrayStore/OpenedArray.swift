import Platform
import RAID

/// An array whose members are open and locked, and whose superblocks are kept.
///
/// Threads: `recordFailure` and `failedMembers` on any; the rest on one control thread.
package final class OpenedArray: @unchecked Sendable {
    // SAFETY: `superblock`, `roles` and `isDirty` are touched under `lock`.
    /// What messages call where the members are: their directory.
    package let place: String
    package let geometry: ArrayGeometry
    package let isReadOnly: Bool
    /// By role; nil for a member that the array runs without.
    package let members: [ArrayMember?]
    package let name: String
    package let uuid: [UInt8]
    private let surroundings: ArrayStore.Surroundings
    private let lock = Lock()
    private var superblock: MDSuperblock
    private var failedRoles: Set<Int>
    /// Members on servers that were not reached. They go on trying, and report when they are.
    private let absentMembers: [any PlacedMember]

    init(scan: MemberScan, place: String, readOnly: Bool, in surroundings: ArrayStore.Surroundings) {
        self.place = place
        self.surroundings = surroundings
        geometry = scan.geometry
        members = scan.members
        absentMembers = scan.leftOut.map(\.store).filter { $0.absence != nil }
        isReadOnly = readOnly
        superblock = scan.newest
        failedRoles = Set(scan.missingRoles)
        name = ArrayStore.name(of: scan.newest)
        uuid = scan.newest.setUUID
    }

    /// The role that the array runs without from the start, or nil.
    package var missingRole: Int? { members.firstIndex { $0 == nil } }

    /// The roles of members that the array runs without, from the start or since they failed. Any thread.
    package var failedMembers: [Int] { lock.withLock { failedRoles.sorted() } }

    /// Says durably on every member that writes are going to come, and that absent members miss them.
    package func markDirty() throws(ArrayStoreError) {
        try update { superblock in
            superblock.resyncOffset = geometry.level == .raid5 ? 0 : MDSuperblock.clean
        }
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
    private func writeMembers(_ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        change(&superblock)
        superblock.events += 1
        superblock.updateTime = surroundings.clock() & 0xFF_FFFF_FFFF
        for role in failedRoles {
            if let device = superblock.device(withRole: UInt16(role)) {
                superblock.setRole(MDSuperblock.roleFaulty, ofDevice: device)
            }
        }
        for (role, member) in members.enumerated() where !failedRoles.contains(role) {
            guard let member else { continue }
            var own = superblock
            own.deviceNumber = member.superblock.deviceNumber
            own.deviceUUID = member.superblock.deviceUUID
            own.dataOffsetSectors = member.superblock.dataOffsetSectors
            own.dataSectors = member.superblock.dataSectors
            try member.write(own)
        }
    }
}
