import MDFormat
import MemberIO
import Members
import Platform
import RAID

/// Members that come and go while the array is served. Each change is durable on all members when its call returns.
extension OpenedArray {
    /// One member, present or not.
    package struct MemberState: Sendable, Equatable {
        /// The member's use for the array.
        package enum Condition: Sendable, Equatable {
            case active
            /// The member is being rebuilt. `byteCount` bytes of its data area are durable.
            case recovering(byteCount: UInt64)
            /// The member is to replace the one with the role, which still serves. `byteCount` bytes are durable.
            case replacing(byteCount: UInt64)
            case failed
            case spare
        }

        /// Nil for a spare, and for a failed member whose role has gone to another.
        package var role: Role?
        /// The member's file or URI; nil when there is no member.
        package var path: String?
        /// The file in the array's directory that is the member or names it.
        package var file: String?
        /// The member's use for the array.
        package var condition: Condition
        /// How the member is gone; nil while it is there.
        package var loss: String?

        fileprivate init(_ member: ArrayMember?, role: Role?, _ condition: Condition, loss: String?) {
            self.loss = loss
            self.role = role
            path = member?.store.name
            file = member?.store.path
            self.condition = condition
        }
    }

    /// All members: by role, then a replacement, failed members without a role, and spares. Any thread.
    package var memberStates: [MemberState] { lock.withLock { memberStatesUnlocked } }

    /// Under `lock`.
    var memberStatesUnlocked: [MemberState] {
        func state(_ member: ArrayMember?, role: Role?, _ condition: MemberState.Condition) -> MemberState {
            MemberState(member, role: role, condition, loss: member.flatMap { lossText($0.store) })
        }
        var states = zip(membership.roles, membership.seats).map { role, seat in
            switch seat.standing {
            case .failed: state(member(of: role), role: role, .failed)
            case .inSync: state(member(of: role), role: role, .active)
            case .recovering(let byteCount, _):
                state(member(of: role), role: role, .recovering(byteCount: byteCount))
            }
        }
        if let next = membership.successor {
            states.append(state(successor, role: next.role, .replacing(byteCount: next.byteCount)))
        }
        states += former.map { state($0, role: nil, .failed) }
        states += spares.map { state($0, role: nil, .spare) }
        return states
    }

    /// The member that is being rebuilt; nil when there is none. Any thread.
    package var recoveringMember: RecoveringMember? { lock.withLock { recovering } }

    /// The first byte of the member files, at or behind `byteOffset`, where a present member may have anything but
    /// zeros; nil for none. A member that cannot tell counts as having data. May block.
    package func nextData(from byteOffset: UInt64) -> UInt64? {
        let present = lock.withLock {
            membership.placesInUse.compactMap { member(at: $0)?.store }
        }
        var next: UInt64?
        for store in present {
            do throws(MemberStoreError) {
                guard let found = try store.nextData(from: byteOffset) else { continue }
                next = min(next ?? found, found)
            } catch { return byteOffset }
        }
        return next
    }

    /// Takes a message about the array for the user.
    package var report: MessageSink { environment.report }

    /// Whether a spare is there. Any thread.
    package var hasSpare: Bool { lock.withLock { !membership.spares.isEmpty } }

    /// Gives the role of a failed member to a member that comes back to it, or else to the first spare, which is
    /// rebuilt from the start.
    /// - Returns: nil when there is no spare or nothing to do.
    /// - Throws: when a spare or a superblock could not be written.
    package func activateSpare(
        telling listener: (any MembershipListener)? = nil
    ) throws(ArrayStoreError) -> RecoveringMember? {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        guard !membership.isLost, recovering == nil, failedRoles.count == 1, let role = failedRoles.first,
            let bay = bays[role], let index = spares.firstIndex(where: isReturning) ?? spares.indices.first
        else { return nil }
        let id = membership.spares[index]
        var spare = spares[index]
        membership.take(spare: id)
        let isGuided = isReturning(spare)
        do throws(ArrayStoreError) {
            if !isGuided {
                let isSpare = spare.superblock.role == MDSuperblock.roleSpare
                spare = isSpare ? try numbered(spare) : try makeSpare(spare.store)
            }
            // Its bitmap is as old as the member. Its log may have a last entry, if it was a replacement that became a
            // spare.
            try writeProtection(to: spare)
        } catch {
            known[id] = spare
            keep(id, at: index, after: error)
            throw error
        }
        known[id] = spare
        // The bay is not used before the planner knows about the member.
        guard bay.put(spare.store.place) else { return nil }
        let old = membership.seats[role].member
        let isSame = old.flatMap { known[$0] }?.superblock.deviceNumber == spare.superblock.deviceNumber
        let outcome = carryOut(
            .spareTakesRole(role: role, id, isGuided: isGuided, displacing: isSame ? nil : old), telling: listener)
        // A member that the system kept from being told gets the state with the next change; the spare has the role.
        if let error = outcome.error, !error.places.isEmpty { throw error }
        return recovering
    }

