import Glibc
import MDFormat
import Members
import Platform
import RAID
import Statistics

/// An array as `nbdext status` describes it.
package struct ArrayDescription: Sendable, Equatable {
    /// One member, present or not.
    package struct Member: Sendable, Equatable, Decodable {
        /// The member's role; nil for a spare, a replacement, or a member that was left out.
        package var role: Int?
        /// The member's path or URI; nil for a missing member.
        package var path: String?
        /// "active", "spare", "missing", the progress of a rebuild or a replacement, or why the member was left out.
        package var state: String
        /// The number of blocks that it could not read and that were rewritten, since the server was started.
        package var correctedReadErrorCount: UInt64 = 0

        enum CodingKeys: String, CodingKey {
            case role, state, path
            case correctedReadErrorCount = "corrected_read_errors"
        }
    }

    /// A check, a repair, a rebuild or a replacement.
    package struct Job: Sendable, Equatable, Decodable {
        /// "rebuild", "replace", "check", "repair" or "resync".
        package var kind: String
        /// The role that is rebuilt or replaced; nil for a job of the entire array.
        package var member: Int?
        /// Progress, from 0 to 100.
        package var percent: Int
        /// Whether the job is running. False for a job that resumes when the array is served.
        package var isRunning: Bool
        /// Why a job ended that failed and is still needed; nil otherwise.
        package var reason: String?

        package init(kind: String, member: Int?, percent: Int, isRunning: Bool, reason: String? = nil) {
            self.reason = reason
            self.kind = kind
            self.member = member
            self.percent = percent
            self.isRunning = isRunning
        }

        enum CodingKeys: String, CodingKey {
            case kind, member, percent
            case isRunning = "running"
            case reason
        }
    }

    /// Whether the array is served, or what serving it would meet.
    package enum Service: Sendable, Equatable {
        /// It is served by a process, which is the source of this description.
        case served(process: Int)
        /// Members are locked by a process that cannot be asked. The description is what the members tell.
        case locked
        /// It can be served.
        case possible
        /// Serving it needs `--force`: why, and what that may cost.
        case needsForce(String)
        /// It cannot be served, and why.
        case refused(String)
    }

    /// The name of the array's export.
    package var name: String
    /// The set's UUID, as `ArrayStore.uuidText` writes it.
    package var uuid: String
    /// The RAID level, 0 or 5.
    package var level: Int
    /// The number of roles.
    package var memberCount: Int
    /// The size of a chunk in bytes.
    package var chunkByteCount: UInt64
    /// The size of the array in bytes.
    package var byteCount: UInt64
    /// The count of changes in the newest superblock (md's `events`).
    package var events: UInt64
    /// How parity becomes right after a crash; "resync" for RAID 0, which has no parity.
    package var consistency: String
    /// Nil when it is not known: the array is served, and its server cannot be asked.
    package var state: ArrayHealth?
    /// Whether the array was not stopped cleanly, or is being served for writing.
    package var isDirty: Bool
    /// Whether the array is served, or could be.
    package var service: Service
    /// All members: by role, then a replacement, spares, and members that were left out.
    package var members: [Member]
    /// The job that is running or will resume; nil when there is none.
    package var job: Job?

    /// "clean", "dirty", "degraded", "degraded, dirty", "suspended", "suspended, dirty", "failed" or "unknown".
    package var stateText: String {
        switch (state, isDirty) {
        case (nil, _): "unknown"
        case (.clean, true): "dirty"
        case (.degraded, true): "degraded, dirty"
        case (.suspended, true): "suspended, dirty"
        case (let state?, _): state.rawValue
        }
    }
}

extension ArrayStore {
    /// Examines an array without locking or changing it. Does not connect to other servers if it is being served.
    package static func examine(directory: String) throws(ArrayStoreError) -> ArrayDescription {
        let isServed = try MemberDirectory.isServed(directory)
        let members = try MemberDirectory.open(directory, for: .look, connects: !isServed) { _, _ in }
        return try describe(members, directory: directory, isServed: isServed) {
            JobFile(directory: directory, uuid: $0).read($1)
        }
    }

