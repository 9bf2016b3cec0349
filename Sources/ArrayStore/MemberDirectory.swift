import Glibc
import MemberIO
import RAID

/// A directory whose files are an array's members, known by their content and not by their names; or say where the
/// members are (`LinkedMember`).
enum MemberDirectory {
    /// Whether a file is locked when it is opened.
    enum Use {
        /// Not locked: somebody may change it meanwhile.
        case look
        /// Locked, and shared with others that only read.
        case read
        /// Locked for this process alone.
        case write
    }

    /// Opens every file in a directory that has an md superblock, and every member that a file names; hidden files are
    /// passed over. Members on other servers may still be connecting when this returns.
    /// - Parameter report: gets what happens to members on other servers.
    static func open(
        _ directory: String, for use: Use, report: @escaping @Sendable (String) -> Void
    ) throws(ArrayStoreError) -> [any PlacedMember] {
        var members: [any PlacedMember] = []
        for path in try paths(in: directory) {
            if path.hasSuffix(LinkedMember.fileExtension) {
                members.append(try LinkedMember(path: path, for: use, report: report))
            } else if let file = try openFile(path, for: use) {
                members.append(file)
            }
        }
        return members
    }

    /// The files that an array consists of, locked for this process alone. Other servers are not asked anything.
    static func lockFiles(in directory: String) throws(ArrayStoreError) -> [MemberFile] {
        var files: [MemberFile] = []
        for path in try paths(in: directory) {
            if path.hasSuffix(LinkedMember.fileExtension) {
                let file = try MemberFile(path: path, readOnly: false)
                try file.lock()
                files.append(file)
            } else if let file = try openFile(path, for: .write) {
                files.append(file)
            }
        }
        return files
    }

    /// Opens a file, unless it has no superblock.
    private static func openFile(_ path: String, for use: Use) throws(ArrayStoreError) -> MemberFile? {
        let file = try MemberFile(path: path, readOnly: use != .write)
        guard isMember(file) else { return nil }
        if use != .look { try file.lock() }
        return file
    }

    /// The regular files in a directory, sorted by name.
    private static func paths(in directory: String) throws(ArrayStoreError) -> [String] {
        guard let stream = opendir(directory) else {
            throw ArrayStoreError("cannot open the directory \(directory): \(String(cString: strerror(errno)))")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted().map { "\(directory)/\($0)" }.filter { path in
            var information = stat()
            return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
        }
    }

    /// Whether a file has an md superblock, of whatever state. One that cannot be read is left to those who read all of
    /// it.
    static func isMember(_ file: any MemberStore) -> Bool {
        guard file.byteCount >= MDSuperblock.byteOffset + UInt64(MDSuperblock.byteCount) else { return false }
        guard let bytes = try? file.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount) else {
            return true
        }
        do throws(MDSuperblock.Problem) {
            _ = try MDSuperblock(parsing: bytes)
            return true
        } catch { return error != .noMagic }
    }
}
