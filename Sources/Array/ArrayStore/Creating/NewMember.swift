import Glibc
import MDFormat
import MemberIO
import Platform
import RAID
import RemoteMembers

/// Where a member of a new array goes.
package enum MemberLocation: Sendable, Equatable {
    /// A sparse file to be made. A bare name is a file in the array's directory. A path is a file elsewhere, and a
    /// symbolic link in the directory leads to it.
    case file(String)
    /// An export of an NBD server. A file in the array's directory names it.
    case export(uri: String)

    /// Takes what the user has written: an NBD URI, a name or a path.
    package init(_ text: String) { self = LinkedMember.isURI(text) ? .export(uri: text) : .file(text) }
}

/// A member of an array that is being made. Nothing that exists is touched before `make`, and no existing file before
/// `putInPlace`.
///
/// Threads: one at a time.
final class NewMember {
    /// The member's name in messages.
    let name: String
    /// The file in the array's directory that is the member or leads to it.
    private let entry: String
    private let role: Role
    /// The path of the member's file; nil for an export.
    private let file: String?
    private let remote: RemoteMember?
    /// The directory in which `make` has made a file under a temporary name.
    private var made: OpenDirectory?

    /// Begins to connect if the member is an export.
    init(_ location: MemberLocation, role: Role, directory: String) throws(ArrayStoreError) {
        self.role = role
        switch location {
        case .file(let name) where !name.contains("/"):
            guard !name.isEmpty, !name.hasPrefix("."), !name.hasSuffix(LinkedMember.fileExtension) else {
                throw ArrayStoreError(
                    "\"\(name)\" cannot be a member's name: it must not begin with '.' nor end with "
                        + "\(LinkedMember.fileExtension)")
            }
            entry = "\(directory)/\(name)"
            file = entry
            self.name = entry
            remote = nil
        case .file(let path):
            entry = "\(directory)/member-\(role).img"
            file = try Self.absolute(path)
            name = path
            remote = nil
        case .export(let uri):
            entry = "\(directory)/member-\(role)\(LinkedMember.fileExtension)"
            file = nil
            name = uri
            do throws(OSError) {
                remote = try RemoteMember(uri: uri, readOnly: false, report: { writeMessage($0, level: $1) })
            } catch { throw ArrayStoreError("cannot begin to connect to \(uri): \(error)") }
        }
    }

    private static func absolute(_ path: String) throws(ArrayStoreError) -> String {
        guard !path.contains("://") else {
            throw ArrayStoreError("\(path) is not an NBD URI; use one such as nbd://host/export, or a file's path")
        }
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        let folder = String(path.dropLast(name.utf8.count))
        guard !name.isEmpty, path.hasSuffix(name), let resolved = Directory.resolve(folder) else {
            throw ArrayStoreError("the directory of the member \(path) does not exist; make it first")
        }
        return "\(resolved)/\(name)"
    }

    // MARK: Before anything is written

    /// What no two members may have in common.
    var identity: String { file ?? name }

    /// Checks that the member can be made. Blocks until an export was reached or its time was up.
    /// - Parameters:
    ///   - byteCount: the size of the member.
    ///   - replaced: files that will be removed, by all of their names.
    ///   - force: whether an existing member may be overwritten.
    func check(byteCount: UInt64, replaced: Set<String>, force: Bool) throws(ArrayStoreError) {
        guard let remote else { return try checkFiles(replaced: replaced, force: force) }
        if let absence = remote.absence { throw ArrayStoreError("\(name) is \(absence)") }
        guard remote.byteCount >= byteCount else {
            throw ArrayStoreError(
                "\(name) is too small: it has \(remote.byteCount) bytes, and a member of this array needs \(byteCount); "
                    + "make the export larger, or use a smaller --size")
        }
        guard force || !MemberDirectory.isMember(remote) else {
            throw ArrayStoreError(
                "\(name) already is a member of an array; name another one (--force would destroy it)")
        }
        // The files of an array that is being served are locked. Exports cannot be locked.
        if let own = OpenedArray.superblock(of: remote), !own.isClean {
            throw ArrayStoreError(
                "\(name) is a member of the array \(ArrayStore.name(of: own)), which somebody serves or which was not "
                    + "stopped cleanly; stop it first, or name another export")
        }
    }

