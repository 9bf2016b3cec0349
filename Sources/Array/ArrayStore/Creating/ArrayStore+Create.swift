import Glibc
import MDFormat
import MemberIO
import Platform
import RAID

extension ArrayStore {
    /// The wanted properties of a new array.
    package struct Plan: Sendable {
        /// RAID 0 or RAID 5.
        package var level: RAIDLevel
        /// Where the members go, by role.
        package var members: [MemberLocation]
        /// The wanted size of the array in bytes; rounded up to whole stripes.
        package var byteCount: UInt64
        /// The size of a chunk in bytes: a power of two from 4 KiB to 64 MiB.
        package var chunkByteCount: Int
        /// The name of the array, with or without a host in front ("HOST:NAME").
        package var name: String
        /// How parity becomes right after a crash. RAID 0 has no parity, and only `.resync` is possible.
        package var consistency: ArrayConsistency

        package init(
            level: RAIDLevel, members: [MemberLocation], byteCount: UInt64, chunkByteCount: Int, name: String,
            consistency: ArrayConsistency = .resync
        ) {
            self.level = level
            self.members = members
            self.byteCount = byteCount
            self.chunkByteCount = chunkByteCount
            self.name = name
            self.consistency = consistency
        }

        /// A plan whose members are all files in the array's directory.
        package init(
            level: RAIDLevel, memberCount: Int, byteCount: UInt64, chunkByteCount: Int, name: String,
            consistency: ArrayConsistency = .resync
        ) {
            let members = (0..<max(0, memberCount)).map { MemberLocation.file("member-\($0).img") }
            self.init(
                level: level, members: members, byteCount: byteCount, chunkByteCount: chunkByteCount, name: name,
                consistency: consistency)
        }

        /// The number of members, that of the parity included.
        package var memberCount: Int { members.count }

        /// The array's shape: as many whole stripes as the wanted size needs.
        package var geometry: ArrayGeometry {
            let columns = UInt64(memberCount - (level == .raid5 ? 1 : 0))
            let chunk = UInt64(chunkByteCount)
            let stripes = (byteCount + chunk * columns - 1) / (chunk * columns)
            let offset = MDSuperblock.dataByteOffset(
                memberDataByteCount: stripes * chunk, chunkByteCount: chunkByteCount, consistency: consistency)
            return ArrayGeometry(
                level: level, memberCount: memberCount, chunkByteCount: chunkByteCount,
                memberDataByteCount: stripes * chunk, dataByteOffset: offset)
        }

        /// The size of each member in bytes, including its metadata.
        package var memberByteCount: UInt64 { geometry.dataByteOffset + geometry.memberDataByteCount }
    }

    /// Makes the members of an array, durably: sparse files or cleared exports, with superblocks. All zeros are
    /// consistent parity, so the array is clean from the start.
    ///
    /// - Parameters:
    ///   - directory: created for its owner alone if it does not exist.
    ///   - force: whether an array in the directory is removed first, and existing members in the new members' places
    ///     are overwritten.
    /// - Throws: with no file changed. Exports are changed only after all other checks have passed.
    package static func create(
        directory: String, plan: Plan, force: Bool
    ) throws(ArrayStoreError) -> ArrayDescription {
        try check(plan)
        let old = try existingFiles(directory: directory)
        if !old.isEmpty && !force {
            throw ArrayStoreError(
                "\(directory) already holds an array (\(old[0].path)); choose another directory "
                    + "(--force would destroy that array)")
        }
        try make(directory: directory, plan: plan, replacing: old.map(\.path), force: force)
        return try examine(directory: directory)
    }

    /// Closes the members before it returns, because a server may take only one client at a time.
    private static func make(
        directory: String, plan: Plan, replacing old: [String], force: Bool
    ) throws(ArrayStoreError) {
        var members: [NewMember] = []
        for (role, location) in zip(Roles(count: plan.members.count), plan.members) {
            members.append(try NewMember(location, role: role, directory: directory))
        }
        try checkAreDifferent(members)
        let replaced = Set(old).union(old.compactMap { Directory.resolve($0) })
        for member in members { try member.check(byteCount: plan.memberByteCount, replaced: replaced, force: force) }
        let isNew = mkdir(directory, 0o700) == 0
        guard isNew || errno == EEXIST else {
            throw ArrayStoreError("cannot make the directory \(directory): \(String(cString: strerror(errno)))")
        }
        do throws(ArrayStoreError) {
            try write(members, plan: plan)
        } catch {
            // It stays if somebody has put something into it in the meantime.
            if isNew { rmdir(directory) }
            throw error
        }
        for path in old { unlink(path) }
        for member in members { member.putInPlace() }
        MemberDirectory.flush(directory)
        for warning in Set(members.compactMap(\.warning)).sorted() { writeMessage(warning, level: .warning) }
    }

