import MDFormat
import MemberIO
import RAID

/// Members that are replaced while they serve. Each change is durable on all members when its call returns.
extension OpenedArray {
    /// The role whose member is being replaced, and the bytes of its replacement that are durable; nil for none. Any
    /// thread.
    package var replacementState: (role: Role, byteCount: UInt64)? {
        lock.withLock { membership.successor.map { ($0.role, $0.byteCount) } }
    }

    /// Puts a spare at the replacement's place, to become a copy of the member that has a role.
    /// - Parameters:
    ///   - role: a role whose member is there.
    ///   - path: the path or URI of the spare; nil for any.
    /// - Throws: when the array or the spare does not allow it, or a superblock could not be written.
    package func beginReplacement(
        of role: Role, by path: String?, telling listener: (any MembershipListener)? = nil
    ) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        try checkIsNotLost()
        guard let replacementBay, bays[role] != nil else {
            throw ArrayStoreError(
                "member \(role) of \(name) is not a file, and cannot be replaced while it serves; add another member, "
                    + "then take this one out of service: nbdext fail")
        }
        guard membership.missing.isEmpty, membership.successor == nil else {
            throw ArrayStoreError("\(name) lacks a member or is replacing one; let that end first")
        }
        guard let index = spares.firstIndex(where: { path == nil || $0.store.name == path }) else {
            throw ArrayStoreError("\(name) has no spare; name a file that is to take the member's place")
        }
        let id = membership.spares[index]
        var spare = spares[index]
        guard replacementBay.put(spare.store.place) else {
            throw ArrayStoreError("\(spare.store.name) is not a file; name a file that is to take the place")
        }
        membership.take(spare: id)
        do throws(ArrayStoreError) {
            spare = try numbered(spare)
            known[id] = spare
            try spare.invalidateLog()
        } catch {
            takeBack(id)
            throw error
        }
        records.set(spare.superblock, at: membership.replacementPlace)
        try carryOut(.replacementBegins(role: role, by: id), telling: listener).check()
    }

    /// Gives up the replacement.
    /// - Parameter isFaulty: whether it cannot be used any more. Otherwise it becomes a spare again.
    /// - Returns: the places of members that could not be told, and have to be failed.
    @discardableResult
    package func endReplacement(isFaulty: Bool, telling listener: (any MembershipListener)? = nil) -> [Place] {
        lock.lock()
        defer { lock.unlock() }
        return carryOut(.replacementEnds(isFaulty: isFaulty), telling: listener).error?.places ?? []
    }

    /// Ends replacements that cannot go on, because their content becomes outdated from now on. A replacement that was
    /// found while another member is missing becomes a spare. One that was not found is recorded as faulty, like a
    /// missing member. Under `lock`.
    func settleReplacements() {
        for id in membership.spares.reversed() where known[id]!.superblock.features.contains(.replacement) {
            membership.take(spare: id)
            records.enter(known[id]!, .spare)
            takeBack(id)
        }
        let newest = records.newest
        let present = membership.places.compactMap { records.superblock(at: $0)?.deviceNumber }
        for device in 0..<newest.roleCount
        where newest.role(ofDevice: device) < MDSuperblock.firstSpecialRole && !present.contains(device) {
            records.newest.setRole(MDSuperblock.roleFaulty, ofDevice: device)
        }
    }

    /// Makes a former replacement a spare. One that cannot be written is dropped. Under `lock`, after the other members
    /// have been told.
    func takeBack(_ id: MemberID) {
        let former = known[id]!
        let own = records.newest.spare(
            deviceNumber: former.superblock.deviceNumber, deviceUUID: former.superblock.deviceUUID,
            memberByteCount: former.store.byteCount)
        do throws(ArrayStoreError) {
            try overwrite(former.store, with: own)
            known[id] = ArrayMember(store: former.store, superblock: own)
            membership.add(spare: id)
        } catch { environment.report(error.description, .error) }
    }
}
