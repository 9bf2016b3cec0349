import RAID

/// Arrays in directories of member files.
package enum ArrayStore {
    package static let memberCountMax = 32

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
        /// "clean", "dirty" (not stopped cleanly, or being served), "degraded", "degraded, dirty" or "failed".
        package var state: String
        package var members: [Member]
    }

    /// Looks at an array without locking or changing it.
    package static func examine(directory: String) throws(ArrayStoreError) -> Description {
        let members = try MemberDirectory.open(directory, for: .look) { _ in }
        let scan = try MemberScan(members, place: directory)
        var list = scan.members.enumerated().map { role, member in
            Description.Member(role: role, path: member?.store.name, state: member == nil ? "missing" : "active")
        }
        for (store, reason) in scan.leftOut {
            list.append(Description.Member(role: nil, path: store.name, state: reason))
        }
        return Description(
            name: name(of: scan.newest), uuid: uuidText(scan.newest.setUUID), level: scan.geometry.level,
            chunkByteCount: scan.geometry.chunkByteCount, byteCount: scan.geometry.capacityByteCount,
            events: scan.newest.events, state: state(of: scan), members: list)
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
        return try open(members: members, place: directory, readOnly: readOnly, force: force, in: surroundings)
    }

    /// Opens an array for serving: its parity is right.
    ///
    /// A RAID 5 array that was not stopped cleanly is resynchronised first. One that also lacks a member is refused,
    /// since its parity cannot be checked, unless `force` is set. Until `markDirty` nothing but parity is written.
    ///
    /// - Parameters:
    ///   - members: in any order; nobody else uses them.
    ///   - place: what messages call where they are.
    package static func open(
        members: [any PlacedMember], place: String, readOnly: Bool, force: Bool = false, in surroundings: Surroundings
    ) throws(ArrayStoreError) -> OpenedArray {
        let scan = try MemberScan(members, place: place)
        for (store, reason) in scan.leftOut { surroundings.report("\(store.name) is left out: \(reason)") }
        try checkIsComplete(scan, place: place, force: force)
        let array = OpenedArray(scan: scan, place: place, readOnly: readOnly, in: surroundings)
        if !scan.newest.isClean && scan.missingRoles.isEmpty && scan.geometry.level == .raid5 && !readOnly {
            surroundings.report("the array in \(place) was not stopped cleanly; checking its parity")
            let repaired = try ParityResync.run(array)
            surroundings.report("parity is right again: \(repaired) bytes were rewritten")
        }
        return array
    }

    private static func checkIsComplete(_ scan: MemberScan, place: String, force: Bool) throws(ArrayStoreError) {
        let missing = scan.missingRoles
        let survivable = scan.geometry.level == .raid5 ? 1 : 0
        guard missing.count <= survivable else {
            let roles = missing.map(String.init).joined(separator: ", ")
            throw ArrayStoreError(
                "the array in \(place) lacks member \(roles); a RAID \(scan.geometry.level.rawValue) "
                    + "array can do without \(survivable == 1 ? "one" : "none"): bring the files back", .tooManyMissing)
        }
        if !scan.newest.isClean && !missing.isEmpty && !force {
            throw ArrayStoreError(
                "the array in \(place) was not stopped cleanly and lacks member \(missing[0]); blocks "
                    + "that were being written may come back wrong: bring the member back, or accept that with --force",
                .dirtyAndDegraded)
        }
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
