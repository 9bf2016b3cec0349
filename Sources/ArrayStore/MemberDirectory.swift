import Glibc
import MemberIO
import Platform
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

    /// Opens every file in a directory that has an md superblock of version 1.2, and every member that a file names;
    /// hidden files are passed over. Members on other servers may still be connecting when this returns.
    /// - Parameter report: gets what happens to members on other servers.
    /// - Throws: also when the only superblocks are of other versions.
    static func open(
        _ directory: String, for use: Use, report: @escaping @Sendable (String) -> Void
    ) throws(ArrayStoreError) -> [any PlacedMember] {
        var members: [any PlacedMember] = []
        var foreign: String?
        for path in try paths(in: directory) {
            if path.hasSuffix(LinkedMember.fileExtension) {
                members.append(try LinkedMember(path: path, for: use, report: report))
                continue
            }
            let file = try MemberFile(path: path, readOnly: use != .write)
            if isMember(file) {
                if use != .look { try file.lock() }
                members.append(file)
            } else if let version = ForeignMetadata.version(on: file) {
                foreign = foreign ?? "\(path) has md metadata of version \(version)"
            }
        }
        if let foreign, members.isEmpty {
            throw ArrayStoreError("\(foreign), and version 1.2 is served; serve the array with Linux md")
        }
        return members
    }

    /// The files that an array consists of, locked for this process alone. Other servers are not asked anything.
    static func lockFiles(in directory: String) throws(ArrayStoreError) -> [MemberFile] {
        var files: [MemberFile] = []
        for path in try paths(in: directory) {
            let file = try MemberFile(path: path, readOnly: false)
            if path.hasSuffix(LinkedMember.fileExtension) || isMember(file) {
                try file.lock()
                files.append(file)
            } else if let version = ForeignMetadata.version(on: file) {
                throw ArrayStoreError("\(path) is a member in md's version \(version); move it away")
            }
        }
        return files
    }

    /// Makes the names in a directory durable, as far as it lets itself be opened.
    static func flush(_ directory: String) {
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    /// The file in a directory that names an export, or nil.
    static func link(to uri: String, in directory: String) throws(ArrayStoreError) -> String? {
        for path in try paths(in: directory) where path.hasSuffix(LinkedMember.fileExtension) {
            let file = try MemberFile(path: path, readOnly: true)
            if (try? LinkedMember.readURI(file)) == uri { return path }
        }
        return nil
    }

    /// The regular files in a directory, sorted by name.
    private static func paths(in directory: String) throws(ArrayStoreError) -> [String] {
        var names: [String]
        do throws(OSError) {
            names = try Directory.names(in: directory)
        } catch { throw ArrayStoreError(error.description) }
        names.removeAll { $0.hasPrefix(".") }
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
