import CLinux
import Glibc
import MemberIO
import Members

/// An open file that is a member of an array.
///
/// Threads: any. Its descriptor is what engines work on.
package final class MemberFile: PlacedMember {
    package let path: String
    package let descriptor: Int32
    package let byteCount: UInt64
    private let isReadOnly: Bool

    package var name: String { path }

    /// - Throws: when the file cannot be opened, or is none: a FIFO or a device of that name is not waited for.
    package init(path: String, readOnly: Bool) throws(ArrayStoreError) {
        let descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw ArrayStoreError("cannot open \(path): \(String(cString: strerror(errno))); check its permissions")
        }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ArrayStoreError("\(path) is not a file; name one that is, or that is to be made")
        }
        self.descriptor = descriptor
        self.path = path
        isReadOnly = readOnly
        byteCount = UInt64(information.st_size)
    }

    deinit { close(descriptor) }

    package var place: MemberPlace { .file(descriptor) }

    /// Takes the file for this process, or shares it with others that only read. The lock goes with the descriptor.
    package func lock() throws(ArrayStoreError) {
        guard nbdext_lock_file(descriptor, isReadOnly ? 0 : 1) == 0 else {
            throw ArrayStoreError(
                "\(path) is in use by another process; stop the server that has it, or serve it there")
        }
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
        guard fdatasync(descriptor) == 0 else { throw Self.failure(errno) }
    }

    package func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        let found = nbdext_seek_data(descriptor, Int64(byteOffset))
        if found >= 0 { return UInt64(found) }
        if found == Int64(-ENXIO) { return nil }
        // A file system that does not know holes.
        return byteOffset < byteCount ? byteOffset : nil
    }

    private static func failure(_ code: Int32) -> MemberStoreError {
        MemberStoreError(code == ENOSPC || code == EDQUOT ? .noSpace : .failed, String(cString: strerror(code)))
    }
}
