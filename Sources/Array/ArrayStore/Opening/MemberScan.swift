import MDFormat
import MemberIO
import RAID

/// The members of one array, sorted by their use for it. The rules are md's.
struct MemberScan {
    let geometry: ArrayGeometry
    /// Members that are up to date, by role.
    private(set) var members: [ArrayMember?]
    /// Members that have been rebuilt in part, by role.
    private(set) var recovering: [Role: ArrayMember] = [:]
    /// The member that is to take the role of one that is there. Nil while a member is missing: the replacement then
    /// counts as a spare, or as the partly rebuilt missing member.
    private(set) var replacement: (role: Role, member: ArrayMember)?
    private var replacements: [(role: Role, member: ArrayMember)] = []
    /// Members without a role, which may take one.
    private(set) var spares: [ArrayMember] = []
    /// Members without which the array goes on, and why.
    private(set) var leftOut: [(store: any PlacedMember, reason: String)]
    /// Members in `leftOut` that are complete but out of date, each with the role that it had.
    private var outdated: [(role: Role, member: ArrayMember)] = []
    /// Roles that were given back to outdated members by force.
    private(set) var forcedRoles: Set<Role> = []
    /// The superblock with the newest state.
    let newest: MDSuperblock
    /// The completion of a change of the array's shape that not all members were told.
    private let change: HalfDoneChange

    /// The greatest difference of event counts that members may have: a change is written to one member after another.
    private static let eventsLagMax: UInt64 = 1

    /// Reads the superblocks of an array's members, given in any order.
    /// - Parameter directory: the member directory's name, for messages.
    init(_ stores: [any PlacedMember], directory: String) throws(ArrayStoreError) {
        leftOut = []
        var found: [ArrayMember] = []
        for store in stores {
            switch Self.read(store) {
            case .superblock(let superblock): found.append(ArrayMember(store: store, superblock: superblock))
            case .unusable(let reason): leftOut.append((store, reason))
            }
        }
        guard let first = found.first else {
            throw ArrayStoreError(
                leftOut.isEmpty
                    ? "\(directory) holds no array; make one with: nbdext create \(directory) --level 5 --members 4 "
                        + "--size 10G"
                    : "no member in \(directory) can be used: \(leftOut[0].store.name): \(leftOut[0].reason)")
        }
        for member in found where member.superblock.setUUID != first.superblock.setUUID {
            throw ArrayStoreError(
                "\(first.store.name) and \(member.store.name) belong to different arrays; keep each array in a "
                    + "directory of its own")
        }
        let noMember = ArrayStoreError("\(directory) holds nothing but spares of an array; bring its members there too")
        guard let knowing = Self.newest(of: found) else { throw noMember }
        change = try HalfDoneChange(found, newest: knowing.superblock, directory: directory)
        found = change.members
        guard let best = Self.newest(of: found) else { throw noMember }
        newest = best.superblock
        geometry = try Self.geometry(of: best)
        members = Array(repeating: nil, count: geometry.memberCount)
        for member in found { try sort(member) }
        sortReplacements()
    }

    var missingRoles: [Role] { geometry.roles.filter { members[$0] == nil } }

    /// Whether the array was stopped with its parity right everywhere.
    var isClean: Bool { newest.isClean && change.doubtFrom == nil }

    /// Where doubtful parity begins, whatever a bitmap or logs say: parity from there on was never made, or is not
    /// known to have been. In bytes of the members' data, a multiple of the chunk. md leaves such a checkpoint
    /// (`resync_offset`) when it is stopped during a resync, and sets one when the members' size is raised. Nil without
    /// one: then the bitmap or the logs of an unclean array say what is in doubt.
    var checkpoint: UInt64? {
        guard geometry.level == .raid5 else { return nil }
        let isCheckpoint = newest.resyncOffset != 0 && newest.resyncOffset != MDSuperblock.clean
        let own = isCheckpoint ? min(newest.resyncOffset, geometry.memberDataByteCount / 512) * 512 : nil
        return [own, change.doubtFrom].compactMap { $0 }.min().map {
            $0 / geometry.chunkByteCount * geometry.chunkByteCount
        }
    }

    /// A message for the user about a change of shape that not all members were told; nil when there is none.
    var changeText: String? { change.text }

    /// Writes the superblocks that finish or undo a change of shape. To be called when parity is right.
    func completeChange() throws(ArrayStoreError) {
        for member in change.changed where !leftOut.contains(where: { $0.store === member.store }) {
            try member.write(member.superblock)
        }
    }

