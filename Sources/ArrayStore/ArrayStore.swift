import RAID

/// Arrays in directories of member files.
package enum ArrayStore {
    /// What `nbdext status` tells.
    package struct Description: Sendable {
        /// One member, present or not.
        package struct Member: Sendable {
            package var role: Int?
            package var path: String?
            /// "active", "missing", or why it was left out.
            package var state: String
        }

        package var name: String
        package var uuid: String
        package var level: RAIDLevel
        package var chunkByteCount: UInt64
        package var byteCount: UInt64
        package var events: UInt64
        /// How parity is made right after a crash; `.resync` for RAID 0, which has none.
        package var consistency: ArrayConsistency
        /// "clean", "dirty" (not stopped cleanly, or being served), "degraded", "degraded, dirty" or "failed".
        package var state: String
        package var members: [Member]
        /// A check or a repair that has begun: "check" or "repair", and how many hundredths of it are recorded as done.
        package var job: (kind: String, percent: Int)?
    }

    /// Looks at an array without locking or changing it.
    package static func examine(directory: String) throws(ArrayStoreError) -> Description {
        let members = try MemberDirectory.open(directory, for: .look) { _ in }
        let scan = try MemberScan(members, place: directory)
        func percent(_ byteCount: UInt64) -> Int {
            Int(min(Double(byteCount) * 100 / Double(scan.geometry.memberDataByteCount), 100))
        }
        var list = scan.members.enumerated().map { role, member in
            if let member { return Description.Member(role: role, path: member.store.name, state: "active") }
            guard let member = scan.recovering[role] else { return Description.Member(role: role, state: "missing") }
            let done = percent(member.superblock.recoveryByteOffset ?? 0)
            return Description.Member(
                role: role, path: member.store.name,
                state: "\(member.superblock.isRecoveryGuided ? "re-added" : "rebuilding"), \(done) % done")
        }
        if let (role, member) = scan.replacement {
            let done = percent(Replacement(member, role: role, scan.geometry).byteCount)
            list.append(Description.Member(path: member.store.name, state: "replacing member \(role), \(done) % done"))
        }
        for member in scan.spares { list.append(Description.Member(path: member.store.name, state: "spare")) }
        for (store, reason) in scan.leftOut {
            list.append(Description.Member(path: store.name, state: reason))
        }
        let job = JobFile(directory: directory, uuid: scan.newest.setUUID).read(scan.geometry)
        return Description(
            name: name(of: scan.newest), uuid: uuidText(scan.newest.setUUID), level: scan.geometry.level,
            chunkByteCount: scan.geometry.chunkByteCount, byteCount: scan.geometry.capacityByteCount,
            events: scan.newest.events, consistency: scan.newest.consistency, state: state(of: scan), members: list,
            job: job.map { ($0.job.rawValue, percent($0.position)) })
    }

    private static func state(of scan: MemberScan) -> String {
        let survivable = scan.geometry.level == .raid5 ? 1 : 0
        if scan.missingRoles.count > survivable { return "failed" }
        switch (scan.missingRoles.isEmpty, scan.newest.isClean) {
        case (true, true): return "clean"
        case (true, false): return "dirty"
        case (false, true): return "degraded"
        case (false, false): return "degraded, dirty"
        }
    }

    /// Opens the array whose members are the files of a directory, or are named by them; the files are locked.
    package static func open(
        directory: String, readOnly: Bool, force: Bool = false, in surroundings: Surroundings = .system
    ) throws(ArrayStoreError) -> OpenedArray {
        let members = try MemberDirectory.open(
            directory, for: readOnly ? .read : .write, report: surroundings.report)
        let array = try open(members: members, place: directory, readOnly: readOnly, force: force, in: surroundings)
        guard !readOnly else { return array }
        let jobFile = JobFile(directory: directory, uuid: array.uuid)
        array.jobFile = jobFile
        array.interruptedJob = jobFile.read(array.geometry)
        return array
    }

    /// Opens an array for serving: its parity is right.
    ///
    /// A RAID 5 array that was not stopped cleanly gets its parity right first, and is clean then. One that also lacks a
    /// member is refused, as md refuses it, unless it has partial parity logs or `force` is set; so is one of which data
    /// cannot be read where parity is in doubt. Nothing is written to an array that was stopped cleanly until
    /// `markDirty`, unless its bitmap or its logs are not as they should be.
    ///
    /// - Parameters:
    ///   - members: in any order; nobody else uses them.
    ///   - place: what messages call where they are.
    package static func open(
        members: [any PlacedMember], place: String, readOnly: Bool, force: Bool = false, in surroundings: Surroundings
    ) throws(ArrayStoreError) -> OpenedArray {
        var scan = try MemberScan(members, place: place)
        if force { try forceOutdated(&scan, place: place, in: surroundings) }
        for (store, reason) in scan.leftOut { surroundings.report("\(store.name) is left out: \(reason)") }
        try checkIsComplete(scan, place: place, readOnly: readOnly, force: force, in: surroundings)
        let recovery = ArrayRecovery(scan, place: place, force: force, in: surroundings)
        let outcome = readOnly ? recovery.withoutWriting() : try recovery.run()
        let array = try OpenedArray(
            scan: scan, place: place, readOnly: readOnly, consistency: outcome.consistency, in: surroundings)
        guard !readOnly else { return array }
        try array.bringUpLagging()
        if outcome.isClean && !scan.newest.isClean { try array.markClean() }
        return array
    }

    /// Lets members that missed changes stand in for those without which the array cannot be opened.
    private static func forceOutdated(
        _ scan: inout MemberScan, place: String, in surroundings: Surroundings
    ) throws(ArrayStoreError) {
        let unread = scan.forceOutdated(survivable: scan.geometry.level == .raid5 ? 1 : 0)
        guard unread.isEmpty else {
            throw ArrayStoreError(
                "the array in \(place) lacks member \(scan.missingRoles.map(String.init).joined(separator: ", ")); older "
                    + "members are there, but \(unread.map(\.name).joined(separator: ", ")) cannot be used and may have what "
                    + "they missed: make it readable, or take its file out of the directory to go on with the older ones",
                .tooManyMissing)
        }
        for role in scan.forcedRoles.sorted() {
            guard let member = scan.members[role] else { continue }
            surroundings.report(
                "the array in \(place) is forced to start with \(member.store.name) as member \(role), which missed what "
                    + "was done since change \(member.superblock.events) of \(scan.newest.events): all that was written since "
                    + "then may come back old or wrong; compare it with a copy")
        }
    }

    private static func checkIsComplete(
        _ scan: MemberScan, place: String, readOnly: Bool, force: Bool, in surroundings: Surroundings
    ) throws(ArrayStoreError) {
        let missing = scan.missingRoles
        let survivable = scan.geometry.level == .raid5 ? 1 : 0
        guard missing.count <= survivable else {
            let roles = missing.map(String.init).joined(separator: ", ")
            throw ArrayStoreError(
                "the array in \(place) lacks member \(roles); a RAID \(scan.geometry.level.rawValue) "
                    + "array can do without \(survivable == 1 ? "one" : "none"): bring the files back", .tooManyMissing)
        }
        guard !scan.newest.isClean, let role = missing.first else { return }
        let isLogged = scan.newest.consistency == .ppl
        if isLogged && !readOnly { return }
        guard force else {
            throw ArrayStoreError(
                isLogged
                    ? "the array in \(place) was not stopped cleanly and lacks member \(role), and what its partial "
                        + "parity logs know must be written first: serve it once for writing, or accept wrong blocks "
                        + "with --force"
                    : "the array in \(place) was not stopped cleanly and lacks member \(role); blocks that were being "
                        + "written may come back wrong: bring the member back, or accept that with --force",
                .dirtyAndDegraded)
        }
        surroundings.report(
            "the array in \(place) is forced to start without member \(role) after it was not stopped cleanly: "
                + (try doubts(scan)))
    }

    /// What may be wrong of an array that lacks a member, since it may have been in the middle of a write, for people.
    private static func doubts(_ scan: MemberScan) throws(ArrayStoreError) -> String {
        guard scan.newest.consistency == .bitmap, case .valid(let bitmap) = try MemberBitmap.read(scan) else {
            return "what that member held of stripes that were being written may come back wrong"
        }
        let geometry = scan.geometry
        let regions = bitmap.setRegions(within: 0..<geometry.memberDataByteCount).map { region in
            let first = region.lowerBound / geometry.chunkByteCount * geometry.stripeByteCount
            let end = (region.upperBound + geometry.chunkByteCount - 1) / geometry.chunkByteCount
            return first..<min(end * geometry.stripeByteCount, geometry.capacityByteCount)
        }
        if regions.isEmpty { return "by its bitmap nothing was being written" }
        return "what that member held of the array's bytes \(ArrayRecovery.list(regions)) may come back wrong"
    }

    /// The name without the host.
    static func name(of superblock: MDSuperblock) -> String {
        let name = superblock.setName
        guard let colon = name.firstIndex(of: ":") else { return name }
        return String(name[name.index(after: colon)...])
    }

    /// As mdadm prints it: four groups of eight digits.
    package static func uuidText(_ uuid: [UInt8]) -> String {
        stride(from: 0, to: 16, by: 4).map { start in
            uuid[start..<start + 4].map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0" + text : text
            }.joined()
        }.joined(separator: ":")
    }
}
