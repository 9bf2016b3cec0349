import CLinux
import Glibc
import MemberIO
import Members
import Platform

/// An open file that is a member of an array.
///
/// Threads: any. Its descriptor is what engines work on.
package final class MemberFile: PlacedMember {
    package let path: String
    package let descriptor: Int32
    package let byteCount: UInt64
    private let isReadOnly: Bool
    /// Which file it is, whatever it is called.
    let identity: FileIdentity

    package var name: String { path }

    /// - Throws: `.unusable`, in words that fit after the file's name, when it cannot be opened or is no regular file.
    package convenience init(path: String, readOnly: Bool) throws(ArrayStoreError) {
        // What is no file must not make anybody wait for somebody at its other end.
        let descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.openFailure(errno, path, readOnly: readOnly) }
        var information = stat()
        fstat(descriptor, &information)
        guard information.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ArrayStoreError("is not a regular file", .unusable)
        }
        // On a file, engines would not wait where they should.
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK)
        self.init(path: path, descriptor: descriptor, readOnly: readOnly)
    }

    /// - Parameter descriptor: of the file, which it owns from now on.
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
            return ArrayStoreError("can only be read (\(reason)); --read-only serves such members", .unusable)
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
        // An error that says nothing of the file.
        guard isThere || errno == ENOENT || errno == ENOTDIR else { return nil }
        if own.st_nlink == 0 { return .unlinked(isThere ? "was replaced by another one" : "was deleted") }
        guard !isInDirectory else { return nil }
        return .unlinked(isThere ? "was replaced by another one" : "was moved away")
    }

    /// Whether the member would be found under another name, or the directory itself has got another one.
    private var isInDirectory: Bool {
        let directory = Directory.parent(of: path)
        guard let names = try? Directory.names(in: directory) else { return true }
        return names.contains { !$0.hasPrefix(".") && FileIdentity(path: "\(directory)/\($0)") == identity }
    }

    /// Takes the file for this process, or shares it with others that only read. The lock goes with the descriptor.
    package func lock() throws(ArrayStoreError) {
        guard isSoon({ nbdext_lock_file(descriptor, isReadOnly ? 0 : 1) == 0 }) else {
            throw ArrayStoreError(
                isOpenElsewhere
                    ? "\(path) is in use already: it is a member of another array of this server, or has another name there; "
                        + "each array needs files of its own"
                    : "\(path) is in use by another process; stop the server that has it, or serve it there")
        }
    }

    /// Whether this process has the file under another descriptor too.
    private var isOpenElsewhere: Bool {
        let names = (try? Directory.names(in: "/proc/self/fd")) ?? []
        return names.compactMap { Int32($0) }.contains { other in
            var found = stat()
            return other != descriptor && fstat(other, &found) == 0 && FileIdentity(found) == identity
        }
    }

    /// Whether somebody has locked the file.
    var isLocked: Bool { !isSoon { nbdext_is_locked(descriptor) == 0 } }

    /// How often to look whether somebody lets go of a lock: a process that is just being started has its parent's until it
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

    /// Lets the room in front of the data exist on disk, so that later writes of metadata cannot fail for space. Where
    /// the file system cannot do that, nothing happens.
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
        // A file system that does not know holes.
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

/// Which file or directory something is, whatever it is called.
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