    /// Examines an array's members without changing them.
    /// - Parameters:
    ///   - isServed: whether another process has locked them.
    ///   - job: finds the interrupted check or repair of an array, given its UUID and its shape.
    package static func describe(
        _ members: [any PlacedMember], directory: String, isServed: Bool = false,
        job: ([UInt8], ArrayGeometry) -> MaintenanceRecord?
    ) throws(ArrayStoreError) -> ArrayDescription {
        let scan = try MemberScan(members, directory: directory)
        var job = job(scan.newest.setUUID, scan.geometry)
        if scan.newest.lineage == nil { job?.beginAnew() }
        return ArrayDescription(
            scan, members: describe(scan),
            service: isServed ? .locked : prospect(scan, directory: directory),
            job: job.map {
                ArrayDescription.Job(
                    kind: $0.job.rawValue, member: nil, percent: scan.geometry.percent($0.position), isRunning: false)
            }
                ?? scan.checkpoint.map {
                    ArrayDescription.Job(
                        kind: "resync", member: nil, percent: scan.geometry.percent($0), isRunning: false)
                })
    }

    private static func describe(_ scan: MemberScan) -> [ArrayDescription.Member] {
        var list = zip(scan.geometry.roles, scan.members).map { role, member in
            if let member { return ArrayDescription.Member(role: role.index, path: member.store.name, state: "active") }
            guard let member = scan.recovering[role] else {
                return ArrayDescription.Member(role: role.index, state: "missing")
            }
            let text = OpenedArray.MemberState.Condition.recovering(
                byteCount: member.superblock.recoveryByteOffset ?? 0
            ).text(scan.geometry, role: role, isGuided: member.superblock.isRecoveryGuided)
            return ArrayDescription.Member(role: role.index, path: member.store.name, state: text)
        }
        if let (role, member) = scan.replacement {
            let byteCount = member.filledByteCount(scan.geometry)
            let text = OpenedArray.MemberState.Condition.replacing(byteCount: byteCount).text(scan.geometry, role: role)
            list.append(ArrayDescription.Member(path: member.store.name, state: text))
        }
        for member in scan.spares { list.append(ArrayDescription.Member(path: member.store.name, state: "spare")) }
        for (store, reason) in scan.leftOut {
            list.append(ArrayDescription.Member(path: store.name, state: reason))
        }
        return list
    }

    /// What serving the array would meet, as far as that can be told without reading its data.
    private static func prospect(_ scan: MemberScan, directory: String) -> ArrayDescription.Service {
        do throws(ArrayStoreError) {
            try checkIsComplete(scan, directory: directory, readOnly: false, force: false)
            return .possible
        } catch {
            do throws(ArrayStoreError) {
                var forced = scan
                _ = try forceOutdated(&forced, directory: directory)
                try checkIsComplete(forced, directory: directory, readOnly: false, force: true)
                return .needsForce(error.description)
            } catch let refusal { return .refused(refusal.description) }
        }
    }
}

extension ArrayDescription {
    fileprivate init(_ scan: MemberScan, members: [Member], service: Service, job: Job?) {
        self.init(
            scan.newest, scan.geometry,
            state: ArrayHealth(
                missingCount: scan.missingRoles.count, redundancy: scan.geometry.level.redundancy),
            members: members, service: service, job: job)
        isDirty = !scan.isClean
        // Members that were not asked may be in order.
        if service == .locked && scan.leftOut.contains(where: { $0.store.absence != nil }) { state = nil }
    }