    private func checkFiles(replaced: Set<String>, force: Bool) throws(ArrayStoreError) {
        for path in Set([entry, file!]) where !replaced.contains(path) {
            var information = stat()
            guard lstat(path, &information) == 0 else { continue }
            let member: MemberFile?
            do throws(ArrayStoreError) { member = try MemberFile(path: path, readOnly: false) } catch {
                guard error.kind == .unusable else { throw error }
                member = nil
            }
            guard information.st_mode & S_IFMT == S_IFREG, let member, MemberDirectory.isMember(member) else {
                throw ArrayStoreError("\(path) exists and is not a member of an array; move it away")
            }
            guard force else {
                throw ArrayStoreError(
                    "\(path) already is a member of an array; name another one (--force would destroy it)")
            }
            try member.lock()
        }
    }

    // MARK: Making it

    /// Makes a member of zeros: a file under a temporary name, or an export, which is cleared.
    func make(_ plan: ArrayStore.Plan) throws(ArrayStoreError) -> any MemberStore {
        guard let remote else { return try makeFile(plan) }
        do throws(MemberStoreError) {
            try remote.clear(upTo: plan.memberByteCount)
        } catch {
            throw ArrayStoreError(
                "cannot clear \(name): \(error); part of its data is lost, and no array was made", cause: error)
        }
        let descriptor = try makeTemporary()
        defer { close(descriptor) }
        try Self.write(name + "\n", to: descriptor, for: entry)
        return remote
    }

    /// Gives the files their names.
    func putInPlace() {
        try? made?.rename(temporaryName, to: fileName)
        if let file, file != entry {
            unlink(entry)
            symlink(file, entry)
        }
    }

    /// Removes the file that `make` has made. The content of an export is lost all the same.
    func abandon() { made?.remove(temporaryName) }

    /// A warning for the user about the directory of the member's file; nil if it is safe.
    var warning: String? { made.flatMap { MemberDirectory.warning($0, isElsewhere: file != nil && file != entry) } }

    /// The name of the file that is made.
    private var fileName: String { String((file ?? entry).split(separator: "/").last!) }
    private var temporaryName: String { ".\(fileName).new" }

    private func makeTemporary() throws(ArrayStoreError) -> Int32 {
        do throws(OSError) {
            let directory = try OpenDirectory.of(file: file ?? entry).directory
            let descriptor = try directory.makeTemporary(temporaryName)
            made = directory
            return descriptor
        } catch { throw Self.failure("make", file ?? entry, error.code) }
    }

    /// - Parameter name: the file's name in messages.
    static func write(_ text: String, to descriptor: Int32, for name: String) throws(ArrayStoreError) {
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            throw failure("write", name, errno)
        }
    }

    /// Makes a sparse file of a member's size, with space reserved for its metadata.
    private func makeFile(_ plan: ArrayStore.Plan) throws(ArrayStoreError) -> MemberFile {
        let descriptor = try makeTemporary()
        do throws(ArrayStoreError) { try Self.shape(descriptor, plan, for: file!) } catch {
            close(descriptor)
            throw error
        }
        return MemberFile(path: "\(made!.path)/\(temporaryName)", descriptor: descriptor, readOnly: false)
    }

    private static func shape(
        _ descriptor: Int32, _ plan: ArrayStore.Plan, for name: String
    ) throws(ArrayStoreError) {
        guard ftruncate(descriptor, off_t(plan.memberByteCount)) == 0 else {
            throw failure("set the size of", name, errno)
        }
        let code = MemberFile.reserveMetadata(descriptor, dataByteOffset: plan.geometry.dataByteOffset)
        guard code == 0 else { throw failure("reserve space in", name, code) }
        guard fsync(descriptor) == 0 else { throw failure("write", name, errno) }
    }

    private static func failure(_ doing: String, _ path: String, _ code: Int32) -> ArrayStoreError {
        let advice =
            switch code {
            case EFBIG: "the file system does not allow files of that size; use a smaller --size, or more --members"
            case ENOSPC, EDQUOT: "free some space"
            default: "check that its directory is writable"
            }
        return ArrayStoreError("cannot \(doing) \(path): \(String(cString: strerror(code))); \(advice)")
    }
}
