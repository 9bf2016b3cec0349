import MDFormat
import MemberIO
import Members
import RAID

/// Members that come and go while the array is served. Each change is durable on all members when a call returns.
extension OpenedArray {
    /// One member, or what is left of it.
    package struct MemberState: Sendable, Equatable {
        /// What the member does for the array.
        package enum Condition: Sendable, Equatable {
            case active
            /// Being rebuilt; so many bytes of its data area are durable.
            case recovering(byteCount: UInt64)
            /// Takes the place of the member with the role, which serves meanwhile; so many bytes are durable.
            case replacing(byteCount: UInt64)
            case failed
            case spare
        }

        /// Nil for a spare, and for a failed member whose role another one has.
        package var role: Int?
        /// Its file or its server's URI, or nil when there is none.
        package var path: String?
        /// The file in the array's directory that is the member or names it.
        package var file: String?
        package var condition: Condition
        /// How the member is gone; nil while it is there.
        package var loss: String?

        fileprivate init(_ member: ArrayMember?, role: Int?, _ condition: Condition, loss: String?) {
            self.loss = loss
            self.role = role
            path = member?.store.name
            file = member?.store.path
            self.condition = condition
        }
    }

    /// All members, by role, then a replacement, failed ones without a role, then spares.
    package var memberStates: [MemberState] { lock.withLock { memberStatesUnlocked } }

    /// Under `lock`.
    var memberStatesUnlocked: [MemberState] {
        func state(_ member: ArrayMember?, role: Int?, _ condition: MemberState.Condition) -> MemberState {
            MemberState(member, role: role, condition, loss: member.flatMap { lossText($0.store) })
        }
        var states = current.indices.map { role in
            if failedRoles.contains(role) { return state(current[role], role: role, .failed) }
            guard let recovering, recovering.role == role else { return state(current[role], role: role, .active) }
            return state(current[role], role: role, .recovering(byteCount: recovering.byteCount))
        }
        if let replacement {
            states.append(
                state(replacement.member, role: replacement.role, .replacing(byteCount: replacement.byteCount)))
        }
        states += replaced.map { state($0, role: nil, .failed) }
        states += spares.map { state($0, role: nil, .spare) }
        return states
    }

    /// The member that is being rebuilt; nil when there is none.
    package var recoveringMember: RecoveringMember? { lock.withLock { recovering } }