    /// The content of the place where a superblock should be.
    private enum Reading {
        case superblock(MDSuperblock)
        case unusable(String)
    }

    private static func read(_ store: any PlacedMember) -> Reading {
        if let absence = store.absence { return .unusable(absence) }
        let bytes: [UInt8]
        do throws(MemberStoreError) {
            bytes = try store.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount)
        } catch { return .unusable("it cannot be read: \(error)") }
        do throws(MDSuperblock.Problem) {
            return .superblock(try MDSuperblock(parsing: bytes))
        } catch {
            switch error {
            case .wrongChecksum: return .unusable("its superblock is damaged (wrong checksum)")
            case .impossible(let what): return .unusable("its superblock is damaged: \(what)")
            case .noMagic, .unsupported: return .unusable("it has no superblock")
            }
        }
    }

    /// The member with the newest superblock, among those with a role. A complete member is preferred to one that is
    /// being rebuilt.
    ///
    /// Two members can reach the same count of events independently. A change reaches one member before the power
    /// fails, the array is opened without that member, and the others then write as many changes. The others all record
    /// that it is out, whatever it records about them. So among equal counts, the superblock wins that most members
    /// with the same count and mark record as a member. If that decides nothing, a settled state is newer than one that
    /// is not.
    private static func newest(of found: [ArrayMember]) -> ArrayMember? {
        let candidates = found.filter { $0.superblock.role < MDSuperblock.firstSpecialRole }
        func age(_ member: ArrayMember) -> (UInt64, Int, Int, Int, Int) {
            let own = member.superblock
            let witnessCount = candidates.count {
                $0.superblock.events == own.events && $0.superblock.mark == own.mark
                    && $0.superblock.role(ofDevice: own.deviceNumber) < MDSuperblock.firstSpecialRole
            }
            // md may have written a superblock without a mark. With equal events it was written after ours.
            return (
                own.events, witnessCount, own.lineage == nil ? 1 : 0, own.lineage?.isSettled == true ? 1 : 0,
                own.recoveryByteOffset == nil ? 1 : 0
            )
        }
        return candidates.max { age($0) < age($1) }
    }

    private static func geometry(of member: ArrayMember) throws(ArrayStoreError) -> ArrayGeometry {
        do throws(MDSuperblock.Problem) {
            return try member.superblock.geometry()
        } catch {
            guard case .unsupported(let reason) = error else {
                throw ArrayStoreError("the superblock of \(member.store.name) cannot be used; move it away")
            }
            throw ArrayStoreError("\(member.store.name) \(reason)")
        }
    }

    private mutating func sort(_ member: ArrayMember) throws(ArrayStoreError) {
        let superblock = member.superblock
        let name = member.store.name
        let isStale = newest.events - min(superblock.events, newest.events) > Self.eventsLagMax
        if isStale, !superblock.hasSameDimensions(as: newest) || superblock.reshape != nil {
            return leftOut.append((member.store, "stale: it missed a change of the array's shape"))
        }
        // Checked even for members that will be left out: the array is served in full knowledge of its shape or not at
        // all.
        let ownGeometry = try Self.geometry(of: member)
        guard superblock.hasSameShape(as: newest) else {
            throw ArrayStoreError("\(name) disagrees with the other members about the array's shape; move it away")
        }
        if let reason = reasonToLeaveOut(member) {
            noteOutdated(member, ownGeometry)
            return leftOut.append((member.store, reason))
        }
        if superblock.role == MDSuperblock.roleSpare {
            guard superblock.hasSamePlaces(as: newest) else {
                return leftOut.append((member.store, "a spare whose data or metadata begin at other places"))
            }
            return spares.append(member)
        }
        let entry = newest.role(ofDevice: superblock.deviceNumber)
        guard let role = Role(entry: entry), role.index < members.count else {
            throw ArrayStoreError("\(name) has role \(entry) in an array of \(members.count) members; move it away")
        }
        let isReplacement = superblock.features.contains(.replacement)
        if let other = members[role] ?? recovering[role], !isReplacement {
            throw ArrayStoreError("\(other.store.name) and \(name) are the same member; move the copy away")
        }
        guard ownGeometry.memberDataByteCount == geometry.memberDataByteCount else {
            throw ArrayStoreError(
                "\(name) differs in size from the other members; serve RAID 0 arrays of unequal members with Linux md")
        }
        guard ownGeometry.dataByteOffset == geometry.dataByteOffset else {
            throw ArrayStoreError(
                "data begins at byte \(ownGeometry.dataByteOffset) of \(name) and at byte "
                    + "\(geometry.dataByteOffset) of other members; let Linux md replace it by a member that is like "
                    + "the others")
        }
        if isReplacement { return replacements.append((role, member)) }
        if superblock.recoveryByteOffset == nil { members[role] = member } else { recovering[role] = member }
    }

    /// Decides the use of members that were to replace others, once all other members are known.
    private mutating func sortReplacements() {
        let present = replacements.filter { members[$0.role] != nil || recovering[$0.role] != nil }
        for (role, member) in replacements where members[role] == nil && recovering[role] == nil {
            if member.superblock.recoveryByteOffset == nil {
                members[role] = member
            } else {
                recovering[role] = member
            }
        }
        for found in present {
            if replacement == nil && missingRoles.isEmpty {
                replacement = found
            } else {
                spares.append(found.member)
            }
        }
    }

    private mutating func noteOutdated(_ member: ArrayMember, _ own: ArrayGeometry) {
        let superblock = member.superblock
        guard let role = Role(entry: superblock.role), role.index < members.count, superblock.recoveryByteOffset == nil,
            !superblock.features.contains(.replacement), own == geometry,
            member.store.byteCount >= geometry.dataByteOffset + geometry.memberDataByteCount
        else { return }
        outdated.append((role, member))
    }

    /// Gives missing roles to outdated members, the newest first, until the array can do without the rest.
    ///
    /// Does nothing when there is an unreadable member. That one may have the newest state, and could not come back
    /// once the array has gone on with an older one.
    /// - Parameter survivable: the number of members that the array can do without.
    /// - Returns: the unreadable members, if nothing was done because of them.
    mutating func forceOutdated(survivable: Int) -> [any PlacedMember] {
        guard missingRoles.count > survivable else { return [] }
        let freshest = outdated.sorted { $0.member.superblock.events > $1.member.superblock.events }
        var scan = self
        for (role, member) in freshest
        where scan.missingRoles.count > survivable && scan.members[role] == nil
            && scan.isFree(member.superblock.deviceNumber, for: role)
        {
            scan.members[role] = member
            scan.recovering[role] = nil
            scan.forcedRoles.insert(role)
            scan.leftOut.removeAll { $0.store === member.store }
        }
        guard scan.missingRoles.count <= survivable else { return [] }
        let unread = leftOut.map(\.store).filter { store in !outdated.contains { $0.member.store === store } }
        if unread.isEmpty { self = scan }
        return unread
    }

    /// Whether a member with a device number of its own can have a role.
    private func isFree(_ number: UInt32, for role: Role) -> Bool {
        let known = newest.role(ofDevice: number)
        let others = (members + Array(recovering.values) + [replacement?.member]).compactMap { $0 }
        return newest.hasEntry(ofDevice: number) && !others.contains { $0.superblock.deviceNumber == number }
            && (known >= MDSuperblock.firstSpecialRole || known == role.entry)
    }

    /// Why the array goes on without a member; nil when it does not.
    private func reasonToLeaveOut(_ member: ArrayMember) -> String? {
        let superblock = member.superblock
        let needed = (superblock.dataOffsetSectors + superblock.dataSectors) * 512
        guard member.store.byteCount >= needed else {
            return "it was cut short: it has \(member.store.byteCount) bytes, and its superblock says \(needed)"
        }
        // A spare's event count is not updated.
        if superblock.role == MDSuperblock.roleSpare { return nil }
        switch newest.role(ofDevice: superblock.deviceNumber) {
        case MDSuperblock.roleFaulty: return "failed"
        case MDSuperblock.roleSpare: return "removed from the array"
        default: break
        }
        guard superblock.role < MDSuperblock.firstSpecialRole else { return "failed" }
        guard newest.events - min(superblock.events, newest.events) <= Self.eventsLagMax else {
            return "stale: it missed changes"
        }
        guard newest.isSameState(as: superblock) else {
            return "it has changed since the others last saw it: it is an older copy, or was used elsewhere"
        }
        guard superblock.role(ofDevice: newest.deviceNumber) < MDSuperblock.firstSpecialRole else {
            return "it went on without the others, which are newer"
        }
        return nil
    }
}
