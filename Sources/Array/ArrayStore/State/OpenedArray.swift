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
    /// Who is a member.
    var membership: Membership {
        didSet {
            tellOutages()
            if membership.isLost && !oldValue.isLost { outages?.end() }
        }
    }
    /// The members, by the IDs that `membership` knows.
    var known: KnownMembers
    /// What the superblocks say.
    var records: MemberRecords
    /// The header of the bitmap. The bits belong to the planner.
    var bitmap: MDBitmap?
    /// Where lanes find the replacement; nil where members cannot be replaced.
    let replacementBay: (any RoleBay)?
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
        leftOut = scan.leftOut.map { ($0.store.path, $0.store.name, $0.reason) }
        absentMembers = scan.leftOut.map(\.store).filter { $0.absence != nil }
        isReadOnly = readOnly
        self.consistency = consistency
        if case .bitmap(let area) = consistency { bitmap = area.bitmap }
        var known = KnownMembers()
        let membership = scan.membership(readOnly: readOnly, hasBitmap: bitmap != nil, known: &known)
        self.membership = membership
        self.known = known
        isParityDoubtful = membership.recovering != nil && !scan.isClean
        records = MemberRecords(of: membership, known, newest: scan.newest, forcedRoles: scan.forcedRoles)
        self.name = name ?? ArrayStore.name(of: scan.newest)
        uuid = scan.newest.setUUID
        wasWrittenElsewhere = scan.newest.lineage == nil
        let current = membership.seats.map { seat in seat.member.flatMap { known[$0] } }
        bays = try Self.bays(
            current, isReplaceable: scan.geometry.level == .raid5 && !readOnly, in: environment)
        let canReplace = bays.contains { $0 != nil }
        let successor = membership.successor.flatMap { known[$0.member] }
        replacementBay = canReplace ? try Self.bays([successor], isReplaceable: true, in: environment)[0] : nil
        let rolePlaces = zip(bays, current).map { bay, member in bay?.place ?? member?.store.place ?? .none }
        places = rolePlaces + [replacementBay?.place].compactMap { $0 }
        if replacementBay == nil, let unusable = membership.successor {
            records.enter(known[unusable.member]!, .spare)
            records.set(nil, at: membership.replacementPlace)
            self.membership.dropSuccessor()
        }
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
        lock.withLock {
            membership.roles.map { recovering?.role == $0 ? nil : member(of: $0) }
        }
    }

    /// The consistency policy in the superblocks.
    package var superblockConsistency: ArrayConsistency { lock.withLock { records.newest.consistency } }

    /// The first role that is not in sync; nil for none. Any thread.
    package var missingRole: Role? { failedMembers.first }

    /// The roles whose members are missing or being rebuilt. Any thread.
    package var failedMembers: [Role] {
        lock.withLock { membership.missing.sorted() }
    }

    /// The health of the array. Any thread.
    package var health: ArrayHealth { lock.withLock { healthUnlocked } }

    /// Under `lock`.
    var healthUnlocked: ArrayHealth {
        if membership.isLost { return .failed }
        return ArrayHealth(missingCount: membership.missing.count, redundancy: geometry.level.redundancy)
    }

    /// Writes the newest state to members that a crash kept from getting it, and flushes the others: their state may
    /// have been written by a process that died before flushing. Otherwise a crash in the next change could leave one
    /// of them two changes behind, which is stale.
    func bringUpLagging() throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        for place in membership.placesInUse {
            guard let member = member(at: place), let own = records.superblock(at: place) else { continue }
            if own.events < records.newest.events || own.lineage != records.newest.lineage {
                try writeState(to: place)
            } else {
                try member.flush()
            }
        }
        // A spare that cannot be flushed is useless.
        for spare in membership.spares where (try? known[spare]?.flush()) == nil { membership.take(spare: spare) }
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
        for place in membership.placesInUse { try member(at: place)?.flush() }
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
            let roles = error.places.compactMap { membership.role(at: $0) }
            guard !roles.isEmpty else { throw error }
            environment.report(error.description, .error)
            for role in roles where !recordFailure(role: role) { throw error }
        }
    }

    /// Records a member's failure durably on the survivors, so that it cannot come back with old data. A caller that
    /// comes while another thread is recording waits for that.
    /// - Returns: whether the survivors have every change that they need; false also when an earlier change could not
    ///   be written to them.
    @discardableResult
    package func recordFailure(role: Role, telling listener: (any MembershipListener)? = nil) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        let hasWaitedInVain = outages?.hasWaitedInVain ?? false
        let outcome = carryOut(.failed(role: role, hasWaitedInVain: hasWaitedInVain), telling: listener)
        return !outcome.steps.contains(.failed(role: role, isRecorded: false))
    }

    private func update(
        settling: Bool = false, telling listener: (any MembershipListener)? = nil,
        _ change: (inout MDSuperblock) -> Void = { _ in }
    ) throws(ArrayStoreError) {
        lock.lock()
        defer { lock.unlock() }
        guard !membership.isLost else { return }
        if settling { settleReplacements() }
        change(&records.newest)
        try carryOut(.marked, telling: listener).check()
    }

    /// Draws a new mark, durably on every member, so that older copies of a member do not count as that member any
    /// more. To be called before bits of the bitmap are cleared: those bits are the only record of what such a copy
    /// lacks.
    package func renewMark(telling listener: (any MembershipListener)? = nil) throws(ArrayStoreError) {
        try update(telling: listener)
    }
}
