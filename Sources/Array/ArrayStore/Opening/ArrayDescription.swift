import Glibc
import MDFormat
import Members
import Platform
import RAID
import Statistics

/// An array as `nbdext status` tells of it.
package struct ArrayDescription: Sendable, Equatable {
    /// One member, present or not.
    package struct Member: Sendable, Equatable {
        package var role: Int?
        package var path: String?
        /// "active", "missing", or why it was left out.
        package var state: String
        /// Blocks that it could not read and that were written anew, since the server was started.
        package var correctedReadErrorCount: UInt64 = 0
    }

    /// A check, a repair, a rebuild or a replacement.
    package struct Job: Sendable, Equatable {
        package var kind: String
        package var member: Int?
        package var percent: Int
        /// False for one that goes on when the array is served.
        package var isRunning: Bool
        /// Why it ended, of one that failed and is needed.
        package var reason: String?

        package init(kind: String, member: Int?, percent: Int, isRunning: Bool, reason: String? = nil) {
            self.reason = reason
            self.kind = kind
            self.member = member
            self.percent = percent
            self.isRunning = isRunning
        }
    }

    /// Who has the array, or what somebody would meet who wants to serve it.
    package enum Service: Sendable, Equatable {
        /// Its server says all this.
        case served(process: Int)
        /// Somebody has locked members and cannot be asked; what is said is what members tell.
        case locked
        case possible
        /// Why `--force` is needed, and what it may cost.
        case needsForce(String)
        case refused(String)
    }

    package var name: String
    package var uuid: String
    package var level: Int
    /// Roles of the array.
    package var memberCount: Int
    package var chunkByteCount: UInt64
    package var byteCount: UInt64
    package var events: UInt64
    /// How parity is made right after a crash; "resync" for RAID 0, which has none.
    package var consistency: String
    /// Nil when nobody can tell: it is served, and its server cannot be asked.
    package var state: ArrayHealth?
    /// Not stopped cleanly, or being served for writing.
    package var isDirty: Bool
    package var service: Service
    package var members: [Member]
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
    /// Looks at an array without locking or changing it, and without asking other servers if it is being served.
    package static func examine(directory: String) throws(ArrayStoreError) -> ArrayDescription {
        let isServed = try MemberDirectory.isServed(directory)
        let members = try MemberDirectory.open(directory, for: .look, connects: !isServed) { _ in }
        return try describe(members, place: directory, isServed: isServed) {
            JobFile(directory: directory, uuid: $0).read($1)
        }
    }

    /// Looks at an array's members without changing them.
    /// - Parameters:
    ///   - isServed: somebody has locked them.
    ///   - job: a check or a repair of the array with a UUID and a shape that has begun.
    package static func describe(
        _ members: [any PlacedMember], place: String, isServed: Bool = false,
        job: ([UInt8], ArrayGeometry) -> MaintenanceRecord?
    ) throws(ArrayStoreError) -> ArrayDescription {
        let scan = try MemberScan(members, place: place)
        var job = job(scan.newest.setUUID, scan.geometry)
        if scan.newest.lineage == nil { job?.beginAnew() }
        return ArrayDescription(
            scan, members: describe(scan),
            service: isServed ? .locked : prospect(scan, place: place),
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
        var list = scan.members.enumerated().map { role, member in
            if let member { return ArrayDescription.Member(role: role, path: member.store.name, state: "active") }
            guard let member = scan.recovering[role] else {
                return ArrayDescription.Member(role: role, state: "missing")
            }
            let text = OpenedArray.MemberState.Condition.recovering(
                byteCount: member.superblock.recoveryByteOffset ?? 0
            ).text(scan.geometry, role: role, isGuided: member.superblock.isRecoveryGuided)
            return ArrayDescription.Member(role: role, path: member.store.name, state: text)
        }
        if let (role, member) = scan.replacement {
            let byteCount = Replacement(member, role: role, scan.geometry).byteCount
            let text = OpenedArray.MemberState.Condition.replacing(byteCount: byteCount).text(scan.geometry, role: role)
            list.append(ArrayDescription.Member(path: member.store.name, state: text))
        }
        for member in scan.spares { list.append(ArrayDescription.Member(path: member.store.name, state: "spare")) }
        for (store, reason) in scan.leftOut {
            list.append(ArrayDescription.Member(path: store.name, state: reason))
        }
        return list
    }

    /// What somebody would meet who wants to serve the array, as far as that can be told without reading its data.
    private static func prospect(_ scan: MemberScan, place: String) -> ArrayDescription.Service {
        do throws(ArrayStoreError) {
            try checkIsComplete(scan, place: place, readOnly: false, force: false)
            return .possible
        } catch {
            do throws(ArrayStoreError) {
                var forced = scan
                _ = try forceOutdated(&forced, place: place)
                try checkIsComplete(forced, place: place, readOnly: false, force: true)
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
        // Members that nobody has asked may be as well as the others.
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
    /// What is shown of an array that is served.
    package struct View: Sendable {
        package var state: ArrayHealth
        /// Roles that are not in sync.
        package var missingMembers: [Int]
        /// A spare is about to take the place of a member, or has begun to.
        package var hasPendingRebuild: Bool
        /// Without what the server counts.
        package var description: ArrayDescription
    }

    /// How long to wait for whoever changes something before what was seen last is shown.
    private static let viewAttempts = 20
    private static let viewPauseMicroseconds: UInt32 = 5000

    /// The array as it is. While somebody writes to a member that does not answer, the array as it was half a second before
    /// that: nobody has to wait for such a member to hear how the array is. Any thread.
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

    /// Lets those who look during the next change see what this one has led to. Under `lock`.
    @discardableResult
    func showState() -> View {
        let view = makeView()
        lastView.withLock { $0 = view }
        return view
    }

    /// Under `lock`.
    private func makeView() -> View {
        let state = healthUnlocked
        let missing = recovering.map { failedRoles.union([$0.role]) } ?? failedRoles
        var description = ArrayDescription(
            newest, geometry, state: state, members: describeMembers(), service: .served(process: Int(getpid())),
            job: nil)
        description.name = name
        return View(
            state: state, missingMembers: missing.sorted(),
            hasPendingRebuild: state == .degraded && (!spares.isEmpty || recovering != nil) || replacement != nil,
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
            return ArrayDescription.Member(role: role, path: state.path, state: text)
        }
            + leftOut.filter { !shown.contains($0.path) }.map {
                ArrayDescription.Member(path: $0.name, state: $0.reason)
            }
    }
}

extension OpenedArray.MemberState.Condition {
    /// What `status` says of a member.
    func text(_ geometry: ArrayGeometry, role: Int, isGuided: Bool = false) -> String {
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
    /// Hundredths of a member's data area.
    package func percent(_ byteCount: UInt64) -> Int {
        Int(min(Double(byteCount) * 100 / Double(memberDataByteCount), 100))
    }
}
