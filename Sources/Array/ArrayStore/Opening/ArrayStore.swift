import RAID

/// Arrays in directories of member files.
package enum ArrayStore {
    /// Opens the array in a directory, whose files are its members or name them. The files are locked.
    /// - Parameters:
    ///   - readOnly: whether nothing may be written to the members.
    ///   - force: whether the array is opened although data may come back wrong.
    ///   - name: the array's name while it is open; nil for the one in its superblocks.
    ///   - lostSeconds: how long the array may be suspended when it has lost too many members on other servers.
    package static func open(
        directory: String, readOnly: Bool, force: Bool = false, name: String? = nil,
        lostSeconds: Int = 0, in environment: Environment = .system
    ) throws(ArrayStoreError) -> OpenedArray {
        let members = try MemberDirectory.open(
            directory, for: readOnly ? .read : .write, mayWait: lostSeconds > 0, report: environment.report)
        for warning in MemberDirectory.warnings(directory, members) { environment.report(warning, .warning) }
        let array = try open(
            members: members, directory: directory, readOnly: readOnly, force: force, name: name, in: environment)
        if lostSeconds > 0 { array.mayWait(seconds: lostSeconds) }
        guard !readOnly else { return array }
        let jobFile = JobFile(directory: directory, uuid: array.uuid)
        array.jobFile = jobFile
        array.interruptedJob = jobFile.read(array.geometry)
        // The members may have changed since the job was interrupted.
        if array.wasWrittenElsewhere { array.interruptedJob?.beginAnew() }
        return array
    }

    /// Opens an array for serving, with its parity right.
    ///
    /// A RAID 5 array that was not stopped cleanly is resynchronised first, and is clean afterwards. Like md, this
    /// refuses such an array when it also lacks a member, unless it has partial parity logs or `force` is set. It also
    /// refuses when data cannot be read where parity is in doubt. Nothing is written to an array that was stopped
    /// cleanly until `markDirty`, except to correct its bitmap or its logs.
    ///
    /// - Parameters:
    ///   - members: the members in any order. Nothing else may use them.
    ///   - directory: the member directory's name, for messages.
    package static func open(
        members: [any PlacedMember], directory: String, readOnly: Bool, force: Bool = false, name: String? = nil,
        in environment: Environment
    ) throws(ArrayStoreError) -> OpenedArray {
        var scan = try MemberScan(members, directory: directory)
        if force { for text in try forceOutdated(&scan, directory: directory) { environment.report(text, .warning) } }
        for (store, reason) in scan.leftOut { environment.report("\(store.name) is left out: \(reason)", .warning) }
        if let warning = try checkIsComplete(scan, directory: directory, readOnly: readOnly, force: force) {
            environment.report(warning, .warning)
        }
        if let text = scan.changeText { environment.report("the array in \(directory): \(text)", .warning) }
        let recovery = ArrayRecovery(scan, directory: directory, force: force, in: environment)
        let outcome = readOnly ? recovery.withoutWriting() : try recovery.run()
        if !readOnly { try scan.completeChange() }
        let array = try OpenedArray(
            scan: scan, directory: directory, readOnly: readOnly, name: name, consistency: outcome.consistency,
            in: environment)
        guard !readOnly else { return array }
        try array.bringUpLagging()
        if outcome.isClean && !scan.isClean { try array.markClean() }
        return array
    }

    /// Lets outdated members fill roles without which the array cannot be opened.
    /// - Returns: a message for the user about each of them.
    static func forceOutdated(
        _ scan: inout MemberScan, directory: String
    ) throws(ArrayStoreError) -> [String] {
        let unread = scan.forceOutdated(survivable: scan.geometry.level.redundancy)
        guard unread.isEmpty else {
            throw ArrayStoreError(
                "the array in \(directory) lacks member \(scan.missingRoles.map(\.description).joined(separator: ", ")); "
                    + "older members are there, but \(unread.map(\.name).joined(separator: ", ")) cannot be used and "
                    + "may have what they missed: make it readable, or take its file out of the directory to go on "
                    + "with the older ones",
                .tooManyMissing)
        }
        return scan.forcedRoles.sorted().compactMap { role in
            scan.members[role].map { member in
                "the array in \(directory) is forced to start with \(member.store.name) as member \(role), which "
                    + "missed what was done since change \(member.superblock.events) of \(scan.newest.events): all "
                    + "data written since then may come back old or wrong; compare it with a copy"
            }
        }
    }

    /// - Returns: a warning for the user when the array is forced to start.
    /// - Throws: when the array cannot be served, or not without `force`.
    @discardableResult
    static func checkIsComplete(
        _ scan: MemberScan, directory: String, readOnly: Bool, force: Bool
    ) throws(ArrayStoreError) -> String? {
        let missing = scan.missingRoles
        let survivable = scan.geometry.level.redundancy
        guard missing.count <= survivable else {
            let roles = missing.map(\.description).joined(separator: ", ")
            throw ArrayStoreError(
                "the array in \(directory) lacks member \(roles); a RAID \(scan.geometry.level.rawValue) "
                    + "array can do without \(survivable == 1 ? "one" : "none"): bring the files back", .tooManyMissing)
        }
        guard !scan.isClean, let role = missing.first else { return nil }
        let isLogged = scan.newest.consistency == .ppl
        // Logs list the writes that were under way. They say nothing about parity that was never made.
        if isLogged && !readOnly && scan.checkpoint == nil { return nil }
        guard force else {
            throw ArrayStoreError(
                isLogged && scan.checkpoint == nil
                    ? "the array in \(directory) was not stopped cleanly and lacks member \(role), and what its "
                        + "partial parity logs know must be written first: serve it once for writing, or accept wrong "
                        + "blocks with --force"
                    : "the array in \(directory) was not stopped cleanly and lacks member \(role); blocks that were "
                        + "being written may come back wrong: bring the member back, or accept that with --force",
                .dirtyAndDegraded)
        }
        return "the array in \(directory) is forced to start without member \(role) after it was not stopped cleanly: "
            + (try doubts(scan))
    }

    /// Says what may be wrong in an array that lacks a member and may have been stopped in the middle of a write.
    private static func doubts(_ scan: MemberScan) throws(ArrayStoreError) -> String {
        let geometry = scan.geometry
        guard scan.newest.consistency == .bitmap, case .valid(var bitmap) = try MemberBitmap.read(scan) else {
            let start = (scan.checkpoint ?? 0) / geometry.chunkByteCount * geometry.stripeByteCount
            return start == 0
                ? "what that member held of stripes that were being written may come back wrong"
                : "what that member held of the array's bytes from \(start) on may come back wrong, since their parity "
                    + "was perhaps never made"
        }
        if let checkpoint = scan.checkpoint { bitmap.set(checkpoint..<geometry.memberDataByteCount) }
        let regions = bitmap.setRegions(within: 0..<geometry.memberDataByteCount).map { region in
            let first = region.lowerBound / geometry.chunkByteCount * geometry.stripeByteCount
            let end = (region.upperBound + geometry.chunkByteCount - 1) / geometry.chunkByteCount
            return first..<min(end * geometry.stripeByteCount, geometry.capacityByteCount)
        }
        if regions.isEmpty { return "by its bitmap nothing was being written" }
        return "what that member held of the array's bytes \(ArrayRecovery.list(regions)) may come back wrong"
    }

    /// A UUID in mdadm's notation: four groups of eight digits.
    package static func uuidText(_ uuid: [UInt8]) -> String {
        stride(from: 0, to: 16, by: 4).map { start in
            uuid[start..<start + 4].map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0" + text : text
            }.joined()
        }.joined(separator: ":")
    }
}
