import CLinux
import Glibc
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

        package init(level: RAIDLevel, memberCount: Int, byteCount: UInt64, chunkByteCount: Int, name: String) {
            self.level = level
            self.memberCount = memberCount
            self.byteCount = byteCount
            self.chunkByteCount = chunkByteCount
            self.name = name
        }
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
        let geometry = geometry(of: plan)
        let old = try existingMembers(directory: directory)
        if !old.isEmpty && !force {
            throw ArrayStoreError(
                "\(directory) already holds an array (\(old[0].path)); choose another directory, or "
                    + "overwrite it with --force")
        }
        if mkdir(directory, 0o755) != 0 && errno != EEXIST {
            throw ArrayStoreError("cannot make the directory \(directory): \(String(cString: strerror(errno)))")
        }
        try writeMembers(directory: directory, geometry: geometry, name: plan.name, replacing: old.map(\.path))
        return try examine(directory: directory)
    }

    private static func check(_ plan: Plan) throws(ArrayStoreError) {
        let smallest = plan.level == .raid5 ? 3 : 2
        guard plan.memberCount >= smallest else {
            throw ArrayStoreError(
                "RAID \(plan.level.rawValue) needs at least \(smallest) members; say --members "
                    + "\(smallest) or more")
        }
        guard plan.memberCount <= memberCountMax else {
            throw ArrayStoreError(
                "an array has at most \(memberCountMax) members; say --members \(memberCountMax) or less")
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

    private static func geometry(of plan: Plan) -> ArrayGeometry {
        let columns = UInt64(plan.memberCount - (plan.level == .raid5 ? 1 : 0))
        let chunk = UInt64(plan.chunkByteCount)
        let stripes = (plan.byteCount + chunk * columns - 1) / (chunk * columns)
        let offset = MDSuperblock.dataByteOffset(
            memberDataByteCount: stripes * chunk, chunkByteCount: plan.chunkByteCount)
        return ArrayGeometry(
            level: plan.level, memberCount: plan.memberCount, chunkByteCount: plan.chunkByteCount,
            memberDataByteCount: stripes * chunk, dataByteOffset: offset)
    }

    private static func existingMembers(directory: String) throws(ArrayStoreError) -> [MemberFile] {
        var information = stat()
        guard stat(directory, &information) == 0 else { return [] }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw ArrayStoreError("\(directory) is not a directory; choose another place")
        }
        return try MemberDirectory.open(directory, for: .write)
    }

    /// Writes all members under temporary names, then puts them in place, so that a failure changes nothing.
    private static func writeMembers(
        directory: String, geometry: ArrayGeometry, name: String, replacing old: [String]
    ) throws(ArrayStoreError) {
        let memberByteCount = geometry.dataByteOffset + geometry.memberDataByteCount
        let setUUID = randomUUID()
        let now = UInt64(time(nil))
        var written: [String] = []
        do {
            for role in 0..<geometry.memberCount {
                let path = "\(directory)/.member-\(role).img.new"
                written.append(path)
                let superblock = MDSuperblock(
                    geometry: geometry, memberByteCount: memberByteCount, name: name, setUUID: setUUID,
                    deviceUUID: randomUUID(), role: role, time: now)
                try writeMember(path, superblock, byteCount: memberByteCount)
            }
        } catch {
            for path in written { unlink(path) }
            throw error
        }
        for path in old { unlink(path) }
        for role in 0..<geometry.memberCount {
            rename("\(directory)/.member-\(role).img.new", "\(directory)/member-\(role).img")
        }
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY)
        fsync(descriptor)
        close(descriptor)
    }

    private static func writeMember(
        _ path: String, _ superblock: MDSuperblock, byteCount: UInt64
    ) throws(ArrayStoreError) {
        func failure(_ doing: String) -> ArrayStoreError {
            let code = errno
            let advice =
                code == EFBIG
                ? "the file system has no files of that size; say a smaller --size, or more --members"
                : "free some space"
            return ArrayStoreError("cannot \(doing) \(path): \(String(cString: strerror(code))); \(advice)")
        }
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("make") }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else { throw failure("set the size of") }
        var sealed = superblock
        sealed.seal()
        // The room in front of the data exists on disk, so that later metadata writes cannot fail for space.
        let metadata = Int64(min(superblock.dataOffsetSectors * 512, 1 << 20))
        let reserved = nbdext_reserve(descriptor, 0, metadata)
        guard reserved == 0 || reserved == -EOPNOTSUPP else {
            errno = -reserved
            throw failure("reserve space in")
        }
        guard
            pwrite(descriptor, sealed.bytes, sealed.bytes.count, off_t(MDSuperblock.byteOffset)) == sealed.bytes.count,
            fsync(descriptor) == 0
        else { throw failure("write") }
    }

    /// A version 4 UUID.
    private static func randomUUID() -> [UInt8] {
        var uuid = (0..<16).map { _ in UInt8.random(in: 0...255) }
        uuid[6] = uuid[6] & 0x0F | 0x40
        uuid[8] = uuid[8] & 0x3F | 0x80
        return uuid
    }
}
