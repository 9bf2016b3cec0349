import MDFormat
import MemberIO
import Members
import RAID

/// Members that are replaced while they serve. Each change is durable on all members when its call returns.
extension OpenedArray {
    /// The role whose member is being replaced, and the bytes of its replacement that are durable; nil for none. Any
    /// thread.
    package var replacementState: (role: Int, byteCount: UInt64)? {
        lock.withLock { replacement.map { ($0.role, $0.byteCount) } }
    }

    /// Puts a spare at the replacement's place, to become a copy of the member that has a role.
    /// - Parameters:
    ///   - role: a role whose member is there.
    ///   - path: the path or URI of the spare; nil for any.
    /// - Throws: when the array or the spare does not allow it, or a superblock could not be written.
    package func beginReplacement(of role: Int, by path: String?) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        try checkIsNotLost()
        guard let replacementBay, bays[role] != nil else {
            throw ArrayStoreError(
                "member \(role) of \(name) is not a file, and cannot be replaced while it serves; add another member, "
                    + "then take this one out of service: nbdext fail")
        }
        guard failedRoles.isEmpty, recovering == nil, replacement == nil else {
            throw ArrayStoreError("\(name) lacks a member or is replacing one; let that end first")
        }
        guard let index = spares.firstIndex(where: { path == nil || $0.store.name == path }) else {
            throw ArrayStoreError("\(name) has no spare; name a file that is to take the member's place")
        }
        guard replacementBay.put(spares[index].store.place) else {
            throw ArrayStoreError("\(spares[index].store.name) is not a file; name a file that is to take the place")
        }
        var spare = spares.remove(at: index)
        do throws(ArrayStoreError) {
            spare = try numbered(spare)
            try spare.invalidateLog()
            replacement = Replacement(spare: spare, role: role)
            try writeMembers { $0.setRole(UInt16(role), ofDevice: spare.superblock.deviceNumber) }
        } catch {
            replacement = nil
            newest.setRole(MDSuperblock.roleSpare, ofDevice: spare.superblock.deviceNumber)
            // Its superblock may already say that it is a replacement.
            takeBack(spare)
            throw error
        }
        environment.report(
            "replacing member \(role) of \(name), which serves meanwhile, by \(spare.store.name)", .notice)
    }

    /// Gives up the replacement.
    /// - Parameter isFaulty: whether it cannot be used any more. Otherwise it becomes a spare again.
    /// - Returns: the roles of members that could not be told, and have to be failed.
    package func endReplacement(isFaulty: Bool) -> [Int] {
        lock.lock()
        defer { lock.unlock() }
        guard let ended = dropReplacement(isFaulty: isFaulty) else { return [] }
        environment.report(
            "\(ended.member.store.name) no longer replaces member \(ended.role) of \(name)"
                + (isFaulty ? ": it failed" : "; it is a spare"), isFaulty ? .warning : .notice)
        var untold: [Int] = []
        do throws(ArrayStoreError) { try writeMembers { _ in } } catch {
            environment.report(error.description, .error)
            untold = error.members
        }
        if !isFaulty { takeBack(ended.member) }
        return untold
    }

    /// Takes the replacement away, in memory only. Under `lock`.
    func dropReplacement(isFaulty: Bool) -> Replacement? {
        guard let ended = replacement else { return nil }
        replacement = nil
        if isFaulty { replaced.append(ended.member) }
        newest.setRole(
            isFaulty ? MDSuperblock.roleFaulty : MDSuperblock.roleSpare, ofDevice: ended.superblock.deviceNumber)
        return ended
    }

    /// Writes a spare's superblock to a member that was a replacement. Under `lock`, after the other members have been
    /// told.
    private func makeSpare(_ ended: ArrayMember) throws(ArrayStoreError) {
        let own = newest.spare(
            deviceNumber: ended.superblock.deviceNumber, deviceUUID: ended.superblock.deviceUUID,
            memberByteCount: ended.store.byteCount)
        try overwrite(ended.store, with: own)
        spares.append(ArrayMember(store: ended.store, superblock: own))
    }

    /// Ends replacements that cannot go on, because their content becomes outdated from now on. A replacement that was
    /// found while another member is missing becomes a spare. One that was not found is recorded as faulty, like a
    /// missing member. Under `lock`.
    func settleReplacements() {
        for index in spares.indices.reversed() where spares[index].superblock.features.contains(.replacement) {
            let former = spares.remove(at: index)
            newest.setRole(MDSuperblock.roleSpare, ofDevice: former.superblock.deviceNumber)
            takeBack(former)
        }
        let present =
            superblocks.compactMap { $0?.deviceNumber } + [replacement?.superblock.deviceNumber].compactMap { $0 }
        for device in 0..<newest.roleCount
        where newest.role(ofDevice: device) < MDSuperblock.firstSpecialRole && !present.contains(device) {
            newest.setRole(MDSuperblock.roleFaulty, ofDevice: device)
        }
    }

    /// Makes a former replacement a spare. One that cannot be written is dropped. Under `lock`.
    func takeBack(_ former: ArrayMember) {
        do throws(ArrayStoreError) { try makeSpare(former) } catch { environment.report(error.description, .error) }
    }

    /// Gives the role to the replacement, in memory only. Under `lock`.
    /// - Returns: the member that had the role.
    func giveRole(to new: Replacement) -> ArrayMember? {
        let old = current[new.role]
        replacement = nil
        current[new.role] = new.member
        superblocks[new.role] = new.superblock
        knownMarks[new.role] = new.superblock.mark
        superblocks[new.role]!.features.remove(.replacement)
        if let old { newest.setRole(MDSuperblock.roleFaulty, ofDevice: old.superblock.deviceNumber) }
        return old
    }

    /// Makes the replacement a recovering member, after the member that it was to replace has failed. Under `lock`.
    /// - Returns: false when the members could not be told. The replacement is dropped then.
    func continueWithReplacement() -> Bool {
        guard let new = replacement else { return false }
        let old = giveRole(to: new)
        failedRoles.remove(new.role)
        recovering = RecoveringMember(role: new.role, byteCount: new.byteCount, isGuided: false)
        do throws(ArrayStoreError) {
            try writeMembers { _ in }
            if let old { replaced.append(old) }
            environment.report("member \(new.role) of \(name) is being rebuilt onto \(new.member.store.name)", .notice)
            return true
        } catch {
            environment.report(error.description, .error)
            recovering = nil
            failedRoles.insert(new.role)
            replaced.append(new.member)
            newest.setRole(MDSuperblock.roleFaulty, ofDevice: new.superblock.deviceNumber)
            current[new.role] = old
            return false
        }
    }

    /// Gives the role to a replacement that has everything, durably. The member that had the role can be removed then.
    /// `placing` makes lanes find the new member.
    /// - Returns: false when there is no replacement.
    /// - Throws: with the previous state restored, except on members that have been told already. Either member is as
    ///   good then.
    func endCompleteReplacement() throws(ArrayStoreError) -> Bool {
        guard let new = replacement else { return false }
        let (before, superblock, mark) = (newest, superblocks[new.role], knownMarks[new.role])
        let old = giveRole(to: new)
        do throws(ArrayStoreError) { try writeMembers(first: new.role) { _ in } } catch {
            let (events, lineage) = (newest.events, newest.lineage)
            newest = before
            newest.events = events
            newest.lineage = lineage
            knownMarks[new.role] = mark
            current[new.role] = old
            superblocks[new.role] = superblock
            replacement = new
            throw error
        }
        if let old { replaced.append(old) }
        environment.report(
            "member \(new.role) of \(name) is now \(new.member.store.name); "
                + "\(old?.store.name ?? "the one before it") is no longer needed", .notice)
        return true
    }

    /// A function that makes lanes find the member that has the role now at the role's place. To be called when no I/O
    /// planned from then on needs the previous member. I/O that is under way to the replacement's place still finds the
    /// member there.
    package func placing(role: Int) -> () -> Void {
        lock.withLock {
            guard let bay = bays[role], let place = current[role]?.store.place else { return {} }
            return { _ = bay.put(place) }
        }
    }
}
