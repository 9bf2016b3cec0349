import CLinux
import Glibc
import MemberIO
import Members
import Platform

/// An open file that is a member of an array.
///
/// Threads: any. Engines use its descriptor.
package final class MemberFile: PlacedMember {
    /// The path by which the file was opened.
    package let path: String
    /// The file's descriptor, closed with this object.
    package let descriptor: Int32
    /// The size of the file in bytes when it was opened.
    package let byteCount: UInt64
    private let isReadOnly: Bool
    /// Identifies the file under any name.
    let identity: FileIdentity

    package var name: String { path }

    /// - Throws: `.unusable`, in words that fit after the file's name, when it cannot be opened or is not a regular
    ///   file.
    package convenience init(path: String, readOnly: Bool) throws(ArrayStoreError) {
        // Opening a FIFO, for example, must not wait for a process at its other end.
        let descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.openFailure(errno, path, readOnly: readOnly) }
        var information = stat()
        fstat(descriptor, &information)
        guard information.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ArrayStoreError("is not a regular file", .unusable)
        }
        // On an open file the flag would keep engines from waiting where they should.
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK)
        self.init(path: path, descriptor: descriptor, readOnly: readOnly)
    }

    /// - Parameter descriptor: the file's descriptor, which this object owns from now on.
    init(path: String, descriptor: Int32, readOnly: Bool) {
        self.descriptor = descriptor
        var information = stat()
        fstat(descriptor, &information)
        identity = FileIdentity(information)
        self.path = path
        isReadOnly = readOnly
        byteCount = UInt64(information.st_size)
    }

    deinit { close(descriptor) }

    private static func openFailure(_ code: Int32, _ path: String, readOnly: Bool) -> ArrayStoreError {
        let reason = String(cString: strerror(code))
        switch code {
        case EMFILE, ENFILE, ENOMEM:
            return ArrayStoreError("cannot open \(path): \(reason); raise the limit, or end something else")
        case EACCES where !readOnly && access(path, R_OK) == 0, EPERM where !readOnly && access(path, R_OK) == 0, EROFS:
            return ArrayStoreError("is read-only (\(reason)); serve it with --read-only", .unusable)
        case EISDIR: return ArrayStoreError("is not a regular file", .unusable)
        default: return ArrayStoreError("cannot be opened: \(reason)", .unusable)
        }
    }

    package var place: MemberPlace { .file(descriptor) }

    package var loss: MemberLoss? {
        var (own, found) = (stat(), stat())
        guard fstat(descriptor, &own) == 0 else { return nil }
        let isThere = stat(path, &found) == 0
        if isThere && FileIdentity(found) == identity { return nil }
        // Any other error says nothing about the file.
        guard isThere || errno == ENOENT || errno == ENOTDIR else { return nil }
        if own.st_nlink == 0 { return .unlinked(isThere ? "was replaced by another one" : "was deleted") }
        guard !isInDirectory else { return nil }
        return .unlinked(isThere ? "was replaced by another one" : "was moved away")
    }

    /// Whether the member would be found under another name, or its directory was renamed.
    private var isInDirectory: Bool {
        let directory = Directory.parent(of: path)
        guard let names = try? Directory.names(in: directory) else { return true }
        return names.contains { !$0.hasPrefix(".") && FileIdentity(path: "\(directory)/\($0)") == identity }
    }

    /// Locks the file exclusively, or shared if the member is read-only. The lock ends with the descriptor.
    package func lock() throws(ArrayStoreError) {
        guard isSoon({ nbdext_lock_file(descriptor, isReadOnly ? 0 : 1) == 0 }) else {
            throw ArrayStoreError(
                isOpenElsewhere
                    ? "\(path) is in use already: it is a member of another array of this server, or has another name there; "
                        + "each array needs files of its own"
                    : "\(path) is in use by another process; stop the server that has it, or serve it there")
        }
    }

    /// Whether this process has the file open under another descriptor too.
    private var isOpenElsewhere: Bool {
        let names = (try? Directory.names(in: "/proc/self/fd")) ?? []
        return names.compactMap { Int32($0) }.contains { other in
            var found = stat()
            return other != descriptor && fstat(other, &found) == 0 && FileIdentity(found) == identity
        }
    }

    /// Whether another process has locked the file.
    var isLocked: Bool { !isSoon { nbdext_is_locked(descriptor) == 0 } }

    /// How often to try before a lock counts as held: a process that is being started holds its parent's locks until it
    /// runs its own program.
    private static let lockAttempts = 20
    private static let lockPauseMicroseconds: UInt32 = 5000

    private func isSoon(_ isSo: () -> Bool) -> Bool {
        for _ in 1..<Self.lockAttempts {
            if isSo() { return true }
            usleep(Self.lockPauseMicroseconds)
        }
        return isSo()
    }

    /// Reserves disk space for the metadata in front of the data, so that later writes of it cannot fail for want of
    /// space. Does nothing where the file system cannot reserve.
    /// - Returns: 0, or an errno.
    static func reserveMetadata(_ descriptor: Int32, dataByteOffset: UInt64) -> Int32 {
        let result = nbdext_reserve(descriptor, 0, Int64(min(dataByteOffset, 2 << 20)))
        return result == -EOPNOTSUPP ? 0 : -result
    }

    package func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        var done = 0
        while done < memory.count {
            let count = pread(
                descriptor, memory.baseAddress! + done, memory.count - done, off_t(byteOffset) + off_t(done))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                guard errno == EIO else { throw Self.failure(errno) }
                throw MemberStoreError(.unreadable, String(cString: strerror(EIO)))
            }
            guard count > 0 else { throw MemberStoreError(.failed, "the file has ended") }
            done += count
        }
    }

    package func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        var done = 0
        while done < memory.count {
            let count = pwrite(
                descriptor, memory.baseAddress! + done, memory.count - done, off_t(byteOffset) + off_t(done))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(count < 0 ? errno : EIO) }
            done += count
        }
    }

    package func flush() throws(MemberStoreError) {
        guard fdatasync(descriptor) == 0 else {
            let failure = Self.failure(errno)
            throw failure.status == .refused ? MemberStoreError(.failed, failure.description) : failure
        }
    }

    package func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        let found = nbdext_seek_data(descriptor, Int64(byteOffset))
        if found >= 0 { return UInt64(found) }
        if found == Int64(-ENXIO) { return nil }
        // A file system that does not report holes.
        return byteOffset < byteCount ? byteOffset : nil
    }

    private static func failure(_ code: Int32) -> MemberStoreError {
        let status: MemberStatus =
            switch code {
            case ENOSPC, EDQUOT: .noSpace
            case EFAULT, EINVAL, ENOMEM: .refused
            default: .failed
            }
        return MemberStoreError(status, String(cString: strerror(code)))
    }
}

/// Identifies a file or directory under any name: its device and its inode number.
package struct FileIdentity: Hashable, Sendable {
    private let device: UInt64
    private let number: UInt64

    init(_ information: stat) {
        device = UInt64(information.st_dev)
        number = UInt64(information.st_ino)
    }

    /// - Returns: nil when the path leads nowhere.
    package init?(path: String) {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        self.init(information)
    }
}
