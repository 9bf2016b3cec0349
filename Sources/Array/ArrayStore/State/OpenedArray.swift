import MDFormat
import MemberIO
import Members
import Platform
import RAID
import Statistics

/// An array whose members are open and locked, and whose superblocks are kept.
///
/// Threads: `markDirty` and `markClean` on one control thread; the rest on any.
package final class OpenedArray: @unchecked Sendable {
    // SAFETY: what can change is touched under `lock`.
    /// What messages call where the members are: their directory.
    package let place: String
    package let geometry: ArrayGeometry
    package let isReadOnly: Bool
    /// By role: where lanes find whatever member has it; then, if members can be replaced, where they find a
    /// replacement. They stay the same while members come and go.
    package let places: [MemberPlace]
    /// What keeps parity right, and from where it goes on. `.resync` for an array that is only read.
    package let consistency: ConsistencyPolicy
    package let name: String
    package let uuid: [UInt8]
    let surroundings: ArrayStore.Surroundings
    let lock = Lock()
    /// What was shown last.
    let lastView = LockedView()
    /// By role; nil where a member cannot be replaced.
    let slots: [(any RoleSlot)?]
    /// By role: who has it, or had it last.
    var current: [ArrayMember?] { didSet { tellOutages() } }
    /// By role, what was written last or found.
    var superblocks: [MDSuperblock?]
    var newest: MDSuperblock
    /// By role, the mark that its member has for sure; 0 for none.
    var given: [UInt64]
    /// The header of the bitmap; its bits belong to whoever plans writes.
    private(set) var bitmap: MDBitmap?
    var failedRoles: Set<Int> { didSet { tellOutages() } }
    /// The member that is being brought up to date.
    var recovering: RecoveringMember? { didSet { tellOutages() } }
    /// The member that is to take the role of one that still serves. There is none while a member is missing.
    var replacement: Replacement?
    /// Where lanes find it; nil where members cannot be replaced.
    let replacementSlot: (any RoleSlot)?
    /// Members without a role, which may take one.
    var spares: [ArrayMember]
    /// Members that failed and whose role another one has since.
    var replaced: [ArrayMember] = []
    /// A crash came while a member was being rebuilt: where that was done already, what the crash tore has not the right
    /// parity. Or a write found no space after a part of it was done. The array is not clean before that has been repaired.
    var isParityDoubtful = false
    /// Where a check or a repair is recorded; nil for an array that is in no directory.
    var jobFile: JobFile?
    /// One that was interrupted when the array was open last.
    var interruptedJob: MaintenanceRecord?
    /// Somebody else has written the superblocks since they were written here: md, which may have written anything, and may
    /// even have left the count of events as it was.
    let wasWrittenElsewhere: Bool
    /// More members failed than the array survives. Its superblocks are left as they are: they say which members belong
    /// together, and with that it can be opened again when the last one that failed can be read.
    package internal(set) var isLost = false { didSet { outages?.end() } }
    /// Nil when lost members are never waited for. Set once, before the array is served.
    var outages: Outages?
    /// What was found out of members that are gone, by their stores.
    var losses: [ObjectIdentifier: KnownLoss] = [:]
    /// What was not taken for a member when the array was opened: the file, what it is called, and why.
    let leftOut: [(path: String, name: String, reason: String)]
    /// Members on servers that were not reached when the array was opened. They go on trying.
    var absentMembers: [any PlacedMember]

    /// - Throws: when the system is out of descriptors.
    init(
        scan: MemberScan, place: String, readOnly: Bool, name: String? = nil, consistency: ConsistencyPolicy,
        in surroundings: ArrayStore.Surroundings
    ) throws(ArrayStoreError) {
        self.place = place
        self.surroundings = surroundings
        geometry = scan.geometry
        current = scan.members
        leftOut = scan.leftOut.map { ($0.store.path, $0.store.name, $0.reason) }
        absentMembers = scan.leftOut.map(\.store).filter { $0.absence != nil }
        isReadOnly = readOnly
        spares = scan.spares
        self.consistency = consistency
        if case .bitmap(let area) = consistency { bitmap = area.bitmap }
        newest = scan.newest
        failedRoles = Set(scan.missingRoles)
        if let (role, member) = scan.recovering.first, scan.members[role] == nil, !readOnly {
            current[role] = member
            failedRoles.remove(role)
            recovering = RecoveringMember(
                role: role, byteCount: min(member.superblock.recoveryByteOffset ?? 0, geometry.memberDataByteCount),
                isGuided: member.superblock.isRecoveryGuided && bitmap != nil)
            isParityDoubtful = !scan.isClean
        }
        for role in scan.forcedRoles {
            guard let device = current[role]?.superblock.deviceNumber else { continue }
            newest.setRole(UInt16(role), ofDevice: device)
        }
        given = current.map { $0?.superblock.mark ?? 0 }
        superblocks = current.map { member in
            var own = member?.superblock
            // A replacement whose predecessor is gone is a member like any other.
            own?.features.remove(.replacement)
            return own
        }
        // One that was not found, and that the others did not know to be out, had the state that they have.
        if newest.lineage?.departed == 0, let role = failedRoles.first, newest.device(withRole: UInt16(role)) != nil {
            let mark = newest.mark
            newest.lineage?.departed = mark
        }
        if let (role, member) = scan.replacement, !readOnly { replacement = Replacement(member, role: role, geometry) }
        self.name = name ?? ArrayStore.name(of: scan.newest)
        uuid = scan.newest.setUUID
        wasWrittenElsewhere = scan.newest.lineage == nil
        slots = try Self.slots(
            current, isReplaceable: scan.geometry.level == .raid5 && !readOnly, in: surroundings)
        let canReplace = slots.contains { $0 != nil }
        replacementSlot =
            canReplace ? try Self.slots([replacement?.member], isReplaceable: true, in: surroundings)[0] : nil
        let rolePlaces = zip(slots, current).map { slot, member in slot?.place ?? member?.store.place ?? .none }
        places = rolePlaces + [replacementSlot?.place].compactMap { $0 }
        if replacementSlot == nil, let unusable = dropReplacement(isFaulty: false) { spares.append(unusable.member) }
    }

    private static func slots(
        _ members: [ArrayMember?], isReplaceable: Bool, in surroundings: ArrayStore.Surroundings
    ) throws(ArrayStoreError) -> [(any RoleSlot)?] {
        var slots: [(any RoleSlot)?] = []
        for member in members {
            guard isReplaceable else {
                slots.append(nil)
                continue
            }
            do throws(OSError) {
                let slot = try surroundings.makeSlot()
                let canStand = member.map { slot.put($0.store.place) } ?? true
                slots.append(canStand ? slot : nil)
            } catch { throw ArrayStoreError("\(error)") }
        }
        return slots
    }

    /// By role; nil where there is no member, or one that is being rebuilt. One that failed stays until it is removed or
    /// replaced. Any thread.
    package var members: [ArrayMember?] {
        lock.withLock { current.indices.map { recovering?.role == $0 ? nil : current[$0] } }
    }

    /// What the array was made with.
    package var superblockConsistency: ArrayConsistency { lock.withLock { newest.consistency } }

    /// The role that is not in sync, or nil. Any thread.
    package var missingRole: Int? { failedMembers.first }

    /// The roles of members that the array runs without, or that are being rebuilt. Any thread.
    package var failedMembers: [Int] {
        lock.withLock {
            var roles = failedRoles
            if let recovering { roles.insert(recovering.role) }
            return roles.sorted()
        }
    }

    /// Whether the array can serve. Any thread.
    package var health: ArrayHealth { lock.withLock { healthUnlocked } }

    /// Under `lock`.
    var healthUnlocked: ArrayHealth {
        if isLost { return .failed }
        let missing = recovering.map { failedRoles.union([$0.role]) } ?? failedRoles
        return ArrayHealth(missingCount: missing.count, redundancy: geometry.level.redundancy)
    }

    /// Gives members that a crash kept from hearing of the last change of state what the others say, and makes durable what
    /// was found on the others: a process may have written it and died before it flushed. Without that, a crash in the
    /// next change could leave one of them two behind, and stale.
    func bringUpLagging() throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        for role in current.indices {
            guard let member = current[role], let own = superblocks[role] else { continue }
            if own.events < newest.events || own.lineage != newest.lineage {
                try writeState(to: role)
            } else {
                try member.flush()
            }
        }
        if let found = replacement {
            if found.superblock.events < newest.events || found.superblock.lineage != newest.lineage {
                try replacement!.write(stateOf: newest)
            } else {
                try found.member.flush()
            }
        }
        // One that cannot be flushed is of no use.
        spares.removeAll { (try? $0.flush()) == nil }
    }

    /// Says durably on every member that writes are going to come, and that absent members miss them.
    package func markDirty() throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        settleReplacements()
        try writeMembers { $0.resyncOffset = geometry.level == .raid5 ? 0 : MDSuperblock.clean }
    }

    /// Marks several arrays dirty.
    /// - Throws: with those before the one that failed clean again. That one gets no second change: whoever has not heard of
    ///   the first would be two behind, and stale.
    package static func markDirty(_ arrays: [OpenedArray]) throws(ArrayStoreError) {
        for (index, array) in arrays.enumerated() {
            do throws(ArrayStoreError) { try array.markDirty() } catch {
                for other in arrays[..<index] { try? other.markClean() }
                throw error
            }
        }
    }

    /// Makes durable what was written to the members, for whoever has no device any more to ask for that.
    package func flushMembers() throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        for role in current.indices where !failedRoles.contains(role) { try current[role]?.flush() }
        try replacement?.member.flush()
    }

    /// Says durably that all parity is right. Members must have been flushed.
    package func markClean() throws(ArrayStoreError) {
        // The change runs under the lock.
        try update { $0.resyncOffset = isParityDoubtful ? 0 : MDSuperblock.clean }
    }

    /// `markClean` at the end of serving: a member that cannot be told fails like any other, and the others hear of that.
    package func close() throws(ArrayStoreError) {
        do throws(ArrayStoreError) { try markClean() } catch {
            let roles = error.members.filter { $0 != geometry.replacementPlace }
            guard !roles.isEmpty else { throw error }
            surroundings.report(error.description)
            for role in roles where !recordFailure(role: role) { throw error }
        }
    }

    /// Says durably on the survivors that a member failed, so that it cannot come back with old data. Returns when that
    /// is so, also for those who ask while another thread is writing it.
    /// - Returns: whether the survivors know all that they have to; false also when they could not be told of an earlier
    ///   change.
    package func recordFailure(role: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        guard failedRoles.insert(role).inserted else { return true }
        if let outages, outages.hasWaitedInVain, !isLost, geometry.level == .raid5 {
            // Others are gone with it. Nobody is told: as all of them are now, they belong together.
            isLost = true
            surroundings.report(
                "\(name) cannot go on; when the servers of its members can be reached again, serve it again")
            return false
        }
        guard healthUnlocked != .failed else {
            let isAsTold = !isLost || geometry.level == .raid0
            isLost = true
            surroundings.report(
                geometry.level == .raid0
                    ? "member \(role) of \(name) failed, and RAID 0 cannot go on without it: nothing can be written, and nothing of "
                        + "that member be read, until it can be used again and the array is served anew"
                    : "member \(role) of \(name) failed too, and the array cannot go on; when the member can be read again, "
                        + "serve the array with --force")
            return isAsTold
        }
        surroundings.report("member \(role) of \(name) failed; the array goes on without it")
        guard !isReadOnly else { return true }
        if recovering.map({ $0.role != role || $0.isGuided }) ?? true { newest.lineage?.departed = given[role] }
        if recovering?.role == role { recovering = nil }
        if let replacement, replacement.role == role, continueWithReplacement() { return true }
        // To tell the others that their new member is this one has failed on too many of them.
        guard !isLost else { return false }
        // The spare is needed more where a member is missing.
        let ended = dropReplacement(isFaulty: false)
        do throws(ArrayStoreError) {
            try writeMembers { _ in }
        } catch {
            // One of those that remain is gone too, and must not fall behind any further.
            isLost = true
            surroundings.report(error.description)
            return false
        }
        if let ended { takeBack(ended.member) }
        return true
    }

    func update(_ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        try writeMembers(change)
    }

    /// Draws a new mark, durably on every member: a copy of one that was made before does not count as that member any more.
    /// To be called before bits of the bitmap are cleared, which would be all that such a copy lacks.
    package func renewMark() throws(ArrayStoreError) { try update { _ in } }

    /// Writes a new state to every member that is there, and then, when all have it, that it is settled. Under `lock`, which
    /// is held across this rare I/O so that nobody acknowledges what the survivors do not know yet.
    /// - Parameter first: the role whose member hears of it first: one that is whole from now on, and would be taken for one
    ///   that is not if the others called it so before itself.
    /// - Throws: when some could not be written, and names them; all others have been.
    func writeMembers(first: Int? = nil, _ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        guard !isLost else { return }
        change(&newest)
        newest.events += 1
        newest.updateTime = surroundings.clock()
        newest.draw(mark: surroundings.random(), isWhole: failedRoles.isEmpty && recovering == nil)
        for role in failedRoles {
            // Also of one that was to replace it, and was not found.
            while let device = newest.device(withRole: UInt16(role)) {
                newest.setRole(MDSuperblock.roleFaulty, ofDevice: device)
            }
        }
        prepareBitmapHeader()
        var failures: [(place: Int, error: ArrayStoreError)] = []
        func attempt(_ place: Int, _ body: () throws(ArrayStoreError) -> Void) {
            do throws(ArrayStoreError) { try body() } catch { failures.append((place, error)) }
        }
        // One that cannot be told does not keep the others from hearing of it: they would be stale later.
        // And a member that has just got its role, and is not known by that to any other one, would be alone with the newest
        // state.
        let inSync = current.indices.filter { !failedRoles.contains($0) && $0 != recovering?.role }
        let present = inSync + (recovering.map { [$0.role] } ?? [])
        for role in present { attempt(role) { () throws(ArrayStoreError) in try writeBitmapHeader(to: role) } }
        for role in present where role == first {
            attempt(role) { () throws(ArrayStoreError) in try writeState(to: role) }
        }
        for role in present where role != first {
            attempt(role) { () throws(ArrayStoreError) in try writeState(to: role) }
        }
        attempt(geometry.replacementPlace) { () throws(ArrayStoreError) in try replacement?.write(stateOf: newest) }
        if failures.isEmpty {
            // From here on nobody is believed any more who has the state before.
            newest.settle()
            for role in present { attempt(role) { () throws(ArrayStoreError) in try writeState(to: role) } }
            attempt(geometry.replacementPlace) { () throws(ArrayStoreError) in
                try replacement?.write(stateOf: newest)
            }
        }
        guard let failure = failures.first else { return }
        // Those that have not heard of it must not fall behind any further: with them it can be opened again.
        let out = failedRoles.union(failures.map(\.place)).subtracting([geometry.replacementPlace])
        if geometry.level == .raid5 && out.union(recovering.map { [$0.role] } ?? []).count > 1 { isLost = true }
        let untold = failures.filter { $0.error.kind != .notTaken }.map(\.place)
        throw ArrayStoreError(failure.error.description, failure.error.kind, members: Set(untold))
    }

    /// Tells the member that has a role what the array's state is, and how far it is rebuilt itself. Under `lock`.
    private func writeState(to role: Int) throws(ArrayStoreError) {
        guard let member = current[role], var own = superblocks[role] else { return }
        own.takeState(of: newest)
        let recovery = recovering.flatMap { $0.role == role ? $0 : nil }
        own.recoveryByteOffset = recovery?.byteCount
        own.isRecoveryGuided = recovery?.isGuided ?? false
        outages?.expect([superblocks[role]!, own], of: role)
        superblocks[role] = own
        try member.write(own)
        outages?.expect([own], of: role)
        given[role] = own.mark
    }

    /// A bitmap that knows of fewer events than the superblock is out of date, so its header goes first.
    private func writeBitmapHeader(to role: Int) throws(ArrayStoreError) {
        guard let bitmap, let member = current[role] else { return }
        try MemberBitmap.writeHeader(bitmap, to: member)
    }

    private func prepareBitmapHeader() {
        bitmap?.events = newest.events
        // What a member has missed is only known from when the last one failed.
        if failedRoles.isEmpty && recovering == nil { bitmap?.eventsCleared = newest.events }
    }
}
