import MDFormat
import MemberIO
import RAID

/// Members that were lost and return.
extension OpenedArray {
    /// Whether a member can return to the missing role: it had that role, is unchanged since it left, and the bitmap
    /// has kept everything since. The rules are md's, except for the mark, which proves that it is unchanged. Under
    /// `lock`.
    func isReturning(_ member: ArrayMember) -> Bool {
        let own = member.superblock
        guard case .bitmap(let area) = consistency, let bitmap, recovering == nil, failedRoles.count == 1,
            let role = failedRoles.first, own.setUUID == uuid, own.role == role.entry,
            own.hasSameShape(as: records.newest), own.bitmapByteOffset == area.byteOffsets[role],
            (try? own.geometry()) == geometry,
            member.store.byteCount >= geometry.dataByteOffset + geometry.memberDataByteCount
        else { return false }
        // No other member has its number. It has not gone on by itself, nor together with others while a member now in
        // service was away.
        let others =
            membership.roles.filter { $0 != role }.compactMap { current[$0] }
            + spares.filter { $0.store !== member.store }
        guard records.newest.hasEntry(ofDevice: own.deviceNumber),
            records.newest.role(ofDevice: own.deviceNumber) >= MDSuperblock.firstSpecialRole, !hasSeenFailure(own),
            !others.contains(where: { $0.superblock.deviceNumber == own.deviceNumber })
        else { return false }
        let isWhole = own.recoveryByteOffset == nil || own.isRecoveryGuided
        let isItself = own.mark == records.newest.lineage?.departed ?? 0
        return isWhole && isItself && bitmap.eventsCleared <= own.events && own.events < records.newest.events
    }

    /// Checks the lost members on other servers. Those that answer again and have missed only what the bitmap knows
    /// return by themselves, as spares that `activateSpare` finds. Blocks while it connects.
    package func takeBackReconnected() {
        for store in lock.withLock({ lostMembers }) {
            guard let again = store.reconnected() else { continue }
            guard health != .failed else {
                environment.report(
                    "\(name) stays failed although \(store.name) can be reached again: data that it had not made "
                        + "durable may be gone; stop the server, and serve \(name) again", .warning)
                continue
            }
            let member =
                again.absence == nil
                ? Self.superblock(of: again).map { ArrayMember(store: again, superblock: $0) } : nil
            guard member != nil || again.loss == nil else {
                // The new connection goes on trying.
                lock.withLock { replaceLost(store, by: again) }
                continue
            }
            let isBack = lock.withLock {
                guard let member, isReturning(member) else { return false }
                membership.add(spare: known.add(member))
                absentMembers.removeAll { $0 === store }
                return true
            }
            if !isBack {
                environment.report(
                    "\(again.name) cannot come back to \(name) by itself, since all of it has to be rebuilt: nbdext "
                        + "add \(directory) \(fileName(again.path))", .warning)
            }
        }
    }

    /// Drops a member that was not reached when the array was opened, so that it can be added.
    /// - Parameter path: the file that names it.
    func letGoOfAbsent(_ path: String) { lock.withLock { absentMembers.removeAll { $0.path == path } } }

    /// Keeps a member whose server was not reached, so that `takeBackReconnected` checks it.
    func keepTrying(_ member: any PlacedMember) { lock.withLock { absentMembers.append(member) } }

    /// Under `lock`.
    private var lostMembers: [any PlacedMember] { absentMembers + failedRoles.compactMap { current[$0]?.store } }

    /// Under `lock`.
    private func replaceLost(_ store: any PlacedMember, by other: any PlacedMember) {
        for index in absentMembers.indices where absentMembers[index] === store { absentMembers[index] = other }
        for role in failedRoles {
            guard let id = membership.seats[role].member, let member = known[id], member.store === store else {
                continue
            }
            known[id] = ArrayMember(store: other, superblock: member.superblock)
        }
        tellOutages()
    }

    private func fileName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// The superblock that is on a member now; nil when it cannot be read or is invalid.
    static func superblock(of store: any MemberStore) -> MDSuperblock? {
        guard let bytes = try? store.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount) else {
            return nil
        }
        return try? MDSuperblock(parsing: bytes)
    }
}
