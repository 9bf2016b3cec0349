import Glibc
import MDFormat
import MemberIO
import Platform
import RAID

/// A directory whose files are an array's members, or name them (`LinkedMember`). Members are recognised by their
/// content, not by their names.
enum MemberDirectory {
    /// Whether a file is locked when it is opened.
    enum Use {
        /// Not locked: other processes may change it meanwhile.
        case look
        /// Locked, and shared with other readers.
        case read
        /// Locked exclusively.
        case write
    }

    /// Opens every file in a directory that has an md superblock of version 1.2, and every member that a file names.
    /// Hidden files are skipped. A file that may be a member and cannot be opened becomes an `UnusableMember`. Members
    /// on other servers may still be connecting when this returns.
    /// - Parameters:
    ///   - connects: whether to connect to other servers.
    ///   - mayWait: whether the array may wait for lost servers.
    ///   - report: takes messages about members on other servers.
    /// - Throws: also when all superblocks are of other versions.
    static func open(
        _ directory: String, for use: Use, connects: Bool = true, mayWait: Bool = false,
        report: @escaping MessageSink
    ) throws(ArrayStoreError) -> [any PlacedMember] {
        var members: [any PlacedMember] = []
        var foreign: String?
        var names: [FileIdentity: String] = [:]
        let paths = try paths(in: directory)
        for path in paths {
            do throws(ArrayStoreError) {
                let isLink = path.hasSuffix(LinkedMember.fileExtension)
                guard let file = try open(path, for: use) else { continue }
                guard isLink || isMember(file) else {
                    if let version = ForeignMetadata.version(on: file) {
                        foreign = foreign ?? "\(path) has md metadata of version \(version)"
                    }
                    continue
                }
                if let other = names.updateValue(path, forKey: file.identity) {
                    throw ArrayStoreError("is the same file as \(other), under another name", .unusable)
                }
                if use != .look { try file.lock() }
                if !isLink {
                    members.append(file)
                } else if connects {
                    members.append(try LinkedMember(file, for: use, mayWait: mayWait, report: report))
                } else {
                    throw ArrayStoreError("is not asked while the array is being served", .unusable)
                }
            } catch {
                guard error.kind == .unusable else { throw error }
                members.append(UnusableMember(path, error.description))
            }
        }
        if let foreign, members.allSatisfy({ $0 is UnusableMember }) {
            throw ArrayStoreError("\(foreign), and only 1.2 is supported; serve the array with Linux md")
        }
        guard !members.isEmpty || paths.isEmpty else {
            throw ArrayStoreError(
                "\(directory) holds no array: no file there has an md superblock of version 1.2; name the directory that "
                    + "holds the members")
        }
        return members
    }

    /// - Returns: nil for a file that can be read and is not a member.
    private static func open(_ path: String, for use: Use) throws(ArrayStoreError) -> MemberFile? {
        do throws(ArrayStoreError) { return try MemberFile(path: path, readOnly: use != .write) } catch {
            guard error.kind == .unusable, use == .write, !path.hasSuffix(LinkedMember.fileExtension),
                let file = try? MemberFile(path: path, readOnly: true), !isMember(file)
            else { throw error }
            return nil
        }
    }

    /// Whether somebody serves the array in a directory: one of its files is locked.
    static func isServed(_ directory: String) throws(ArrayStoreError) -> Bool {
        try paths(in: directory).contains { path in
            guard let file = try? MemberFile(path: path, readOnly: true) else { return false }
            return file.isLocked && (path.hasSuffix(LinkedMember.fileExtension) || isMember(file))
        }
    }

    /// Opens the files of an array and locks them exclusively. Does not connect to other servers.
    static func lockFiles(in directory: String) throws(ArrayStoreError) -> [MemberFile] {
        var files: [MemberFile] = []
        for path in try paths(in: directory) {
            let file: MemberFile
            do throws(ArrayStoreError) { file = try MemberFile(path: path, readOnly: false) } catch {
                throw error.kind == .unusable ? ArrayStoreError("\(path) \(error); move it away") : error
            }
            guard !files.contains(where: { $0.identity == file.identity }) else { continue }
            if path.hasSuffix(LinkedMember.fileExtension) || isMember(file) {
                try file.lock()
                files.append(file)
            } else if let version = ForeignMetadata.version(on: file) {
                throw ArrayStoreError("\(path) is a member in md's version \(version); move it away")
            }
        }
        return files
    }

    /// A warning for the user about a directory that others may write to; nil if it is safe.
    /// - Parameter isElsewhere: whether a link leads to the directory, instead of every file in it counting as the
    ///   array's.
    static func warning(_ directory: OpenDirectory, isElsewhere: Bool) -> String? {
        directory.otherWriters(othersFilesAreSafe: isElsewhere).map {
            "\(directory.path) may be written to by \($0), who can therefore replace the array's members; make sure that "
                + "you trust them, or use a directory of your own (chown, chmod go-w)"
        }
    }

    /// Warnings for the user about the directories of members that are files.
    static func warnings(_ directory: String, _ members: [any PlacedMember]) -> [String] {
        let folders = members.compactMap { Directory.resolve($0.path) }.map { Directory.parent(of: $0) }
        let own = Directory.resolve(directory) ?? directory
        return Set(folders + [own]).sorted().compactMap { path in
            (try? OpenDirectory(path)).flatMap { warning($0, isElsewhere: path != own) }
        }
    }

    /// Makes the names in a directory durable, if the directory can be opened.
    static func flush(_ directory: String) {
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    /// The file in a directory that names an export; nil without one.
    static func link(to uri: String, in directory: String) throws(ArrayStoreError) -> String? {
        for path in try paths(in: directory) where path.hasSuffix(LinkedMember.fileExtension) {
            guard let file = try? MemberFile(path: path, readOnly: true) else { continue }
            if (try? LinkedMember.readURI(file)) == uri { return path }
        }
        return nil
    }

    /// The paths in a directory that may be members, sorted by name. Sockets are left out, and so are directories
    /// unless they have a member's name.
    private static func paths(in directory: String) throws(ArrayStoreError) -> [String] {
        var names: [String]
        do throws(OSError) {
            names = try Directory.names(in: directory)
        } catch { throw ArrayStoreError(error.description) }
        names.removeAll { $0.hasPrefix(".") }
        return names.sorted().map { "\(directory)/\($0)" }.filter { path in
            var information = stat()
            guard stat(path, &information) == 0 || lstat(path, &information) == 0 else { return false }
            switch information.st_mode & S_IFMT {
            case S_IFSOCK: return false
            case S_IFDIR: return path.hasSuffix(".img") || path.hasSuffix(LinkedMember.fileExtension)
            default: return path != "\(directory)/\(controlName)"
            }
        }
    }

    /// The name of the control socket of an array's server, or of a link to it.
    static let controlName = "nbdext.control"

    /// Whether a member has an md superblock, valid or not. True if the superblock cannot be read, so that `MemberScan`
    /// judges it.
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