    /// The first byte of the member files, at or behind `byteOffset`, where a member that is there may have other than
    /// zeros, or nil when none has. A member that cannot say has data.
    package func nextData(from byteOffset: UInt64) -> UInt64? {
        let present = lock.withLock {
            current.indices.filter { !failedRoles.contains($0) }.compactMap { current[$0]?.store }
                + [replacement?.member.store].compactMap { $0 }
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

    /// Tells people something about the array.
    package func report(_ message: String) { surroundings.report(message) }

    package var hasSpare: Bool { lock.withLock { !spares.isEmpty } }

    /// Gives the role of a member that failed to a member that comes back to it, or else to the first spare, which has
    /// nothing of it yet.
    /// - Returns: nil when there is no spare or nothing to do.
    package func activateSpare() throws(ArrayStoreError) -> RecoveringMember? {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        guard !isLost, recovering == nil, failedRoles.count == 1, let role = failedRoles.first, let slot = slots[role],
            let index = spares.firstIndex(where: isReturning) ?? spares.indices.first
        else { return nil }
        var spare = spares.remove(at: index)
        let isGuided = isReturning(spare)
        do throws(ArrayStoreError) {
            if !isGuided {
                let isSpare = spare.superblock.role == MDSuperblock.roleSpare
                spare = isSpare ? try numbered(spare) : try makeSpare(spare.store)
            }
            // Its bitmap is as old as the member, and the log of one that was to be a replacement may have got a last entry
            // when it was a spare already.
            try writeProtection(to: spare)
        } catch {
            keep(spare, at: index, after: error)
            throw error
        }
        // Nobody reads or writes what is behind the slot before the planner hears of it.
        guard slot.put(spare.store.place) else { return nil }
        if let old = current[role], old.superblock.deviceNumber != spare.superblock.deviceNumber {
            replaced.append(old)
        }
        current[role] = spare
        superblocks[role] = spare.superblock
        // The array may have got another name while it was away.
        superblocks[role]!.setName = newest.setName
        given[role] = 0
        superblocks[role]!.features.remove(.replacement)
        failedRoles.remove(role)
        let recovery = RecoveringMember(role: role, byteCount: 0, isGuided: isGuided)
        recovering = recovery
        do throws(ArrayStoreError) {
            try writeMembers { $0.setRole(UInt16(role), ofDevice: spare.superblock.deviceNumber) }
        } catch {
            guard error.kind == .notTaken, error.members.isEmpty else { throw error }
            // It has the role; whoever was not told hears of it with the next change.
            surroundings.report(error.description)
        }
        surroundings.report(
            isGuided
                ? "member \(role) of \(name) comes back: \(spare.store.name)"
                : "rebuilding member \(role) of \(name) onto \(spare.store.name)")
        return recovery
    }

    /// Does not forget a spare that could not be made ready for its role, unless the fault is its own. Under `lock`.
    /// - Parameter index: where it was among the spares.
    private func keep(_ spare: ArrayMember, at index: Int, after error: ArrayStoreError) {
        if error.kind == .notTaken {
            spares.insert(spare, at: index)
        } else if case .unreachable? = spare.store.loss {
            // Its server was lost on the way, and is looked for.
            absentMembers.append(spare.store)
        }
    }

    /// Says how far the recovering member is rebuilt, after flushing it. `byteCount` may be all of it, and the member is
    /// one that is being rebuilt still.
    /// - Returns: false when the member could not be flushed; it has to be failed then.
    package func recordRecovery(byteCount: UInt64) throws(ArrayStoreError) -> Bool {
        let filled = lock.withLock { replacement?.member ?? recovering.flatMap { current[$0.role] } }
        guard let member = filled else { return true }
        // Not under the lock: it may take long, and nobody can take the member away but its failing.
        guard (try? member.store.flush()) != nil else { return false }
        try update { _ in
            replacement?.byteCount = byteCount
            if recovering != nil { recovering!.byteCount = byteCount }
        }
        return true
    }

    /// The recovering member, or the replacement, has everything, durably: it is a member like any other.
    /// - Returns: false when it has failed meanwhile.
    package func endRecovery() throws(ArrayStoreError) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        guard let role = recovering?.role else { return try endCompleteReplacement() }
        recovering = nil
        try writeMembers(first: role) { _ in }
        surroundings.report("member \(role) of \(name) is up to date; the array is whole")
        return true
    }

    /// What a member that is added is for the array.
    package enum Addition: Sendable {
        /// It was one of its members, and is brought up to date.
        case returning
        /// It has nothing of the array yet.
        case spare
    }

    /// Takes a member into the array: as a spare, whose superblock is written here, or, if the bitmap knows all that it
    /// has missed, as the member that it was. `ArrayStore.add` has made sure that it may be written to.
    /// - Throws: also when the array may need what the member holds (`OverwriteRule`).
    package func add(_ store: any PlacedMember) throws(ArrayStoreError) -> Addition {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        try checkTakesMembersUnlocked()
        if let own = Self.superblock(of: store) {
            let member = ArrayMember(store: store, superblock: own)
            if isReturning(member) {
                spares.append(member)
                return .returning
            }
        }
        spares.append(try makeSpare(store))
        surroundings.report("\(store.name) is a spare of \(name)")
        return .spare
    }

    /// Throws when no member can be added.
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

    /// Throws when the array has lost more members than it can do without. Under `lock`.
    func checkIsNotLost() throws(ArrayStoreError) {
        guard isLost else { return }
        throw ArrayStoreError(
            "\(name) has lost more members than it can do without, and what they hold must stay as it is: when enough of "
                + "them can be read again, stop the server and serve the array with --force")
    }

    /// Writes what makes a member a spare. Under `lock`.
    private func makeSpare(_ store: any PlacedMember) throws(ArrayStoreError) -> ArrayMember {
        var generator = SystemRandomNumberGenerator()
        let own = newest.spare(
            deviceNumber: try freeDeviceNumber(), deviceUUID: ArrayStore.randomUUID(using: &generator),
            memberByteCount: store.byteCount)
        try overwrite(store, with: own)
        return ArrayMember(store: store, superblock: own)
    }

    /// A spare whose number no other member has. Superblocks do not tell a number that a spare has from one that nobody has,
    /// so that of a spare that was away for a time may have been given to another one since; both would have its role.
    /// Under `lock`.
    func numbered(_ spare: ArrayMember) throws(ArrayStoreError) -> ArrayMember {
        let number = spare.superblock.deviceNumber
        let others = allMembers.filter { $0.store !== spare.store }
        let isTaken = others.contains { $0.superblock.deviceNumber == number }
        guard isTaken || !newest.hasEntry(ofDevice: number) || newest.role(ofDevice: number) != MDSuperblock.roleSpare
        else { return spare }
        var own = spare.superblock
        own.deviceNumber = try freeDeviceNumber()
        return ArrayMember(store: spare.store, superblock: own)
    }

    /// Whoever the array knows. Under `lock`.
    var allMembers: [ArrayMember] {
        current.compactMap { $0 } + [replacement?.member].compactMap { $0 } + spares + replaced
    }

    /// Under `lock`.
    private func freeDeviceNumber() throws(ArrayStoreError) -> UInt32 {
        let taken = Set(allMembers.map(\.superblock.deviceNumber))
        let number = (0..<newest.roleCount).dropFirst(geometry.memberCount).first {
            newest.role(ofDevice: $0) == MDSuperblock.roleSpare && !taken.contains($0)
        }
        guard let number else {
            throw ArrayStoreError("the array has had \(newest.roleCount) members, and its superblocks have no room")
        }
        return number
    }

    /// Gives a member that comes a bitmap or an empty log. All bits are set: more than are needed do no harm, and the planner
    /// writes the right ones when the member is in sync. Under `lock`.
    func writeProtection(to spare: ArrayMember) throws(ArrayStoreError) {
        if var bitmap {
            for index in bitmap.bits.indices { bitmap.bits[index] = 0xFF }
            try MemberBitmap.write(bitmap, to: [spare])
        }
        try spare.emptyLog(signature: MDPartialParityLog.signature(setUUID: uuid))
    }

    /// A check or a repair that was interrupted when the array was open last. It is given once.
    package func takeInterruptedJob() -> MaintenanceRecord? {
        lock.withLock {
            defer { interruptedJob = nil }
            return interruptedJob
        }
    }

    /// Keeps how far a check or a repair is, or forgets it. On the thread that does the maintenance.
    package func keep(_ record: MaintenanceRecord?) {
        guard let jobFile else { return }
        guard let record else { return jobFile.remove() }
        do throws(ArrayStoreError) { try jobFile.write(record) } catch { surroundings.report(error.description) }
    }

    /// Whether parity is to be repaired before the array may be clean.
    package var needsRepair: Bool { lock.withLock { isParityDoubtful } }

    /// The parity of some rows may be wrong. The array is not clean before it has been repaired.
    /// - Returns: whether that is news.
    package func noteDoubtfulParity() -> Bool {
        lock.withLock {
            defer { isParityDoubtful = true }
            return !isParityDoubtful
        }
    }

    /// Parity was repaired everywhere.
    package func noteRepaired() { lock.withLock { isParityDoubtful = false } }

    /// Lets go of a spare, or of a member that failed: its file is not used any more.
    /// - Parameter matches: picks one of `memberStates`.
    /// - Returns: the file's path.
    /// - Throws: when there is no such member, or the array needs it.
    package func remove(_ matches: (MemberState) -> Bool) throws(ArrayStoreError) -> String {
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
            let spare = spares.remove(at: index)
            // Without the magic number it will not be taken for a spare again. One that was about to come back to its role
            // keeps what it says of that.
            if spare.superblock.role == MDSuperblock.roleSpare { try? overwrite(spare.store, with: nil) }
            return path
        }
        let role = current.firstIndex { $0?.store.name == path }
        let old = role.flatMap { current[$0] } ?? replaced.first { $0.store.name == path }
        guard let old, role.map({ failedRoles.contains($0) }) ?? true else {
            throw ArrayStoreError("\(path) is in use again; look at nbdext status")
        }
        if let role {
            slots[role]?.clear()
            current[role] = nil
        }
        replaced.removeAll { $0.store.name == path }
        try writeMembers { $0.setRole(MDSuperblock.roleSpare, ofDevice: old.superblock.deviceNumber) }
        return path
    }
}
