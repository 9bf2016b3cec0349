import MDFormat
import MemberIO
import Members
import Platform
import RAID
import Statistics

/// An array whose members are open and locked. It keeps their superblocks up to date.
///
/// Threads: `markDirty` and `markClean` on one control thread; the rest on any.
package final class OpenedArray: @unchecked Sendable {
    // SAFETY: everything that can change is touched under `lock`.
    /// The member directory's name, for messages.
    package let directory: String
    /// The array's shape.
    package let geometry: ArrayGeometry
    /// Whether nothing may be written to the members.
    package let isReadOnly: Bool
    /// Where lanes find the member that has a role, by role. If members can be replaced, the last entry is the place of
    /// a replacement. The entries stay the same while members come and go.
    package let places: [MemberPlace]
    /// How parity is kept right, and the state to continue from. `.resync` for an array that is only read.
    package let consistency: ConsistencyPolicy
    /// The name of the array's export.
    package let name: String
    /// The set's UUID, 16 bytes.
    package let uuid: [UInt8]
    let environment: ArrayStore.Environment
    let lock = Lock()
    /// The state that was shown last.
    let lastView = LockedView()
    /// Bays by role; nil where a member cannot be replaced.
    let bays: [(any RoleBay)?]
    /// The member that has each role, or had it last.
    var current: [ArrayMember?] { didSet { tellOutages() } }
    /// The superblock that was written to each role's member last, or found on it.
    var superblocks: [MDSuperblock?]
    var newest: MDSuperblock
    /// The mark that each role's member is known to have; 0 for none.
    var knownMarks: [UInt64]
    /// The header of the bitmap. The bits belong to the planner.
    private(set) var bitmap: MDBitmap?
    var failedRoles: Set<Int> { didSet { tellOutages() } }
    /// The member that is being brought up to date.
    var recovering: RecoveringMember? { didSet { tellOutages() } }
    /// The member that is to take the role of one in service. There is none while a member is missing.
    var replacement: Replacement?
    /// Where lanes find the replacement; nil where members cannot be replaced.
    let replacementBay: (any RoleBay)?
    /// Members without a role, which may take one.
    var spares: [ArrayMember]
    /// Members that failed and whose role has gone to another.
    var replaced: [ArrayMember] = []
    /// Whether some parity may be wrong, so that the array is not clean before a repair. Either a crash came during a
    /// rebuild and tore parity in the part that was done, or a write ran out of space half-way.
    var isParityDoubtful = false
    /// Where the progress of a check or a repair is kept; nil for an array that is not in a directory.
    var jobFile: JobFile?
    /// The check or repair that was interrupted when the array was last open.
    var interruptedJob: MaintenanceRecord?
    /// Whether md has written the superblocks since they were last written here. md may have written any data, and may
    /// not even have raised the count of events.
    let wasWrittenElsewhere: Bool
    /// Whether more members failed than the array survives. The superblocks stay as they are then: they record which
    /// members belong together, so the array can be opened again once the last failed member can be read.
    package internal(set) var isLost = false { didSet { outages?.end() } }
    /// Nil when lost members are never waited for. Set once, before the array is served.
    var outages: Outages?
    /// What is known about members that are gone, by the identity of their stores.
    var losses: [ObjectIdentifier: KnownLoss] = [:]
    /// Files that were not taken for members when the array was opened: path, name and reason.
    let leftOut: [(path: String, name: String, reason: String)]
    /// Members whose servers were not reached when the array was opened. They go on trying.
    var absentMembers: [any PlacedMember]

    /// - Throws: when the system is out of descriptors.
    init(
        scan: MemberScan, directory: String, readOnly: Bool, name: String? = nil, consistency: ConsistencyPolicy,
        in environment: ArrayStore.Environment
    ) throws(ArrayStoreError) {
        self.directory = directory
        self.environment = environment
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
        knownMarks = current.map { $0?.superblock.mark ?? 0 }
        superblocks = current.map { member in
            var own = member?.superblock
            // A replacement whose predecessor is gone is a normal member.
            own?.features.remove(.replacement)
            return own
        }
        // A missing member that the others do not record as failed had the same state as they have.
        if newest.lineage?.departed == 0, let role = failedRoles.first, newest.device(withRole: UInt16(role)) != nil {
            let mark = newest.mark
            newest.lineage?.departed = mark
        }
        if let (role, member) = scan.replacement, !readOnly { replacement = Replacement(member, role: role, geometry) }
        self.name = name ?? ArrayStore.name(of: scan.newest)
        uuid = scan.newest.setUUID
        wasWrittenElsewhere = scan.newest.lineage == nil
        bays = try Self.bays(
            current, isReplaceable: scan.geometry.level == .raid5 && !readOnly, in: environment)
        let canReplace = bays.contains { $0 != nil }
        replacementBay =
            canReplace ? try Self.bays([replacement?.member], isReplaceable: true, in: environment)[0] : nil
        let rolePlaces = zip(bays, current).map { bay, member in bay?.place ?? member?.store.place ?? .none }
        places = rolePlaces + [replacementBay?.place].compactMap { $0 }
        if replacementBay == nil, let unusable = dropReplacement(isFaulty: false) { spares.append(unusable.member) }
    }

    private static func bays(
        _ members: [ArrayMember?], isReplaceable: Bool, in environment: ArrayStore.Environment
    ) throws(ArrayStoreError) -> [(any RoleBay)?] {
        var bays: [(any RoleBay)?] = []
        for member in members {
            guard isReplaceable else {
                bays.append(nil)
                continue
            }
            do throws(OSError) {
                let bay = try environment.makeBay()
                let isTaken = member.map { bay.put($0.store.place) } ?? true
                bays.append(isTaken ? bay : nil)
            } catch { throw ArrayStoreError("\(error)") }
        }
        return bays
    }

    /// The members by role. Nil for a role without a member, or whose member is being rebuilt. A failed member stays
    /// until it is removed or replaced. Any thread.
    package var members: [ArrayMember?] {
        lock.withLock { current.indices.map { recovering?.role == $0 ? nil : current[$0] } }
    }

    /// The consistency policy in the superblocks.
    package var superblockConsistency: ArrayConsistency { lock.withLock { newest.consistency } }

    /// The first role that is not in sync; nil for none. Any thread.
    package var missingRole: Int? { failedMembers.first }

    /// The roles whose members are missing or being rebuilt. Any thread.
    package var failedMembers: [Int] {
        lock.withLock {
            var roles = failedRoles
            if let recovering { roles.insert(recovering.role) }
            return roles.sorted()
        }
    }

    /// The health of the array. Any thread.
    package var health: ArrayHealth { lock.withLock { healthUnlocked } }

    /// Under `lock`.
    var healthUnlocked: ArrayHealth {
        if isLost { return .failed }
        let missing = recovering.map { failedRoles.union([$0.role]) } ?? failedRoles
        return ArrayHealth(missingCount: missing.count, redundancy: geometry.level.redundancy)
    }

    /// Writes the newest state to members that a crash kept from getting it, and flushes the others: their state may
    /// have been written by a process that died before flushing. Otherwise a crash in the next change could leave one
    /// of them two changes behind, which is stale.
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
        // A spare that cannot be flushed is useless.
        spares.removeAll { (try? $0.flush()) == nil }
    }

    /// Records durably on every member that writes may be under way, and that absent members miss them.
    package func markDirty() throws(ArrayStoreError) {
        try update(settling: true) { $0.resyncOffset = geometry.level == .raid5 ? 0 : MDSuperblock.clean }
    }

    /// Marks several arrays dirty.
    /// - Throws: after marking the arrays in front of the failed one clean again. The failed array gets no second
    ///   change: a member that has missed the first would be two behind, and stale.
    package static func markDirty(_ arrays: [OpenedArray]) throws(ArrayStoreError) {
        for (index, array) in arrays.enumerated() {
            do throws(ArrayStoreError) { try array.markDirty() } catch {
                for other in arrays[..<index] { try? other.markClean() }
                throw error
            }
        }
    }

    /// Makes all writes to the members durable, for a caller that has no device left to flush.
    package func flushMembers() throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        for role in current.indices where !failedRoles.contains(role) { try current[role]?.flush() }
        try replacement?.member.flush()
    }

    /// Records durably that all parity is right. Members must have been flushed before.
    package func markClean() throws(ArrayStoreError) {
        // An array that its logs have recovered is marked clean before it is marked dirty.
        try update(settling: true) { $0.resyncOffset = isParityDoubtful ? 0 : MDSuperblock.clean }
    }

    /// Marks the array clean at the end of serving. A member that cannot be written fails like any other, and the
    /// others record that.
    package func close() throws(ArrayStoreError) {
        do throws(ArrayStoreError) { try markClean() } catch {
            let roles = error.members.filter { $0 != geometry.replacementPlace }
            guard !roles.isEmpty else { throw error }
            environment.report(error.description, .error)
            for role in roles where !recordFailure(role: role) { throw error }
        }
    }

    /// Records a member's failure durably on the survivors, so that it cannot come back with old data. A caller that
    /// comes while another thread is recording waits for that.
    /// - Returns: whether the survivors have every change that they need; false also when an earlier change could not
    ///   be written to them.
    package func recordFailure(role: Int) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        defer { showState() }
        guard failedRoles.insert(role).inserted else { return true }
        if let outages, outages.hasWaitedInVain, !isLost, geometry.level == .raid5 {
            // Other members are lost as well. No superblock is written: in their present state all members belong
            // together.
            isLost = true
            environment.report(
                "\(name) cannot go on; when the servers of its members can be reached again, serve it again", .error)
            return false
        }
        guard healthUnlocked != .failed else {
            let isAsTold = !isLost || geometry.level == .raid0
            isLost = true
            environment.report(
                geometry.level == .raid0
                    ? "member \(role) of \(name) failed, and RAID 0 cannot go on without it: nothing can be written, "
                        + "and no data of that member read, until it can be used again and the array is served again"
                    : "member \(role) of \(name) failed too, and the array cannot go on; when the member can be read "
                        + "again, serve the array with --force", .error)
            return isAsTold
        }
        environment.report("member \(role) of \(name) failed; the array goes on without it", .warning)
        guard !isReadOnly else { return true }
        if recovering.map({ $0.role != role || $0.isGuided }) ?? true { newest.lineage?.departed = knownMarks[role] }
        if recovering?.role == role { recovering = nil }
        if let replacement, replacement.role == role, continueWithReplacement() { return true }
        // Too many members could not be told about the new member.
        guard !isLost else { return false }
        // The missing member needs the spare more.
        let ended = dropReplacement(isFaulty: false)
        do throws(ArrayStoreError) {
            try writeMembers { _ in }
        } catch {
            // Another of the remaining members is gone too, and must not fall further behind.
            isLost = true
            environment.report(error.description, .error)
            return false
        }
        if let ended { takeBack(ended.member) }
        return true
    }

    func update(settling: Bool = false, _ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        if settling { settleReplacements() }
        try writeMembers(change)
    }

    /// Draws a new mark, durably on every member, so that older copies of a member do not count as that member any
    /// more. To be called before bits of the bitmap are cleared: those bits are the only record of what such a copy
    /// lacks.
    package func renewMark() throws(ArrayStoreError) { try update { _ in } }

    /// Writes a new state to every present member, and when all have it, writes that the state is settled. Under
    /// `lock`, which is held during this rare I/O so that nothing is acknowledged that the survivors do not know.
    /// - Parameter first: the role whose member is written first. It has just become complete, and would pass for
    ///   incomplete if the others recorded the change before it did.
    /// - Throws: an error that names the members that could not be written. All others have been.
    func writeMembers(first: Int? = nil, _ change: (inout MDSuperblock) -> Void) throws(ArrayStoreError) {
        guard !isLost else { return }
        change(&newest)
        newest.events += 1
        newest.updateTime = environment.clock()
        newest.draw(mark: environment.random(), isWhole: failedRoles.isEmpty && recovering == nil)
        for role in failedRoles {
            // Including an absent replacement of the member.
            while let device = newest.device(withRole: UInt16(role)) {
                newest.setRole(MDSuperblock.roleFaulty, ofDevice: device)
            }
        }
        prepareBitmapHeader()
        var failures: [(place: Int, error: ArrayStoreError)] = []
        func attempt(_ place: Int, _ body: () throws(ArrayStoreError) -> Void) {
            do throws(ArrayStoreError) { try body() } catch { failures.append((place, error)) }
        }
        // A failed write does not keep the other members from being written, since they would be stale later. The
        // recovering member comes last: with the newest state on it alone, no other member would know its role.
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
            // From here on, no member with the state before is believed.
            newest.settle()
            for role in present { attempt(role) { () throws(ArrayStoreError) in try writeState(to: role) } }
            attempt(geometry.replacementPlace) { () throws(ArrayStoreError) in
                try replacement?.write(stateOf: newest)
            }
        }
        guard let failure = failures.first else { return }
        // Members without the new state must not fall further behind: the array can be opened again with them.
        let out = failedRoles.union(failures.map(\.place)).subtracting([geometry.replacementPlace])
        if geometry.level == .raid5 && out.union(recovering.map { [$0.role] } ?? []).count > 1 { isLost = true }
        let untold = failures.filter { $0.error.kind != .notTaken }.map(\.place)
        throw failure.error.failing(untold)
    }

    /// Writes the array's state, and the progress of its own rebuild, to the member that has a role. Under `lock`.
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
        knownMarks[role] = own.mark
    }

    /// A bitmap with fewer events than the superblock counts as out of date, so its header is written first.
    private func writeBitmapHeader(to role: Int) throws(ArrayStoreError) {
        guard let bitmap, let member = current[role] else { return }
        try MemberBitmap.writeHeader(bitmap, to: member)
    }

    private func prepareBitmapHeader() {
        bitmap?.events = newest.events
        // Bits are kept while a member is missing, so the count stays at the last state that all members had.
        if failedRoles.isEmpty && recovering == nil { bitmap?.eventsCleared = newest.events }
    }
}