    fileprivate init(
        _ newest: MDSuperblock, _ geometry: ArrayGeometry, state: ArrayHealth, members: [Member], service: Service,
        job: Job?
    ) {
        self.init(
            name: ArrayStore.name(of: newest), uuid: ArrayStore.uuidText(newest.setUUID),
            level: Int(geometry.level.rawValue), memberCount: geometry.memberCount,
            chunkByteCount: geometry.chunkByteCount, byteCount: geometry.capacityByteCount, events: newest.events,
            consistency: newest.consistency.rawValue, state: state, isDirty: !newest.isClean, service: service,
            members: members, job: job)
    }
}

extension OpenedArray {
    /// What is shown of an array that is being served.
    package struct View: Sendable {
        /// The health of the array.
        package var state: ArrayHealth
        /// Roles that are not in sync.
        package var missingMembers: [Int]
        /// Whether a rebuild or a replacement is running or about to begin.
        package var hasPendingRebuild: Bool
        /// The description, without the server's counters.
        package var description: ArrayDescription
    }

    /// How long to wait for a change to end before the last view is shown.
    private static let viewAttempts = 20
    private static let viewPauseMicroseconds: UInt32 = 5000

    /// The array's current state. While a thread writes to a member that does not answer, this returns the state before
    /// that after 0.1 s, so that nobody has to wait for the member to learn about the array. Any thread.
    package var view: View {
        var view = viewOfMembers
        show(outages?.suspension, in: &view)
        return view
    }

    private var viewOfMembers: View {
        for _ in 0..<Self.viewAttempts {
            if lock.tryLock() {
                defer { lock.unlock() }
                return showState()
            }
            usleep(Self.viewPauseMicroseconds)
        }
        return lastView.withLock { $0 } ?? lock.withLock { makeView() }
    }

    /// Makes the current state the one that is shown during the next change. Under `lock`.
    @discardableResult
    func showState() -> View {
        let view = makeView()
        lastView.withLock { $0 = view }
        return view
    }

    /// Under `lock`.
    private func makeView() -> View {
        let state = healthUnlocked
        var description = ArrayDescription(
            records.newest, geometry, state: state, members: describeMembers(),
            service: .served(process: Int(getpid())),
            job: nil)
        description.name = name
        return View(
            state: state, missingMembers: membership.missing.map(\.index).sorted(),
            hasPendingRebuild: state == .degraded && (!spares.isEmpty || recovering != nil) || successor != nil,
            description: description)
    }

    /// Under `lock`.
    private func describeMembers() -> [ArrayDescription.Member] {
        let states = memberStatesUnlocked
        let shown = Set(states.compactMap(\.file))
        return states.map { state in
            let isFailed = state.condition == .failed
            var text = state.condition.text(geometry, role: state.role ?? 0, isGuided: recovering?.isGuided ?? false)
            if isFailed && state.path == nil { text = "missing" }
            if let loss = state.loss { text += isFailed ? ": \(loss)" : ", but \(loss)" }
            var role = state.role
            if case .replacing = state.condition { role = nil }
            return ArrayDescription.Member(role: role?.index, path: state.path, state: text)
        }
            + leftOut.filter { !shown.contains($0.path) }.map {
                ArrayDescription.Member(path: $0.name, state: $0.reason)
            }
    }
}

extension OpenedArray.MemberState.Condition {
    /// The text of `nbdext status` for a member's condition.
    func text(_ geometry: ArrayGeometry, role: Role, isGuided: Bool = false) -> String {
        switch self {
        case .active: "active"
        case .recovering(let byteCount):
            "\(isGuided ? "re-added" : "rebuilding"), \(geometry.percent(byteCount)) % done"
        case .replacing(let byteCount): "replacing member \(role), \(geometry.percent(byteCount)) % done"
        case .failed: "failed"
        case .spare: "spare"
        }
    }
}

extension ArrayGeometry {
    /// The progress through a member's data area, from 0 to 100.
    package func percent(_ byteCount: UInt64) -> Int {
        Int(min(Double(byteCount) * 100 / Double(memberDataByteCount), 100))
    }
}
