import MemberIO
import Members
import Platform
import RAID

/// An array whose members are open and locked, and whose superblocks are kept.
///
/// Threads: `markDirty` and `markClean` on one control thread; the rest on any.
package final class OpenedArray: @unchecked Sendable {
    // SAFETY: what can change is touched under `lock`.
    /// What messages call where the members are: their directory.
    package let place: String
    package let geometry: ArrayGeometry
    package let isReadOnly: Bool
    /// By role, those that were in sync when the array was opened.
    package let members: [ArrayMember?]
    /// By role: where lanes find whatever member has it. They stay the same while members come and go.
    package let places: [MemberPlace]
    package let name: String
    package let uuid: [UInt8]
    let surroundings: ArrayStore.Surroundings
    let lock = Lock()
    /// By role; nil where a member cannot be replaced.
    let slots: [RoleSlot?]
    var superblock: MDSuperblock
    var failedRoles: Set<Int>
    /// By role: who has it, or had it last.
    var current: [ArrayMember?]
    /// The role whose member is being rebuilt, and how many bytes of its data area it has for sure.
    var recovering: (role: Int, byteCount: UInt64)?
    var spares: [ArrayMember]
    /// Members that failed and whose role another one has since.
    var replaced: [ArrayMember] = []

    /// - Throws: when the system is out of descriptors.
    init(
        scan: MemberScan, place: String, readOnly: Bool, in surroundings: ArrayStore.Surroundings
    ) throws(ArrayStoreError) {
        self.place = place
        self.surroundings = surroundings
        geometry = scan.geometry
        members = scan.members
        isReadOnly = readOnly
        superblock = scan.newest
        superblock.recoveryByteOffset = nil
        failedRoles = Set(scan.missingRoles)
        current = scan.members
        spares = scan.spares
        if let member = scan.recovering, !readOnly {
            let role = Int(scan.newest.role(ofDevice: member.superblock.deviceNumber))
            current[role] = member
            failedRoles.remove(role)
            recovering = (role, min(member.superblock.recoveryByteOffset ?? 0, geometry.memberDataByteCount))
        }
        name = ArrayStore.name(of: scan.newest)
        uuid = scan.newest.setUUID
        let isReplaceable = scan.geometry.level == .raid5 && !readOnly
        slots = try Self.slots(current, isReplaceable: isReplaceable)
        places = zip(slots, current).map { slot, member in slot?.place ?? member?.store.place ?? .none }
    }

    private static func slots(
        _ members: [ArrayMember?], isReplaceable: Bool
    ) throws(ArrayStoreError) -> [RoleSlot?] {
        var slots: [RoleSlot?] = []
        for member in members {
            let file = member?.store.place
            // Only files can be put behind a descriptor.
            guard isReplaceable, file?.isFile ?? true else {
                slots.append(nil)
                continue
            }
            do throws(OSError) {
                let slot = try RoleSlot()
                if case .file(let descriptor) = file { slot.put(descriptor) }
                slots.append(slot)
            } catch { throw ArrayStoreError("\(error)") }
        }
        return slots
    }

    /// The role that was not in sync when the array was opened, or nil.
    package var missingRole: Int? { members.firstIndex { $0 == nil } }

    /// The roles of members that the array runs without, or that are being rebuilt. Any thread.
    package var failedMembers: [Int] {
        lock.withLock { failedRoles.union(recovering.map { [$0.role] } ?? []).sorted() }
    }

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
        if recovering?.role == role { recovering = nil }
        do throws(ArrayStoreError) {
            try writeMembers { _ in }
            return true
        } catch {
            surroundings.report(error.description)
            return false
        }
    }

    func update(_ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        try writeMembers(change)
    }

    /// Writes a new state to every member that is there. Under `lock`, which is held across this rare I/O so that nobody
    /// acknowledges what the survivors do not know yet.
    func writeMembers(_ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        change(&superblock)
        superblock.events += 1
        superblock.updateTime = surroundings.clock() & 0xFF_FFFF_FFFF
        for role in failedRoles {
            if let device = superblock.device(withRole: UInt16(role)) {
                superblock.setRole(MDSuperblock.roleFaulty, ofDevice: device)
            }
        }
        for (role, member) in current.enumerated() where !failedRoles.contains(role) {
            guard let member else { continue }
            var own = ownSuperblock(of: member)
            if recovering?.role == role { own.recoveryByteOffset = recovering?.byteCount }
            try member.write(own)
        }
    }

    /// The array's state, as a member tells it. Under `lock`.
    func ownSuperblock(of member: ArrayMember) -> MDSuperblock {
        var own = superblock
        own.deviceNumber = member.superblock.deviceNumber
        own.deviceUUID = member.superblock.deviceUUID
        own.dataOffsetSectors = member.superblock.dataOffsetSectors
        own.dataSectors = member.superblock.dataSectors
        return own
    }
}
