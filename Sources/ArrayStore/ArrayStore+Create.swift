import CLinux
import Glibc
import MemberIO
import RAID

extension ArrayStore {
    /// What a new array is to be.
    package struct Plan: Sendable {
        package var level: RAIDLevel
        package var memberCount: Int
        /// The array's size wanted, bytes; rounded up to whole stripes.
        package var byteCount: UInt64
        package var chunkByteCount: Int
        package var name: String
        /// RAID 0 has none but `.resync`.
        package var consistency: ArrayConsistency

        package init(
            level: RAIDLevel, memberCount: Int, byteCount: UInt64, chunkByteCount: Int, name: String,
            consistency: ArrayConsistency = .resync
        ) {
            self.level = level
            self.memberCount = memberCount
            self.byteCount = byteCount
            self.chunkByteCount = chunkByteCount
            self.name = name
            self.consistency = consistency
        }

        /// The shape of the array: whole stripes that hold the size wanted.
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

        /// The size of each member.
        package var memberByteCount: UInt64 { geometry.dataByteOffset + geometry.memberDataByteCount }
    }

    /// Makes the member files of an array: sparse, with superblocks, durable. All zeros are consistent parity, so the
    /// array is clean from the start.
    ///
    /// - Parameters:
    ///   - directory: made if it does not exist.
    ///   - force: an array that is there is removed first.
    /// - Throws: with nothing changed on disk.
    package static func create(
        directory: String, plan: Plan, force: Bool
    ) throws(ArrayStoreError) -> Description {
        try check(plan)
        let old = try existingMembers(directory: directory)
        if !old.isEmpty && !force {
            throw ArrayStoreError(
                "\(directory) already holds an array (\(old[0].path)); choose another directory, or "
                    + "overwrite it with --force")
        }
        if mkdir(directory, 0o755) != 0 && errno != EEXIST {
            throw ArrayStoreError("cannot make the directory \(directory): \(String(cString: strerror(errno)))")
        }
        try writeMembers(directory: directory, plan: plan, replacing: old.map(\.path))
        return try examine(directory: directory)
    }

    private static func check(_ plan: Plan) throws(ArrayStoreError) {
        let smallest = plan.level == .raid5 ? 3 : 2
        guard plan.memberCount >= smallest else {
            throw ArrayStoreError(
                "RAID \(plan.level.rawValue) needs at least \(smallest) members; say --members "
                    + "\(smallest) or more")
        }
        let largest = MDSuperblock.memberCountMax
        guard plan.memberCount <= largest else {
            throw ArrayStoreError("an array has at most \(largest) members; say --members \(largest) or less")
        }
        guard plan.level == .raid5 || plan.consistency == .resync else {
            throw ArrayStoreError(
                "RAID 0 has no parity that a bitmap or a log could keep right; leave --consistency out")
        }
        guard plan.chunkByteCount >= 4096, plan.chunkByteCount <= 64 << 20, plan.chunkByteCount.nonzeroBitCount == 1
        else {
            throw ArrayStoreError(
                "a chunk of \(plan.chunkByteCount) bytes is not possible; say a power of two from 4K to "
                    + "64M, such as --chunk 64K")
        }
        let stripe = UInt64(plan.chunkByteCount * (plan.memberCount - (plan.level == .raid5 ? 1 : 0)))
        guard plan.byteCount >= stripe else {
            throw ArrayStoreError("the array must be at least one stripe, \(stripe) bytes; say a larger --size")
        }
        guard plan.byteCount <= 1 << 60 else {
            throw ArrayStoreError("the array would be larger than 1 EiB; say a smaller --size")
        }
        guard !plan.name.isEmpty, plan.name.utf8.count <= 32,
            plan.name.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "/") })
        else {
            throw ArrayStoreError(
                "\"\(plan.name)\" cannot be an array's name; use up to 32 letters, digits, '-', '_' or "
                    + "'.' with --name")
        }
    }

    private static func existingMembers(directory: String) throws(ArrayStoreError) -> [MemberFile] {
        var information = stat()
        guard stat(directory, &information) == 0 else { return [] }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw ArrayStoreError("\(directory) is not a directory; choose another place")
        }
        return try MemberDirectory.open(directory, for: .write)
    }

    /// Makes all members under temporary names, then puts them in place, so that a failure changes nothing.
    private static func writeMembers(directory: String, plan: Plan, replacing old: [String]) throws(ArrayStoreError) {
        let roles = 0..<plan.memberCount
        let names = roles.map { "member-\($0).img" }
        let final = names.map { "\(directory)/\($0)" }
        let temporary = names.map { "\(directory)/.\($0).new" }
        for path in final where !old.contains(path) && access(path, F_OK) == 0 {
            throw ArrayStoreError("\(path) is there, and is no member of an array; move it away")
        }
        do throws(ArrayStoreError) {
            var members: [MemberFile] = []
            for path in temporary { members.append(try makeFile(path, plan)) }
            var generator = SystemRandomNumberGenerator()
            try format(members, plan: plan, time: UInt64(time(nil)), using: &generator)
        } catch {
            for path in temporary { unlink(path) }
            throw error
        }
        for path in old { unlink(path) }
        for role in roles { rename(temporary[role], final[role]) }
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY)
        fsync(descriptor)
        close(descriptor)
    }

    /// A sparse file of a member's size, whose room in front of the data exists on disk, so that later writes of
    /// metadata cannot fail for space.
    private static func makeFile(_ path: String, _ plan: Plan) throws(ArrayStoreError) -> MemberFile {
        func failure(_ doing: String, _ code: Int32) -> ArrayStoreError {
            let advice =
                code == EFBIG
                ? "the file system has no files of that size; say a smaller --size, or more --members"
                : "free some space"
            return ArrayStoreError("cannot \(doing) \(path): \(String(cString: strerror(code))); \(advice)")
        }
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("make", errno) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(plan.memberByteCount)) == 0 else { throw failure("set the size of", errno) }
        let metadata = Int64(min(plan.geometry.dataByteOffset, 2 << 20))
        let reserved = nbdext_reserve(descriptor, 0, metadata)
        guard reserved == 0 || reserved == -EOPNOTSUPP else { throw failure("reserve space in", -reserved) }
        guard fsync(descriptor) == 0 else { throw failure("write", errno) }
        return try MemberFile(path: path, readOnly: false)
    }

    /// Makes an array of members of zeros, durably: superblocks, and bitmaps or logs. All zeros are consistent parity,
    /// so it is clean from the start.
    /// - Parameters:
    ///   - members: by role, each of `plan.memberByteCount` bytes.
    ///   - time: seconds since 1970.
    ///   - generator: where UUIDs come from.
    package static func format(
        _ members: [any MemberStore], plan: Plan, time: UInt64, using generator: inout some RandomNumberGenerator
    ) throws(ArrayStoreError) {
        let geometry = plan.geometry
        let setUUID = randomUUID(using: &generator)
        for (role, member) in members.enumerated() {
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
            } catch { throw ArrayStoreError("cannot write \(member.name): \(error)", .memberIO) }
        }
    }

    /// A version 4 UUID.
    private static func randomUUID(using generator: inout some RandomNumberGenerator) -> [UInt8] {
        var uuid = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        uuid[6] = uuid[6] & 0x0F | 0x40
        uuid[8] = uuid[8] & 0x3F | 0x80
        return uuid
    }
}