    /// Keeps a spare that could not be prepared for its role, unless the fault is its own. Under `lock`.
    /// - Parameter index: its previous index among the spares.
    private func keep(_ spare: MemberID, at index: Int, after error: ArrayStoreError) {
        if error.kind == .notTaken {
            membership.add(spare: spare, at: index)
        } else if let store = known[spare]?.store, case .unreachable? = store.loss {
            // Its server was lost in the meantime, and the member goes on trying to reach it.
            absentMembers.append(store)
        }
    }

    /// Flushes the recovering member, or the replacement. Takes no lock while it does, since it can take long; only a
    /// failure can take the member away meanwhile.
    /// - Returns: false when that member has to be failed.
    package func flushRecovering() -> Bool {
        let filled = lock.withLock { successor ?? recovering.flatMap { member(of: $0.role) } }
        return filled.map { (try? $0.store.flush()) != nil } ?? true
    }

    /// Records that the recovering member, or the replacement, has `byteCount` bytes of its data area, which are
    /// flushed. Even with all bytes it stays what it is until `endRecovery`.
    package func recordRecovery(
        byteCount: UInt64, telling listener: (any MembershipListener)? = nil
    ) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        try carryOut(.progress(byteCount: byteCount), telling: listener).check()
    }

    /// Makes the recovering member, or the replacement, a normal member. It must have everything, durably. The member
    /// that a replacement takes the role from can be removed then.
    /// - Returns: false when it has failed in the meantime.
    /// - Throws: when its superblock could not be written. A replacement is as before then, except on members that have
    ///   been told already; either member is as good.
    package func endRecovery(telling listener: (any MembershipListener)? = nil) throws(ArrayStoreError) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        guard recovering != nil || membership.successor != nil else { return false }
        let outcome = carryOut(.recoveryIsComplete, telling: listener)
        let hasEnded = outcome.steps.contains { if case .recoveryEnded = $0 { true } else { false } }
        if !hasEnded { try outcome.check() }
        return hasEnded
    }

    /// The use of a member that was added.
    package enum Addition: Sendable {
        /// It was one of the array's members, and only what it has missed is rebuilt.
        case returning
        /// It has nothing of the array yet.
        case spare
    }

    /// Adds a member to the array. It returns as the member that it was if the bitmap knows everything that it has
    /// missed. Otherwise it becomes a spare, and a spare's superblock is written to it. `ArrayStore.add` has checked
    /// that it may be written to.
    /// - Throws: also when the array may need the member's content (`OverwriteRule`).
    package func add(_ store: any PlacedMember) throws(ArrayStoreError) -> Addition {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        try checkTakesMembersUnlocked()
        if let own = Self.superblock(of: store) {
            let member = ArrayMember(store: store, superblock: own)
            if isReturning(member) {
                membership.add(spare: known.add(member))
                return .returning
            }
        }
        membership.add(spare: known.add(try makeSpare(store)))
        environment.report("\(store.name) is a spare of \(name)", .notice)
        return .spare
    }

    /// Checks that a member can be added.
    /// - Throws: when not, and why.
    package func checkTakesMembers() throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        try checkTakesMembersUnlocked()
    }

    /// Under `lock`.
    private func checkTakesMembersUnlocked() throws(ArrayStoreError) {
        guard geometry.level == .raid5 else {
            throw ArrayStoreError("a RAID 0 array has no use for a spare: nothing can be rebuilt without redundancy")
        }
        guard !isReadOnly else { throw ArrayStoreError("the array is served read-only; serve it without --read-only") }
        try checkIsNotLost()
    }

    /// Checks that the array has not lost more members than it can do without. Under `lock`.
    func checkIsNotLost() throws(ArrayStoreError) {
        guard membership.isLost else { return }
        throw ArrayStoreError(
            "\(name) has lost more members than it can do without, and their data must stay as it is: when enough of "
                + "them can be read again, stop the server and serve the array with --force")
    }

    /// Writes a spare's superblock to a member. Under `lock`.
    private func makeSpare(_ store: any PlacedMember) throws(ArrayStoreError) -> ArrayMember {
        var generator = SystemRandomNumberGenerator()
        let own = records.newest.spare(
            deviceNumber: try freeDeviceNumber(), deviceUUID: ArrayStore.randomUUID(using: &generator),
            memberByteCount: store.byteCount)
        try overwrite(store, with: own)
        return ArrayMember(store: store, superblock: own)
    }

    /// Makes sure that no other member has a spare's device number. Superblocks do not tell a spare's number from an
    /// unused one, so the number of a spare that was away may have been given to another. Both would get its role.
    /// Under `lock`.
    func numbered(_ spare: ArrayMember) throws(ArrayStoreError) -> ArrayMember {
        let number = spare.superblock.deviceNumber
        let others = allMembers.filter { $0.store !== spare.store }
        let isTaken = others.contains { $0.superblock.deviceNumber == number }
        guard
            isTaken || !records.newest.hasEntry(ofDevice: number)
                || records.newest.role(ofDevice: number) != MDSuperblock.roleSpare
        else { return spare }
        var own = spare.superblock
        own.deviceNumber = try freeDeviceNumber()
        return ArrayMember(store: spare.store, superblock: own)
    }

    /// Under `lock`.
    private func freeDeviceNumber() throws(ArrayStoreError) -> UInt32 {
        let taken = Set(allMembers.map(\.superblock.deviceNumber))
        let number = (0..<records.newest.roleCount).dropFirst(geometry.memberCount).first {
            records.newest.role(ofDevice: $0) == MDSuperblock.roleSpare && !taken.contains($0)
        }
        guard let number else {
            throw ArrayStoreError(
                "the array has had \(records.newest.roleCount) members, and its superblocks have no room")
        }
        return number
    }

    /// Writes a bitmap or an empty log to a new member. All bits are set: too many do no harm, and the planner writes
    /// the right ones once the member is in sync. Under `lock`.
    func writeProtection(to spare: ArrayMember) throws(ArrayStoreError) {
        if var bitmap {
            for index in bitmap.bits.indices { bitmap.bits[index] = 0xFF }
            try MemberBitmap.write(bitmap, to: [spare])
        }
        try spare.emptyLog(signature: MDPartialParityLog.signature(setUUID: uuid))
    }

    /// The check or repair that was interrupted when the array was last open. It is returned once.
    package func takeInterruptedJob() -> MaintenanceRecord? {
        lock.withLock {
            defer { interruptedJob = nil }
            return interruptedJob
        }
    }

    /// Keeps the progress of a check or a repair, or removes it if nil. On the thread that does the maintenance.
    package func keep(_ record: MaintenanceRecord?) {
        guard let jobFile else { return }
        guard let record else { return jobFile.remove() }
        do throws(ArrayStoreError) { try jobFile.write(record) } catch { environment.report(error.description, .error) }
    }

    /// Whether parity has to be repaired before the array can be clean.
    package var needsRepair: Bool { lock.withLock { isParityDoubtful } }

    /// Records that some parity may be wrong, so that the array is not clean before a repair.
    /// - Returns: whether that is news.
    package func noteDoubtfulParity() -> Bool {
        lock.withLock {
            defer { isParityDoubtful = true }
            return !isParityDoubtful
        }
    }

    /// Records that parity was repaired everywhere.
    package func noteRepaired() { lock.withLock { isParityDoubtful = false } }

    /// Removes a spare or a failed member. Its file is not used any more.
    /// - Parameter matches: selects one of `memberStates`.
    /// - Returns: the member's path or URI.
    /// - Throws: when there is no such member, or the array needs it.
    package func remove(
        telling listener: (any MembershipListener)? = nil, _ matches: (MemberState) -> Bool
    ) throws(ArrayStoreError) -> String {
        let states = memberStates
        guard let index = states.firstIndex(where: matches) else {
            throw ArrayStoreError("the array \(name) has no such member; nbdext status shows its members")
        }
        let state = states[index]
        guard state.condition == .failed || state.condition == .spare else {
            throw ArrayStoreError(
                "member \(state.role ?? 0) of \(name) is in use; take it out of service first: nbdext fail")
        }
        guard let path = state.path else {
            throw ArrayStoreError("member \(state.role ?? 0) of \(name) has no file; add another one: nbdext add")
        }
        lock.lock()
        defer { lock.unlock() }
        try checkIsNotLost()
        if let index = spares.firstIndex(where: { $0.store.name == path }) {
            let spare = spares[index]
            membership.take(spare: membership.spares[index])
            // Without the magic number it is not taken for a spare again. A member that was about to return to its role
            // keeps its superblock.
            if spare.superblock.role == MDSuperblock.roleSpare { try? overwrite(spare.store, with: nil) }
            showState()
            return path
        }
        let role = membership.roles.first { current[$0]?.store.name == path }
        let id =
            role.flatMap { membership.seats[$0].member }
            ?? membership.former.first { known[$0]?.store.name == path }
        guard let id, let old = known[id], role.map({ failedRoles.contains($0) }) ?? true else {
            throw ArrayStoreError("\(path) is in use again; look at nbdext status")
        }
        if let role { bays[role]?.clear() }
        membership.forget(id)
        records.enter(old, .spare)
        try carryOut(.marked, telling: listener).check()
        return path
    }
}