    private static func check(_ plan: Plan) throws(ArrayStoreError) {
        let smallest = plan.level == .raid5 ? 3 : 2
        guard plan.memberCount >= smallest else {
            throw ArrayStoreError(
                "RAID \(plan.level.rawValue) needs at least \(smallest) members; ask for \(smallest) or more")
        }
        let largest = MDSuperblock.memberCountMax
        guard plan.memberCount <= largest else {
            throw ArrayStoreError("an array has at most \(largest) members; ask for \(largest) or fewer")
        }
        guard plan.level == .raid5 || plan.consistency == .resync else {
            throw ArrayStoreError(
                "RAID 0 has no parity to protect; leave out --consistency")
        }
        guard plan.chunkByteCount >= 4096, plan.chunkByteCount <= 64 << 20, plan.chunkByteCount.nonzeroBitCount == 1
        else {
            throw ArrayStoreError(
                "a chunk of \(plan.chunkByteCount) bytes is not possible; use a power of two from 4K to "
                    + "64M, such as --chunk 64K")
        }
        let stripe = UInt64(plan.chunkByteCount * (plan.memberCount - (plan.level == .raid5 ? 1 : 0)))
        guard plan.byteCount >= stripe else {
            throw ArrayStoreError("the array must be at least one stripe, \(stripe) bytes; use a larger --size")
        }
        guard plan.byteCount <= 1 << 60 else {
            throw ArrayStoreError("the array would be larger than 1 EiB; use a smaller --size")
        }
        try checkName(plan.name)
    }

    private static func existingFiles(directory: String) throws(ArrayStoreError) -> [MemberFile] {
        var information = stat()
        guard stat(directory, &information) == 0 else { return [] }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw ArrayStoreError("\(directory) is not a directory; choose another place")
        }
        return try MemberDirectory.lockFiles(in: directory)
    }

    /// Writes all members. Files have temporary names.
    private static func write(_ members: [NewMember], plan: Plan) throws(ArrayStoreError) {
        do throws(ArrayStoreError) {
            var stores: [any MemberStore] = []
            for member in members { stores.append(try member.make(plan)) }
            var generator = SystemRandomNumberGenerator()
            try format(stores, plan: plan, time: UInt64(time(nil)), using: &generator)
        } catch {
            for member in members { member.abandon() }
            throw error
        }
    }

    private static func checkAreDifferent(_ members: [NewMember]) throws(ArrayStoreError) {
        var seen: Set<String> = []
        for member in members where !seen.insert(member.identity).inserted {
            throw ArrayStoreError("\(member.name) is named twice; each member needs a place of its own")
        }
    }

    /// Writes the metadata of an array onto members of zeros, durably: superblocks, and bitmaps or logs. All zeros are
    /// consistent parity, so the array is clean from the start.
    /// - Parameters:
    ///   - members: the members by role, each of `plan.memberByteCount` bytes.
    ///   - time: seconds since 1970.
    ///   - generator: the source of the UUIDs.
    package static func format(
        _ members: [any MemberStore], plan: Plan, time: UInt64, using generator: inout some RandomNumberGenerator
    ) throws(ArrayStoreError) {
        let geometry = plan.geometry
        let setUUID = randomUUID(using: &generator)
        for (role, member) in zip(geometry.roles, members) {
            var superblock = MDSuperblock(
                geometry: geometry, memberByteCount: plan.memberByteCount, name: plan.name, setUUID: setUUID,
                deviceUUID: randomUUID(using: &generator), role: role, time: time, consistency: plan.consistency)
            superblock.seal()
            do throws(MemberStoreError) {
                if let offset = superblock.bitmapByteOffset {
                    let area = MDSuperblock.bitmapAreaByteCount(memberDataByteCount: geometry.memberDataByteCount)
                    let bitmap = MDBitmap(
                        setUUID: setUUID, syncSectors: geometry.memberDataByteCount / 512, areaByteCount: Int(area),
                        events: superblock.events)
                    try member.write(bytes: bitmap.encoded, at: offset)
                }
                if let range = superblock.partialParityLogRange {
                    let header = MDPartialParityLog().encoded(signature: MDPartialParityLog.signature(setUUID: setUUID))
                    try member.write(bytes: header, at: range.lowerBound)
                }
                try member.write(bytes: superblock.bytes, at: MDSuperblock.byteOffset)
                try member.flush()
            } catch { throw ArrayStoreError("cannot write \(member.name): \(error)", cause: error) }
        }
    }

    /// A random UUID, version 4 (RFC 9562, 5.4).
    static func randomUUID(using generator: inout some RandomNumberGenerator) -> [UInt8] {
        var uuid = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        uuid[6] = uuid[6] & 0x0F | 0x40
        uuid[8] = uuid[8] & 0x3F | 0x80
        return uuid
    }
}
