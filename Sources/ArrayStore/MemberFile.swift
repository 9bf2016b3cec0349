import CLinux
import Glibc
import Members
import RAID

/// An open member file of an array.
///
/// Threads: control plane only; its descriptor is what engines work on.
package final class MemberFile: Sendable {
    package let path: String
    package let descriptor: Int32
    package let byteCount: UInt64
    private let isReadOnly: Bool
    /// The superblock as it was when the file was opened.
    package let superblock: MDSuperblock

    /// Opens a file and reads its superblock.
    /// - Returns: nil when the file has no md superblock.
    /// - Throws: when it cannot be read, or holds one that cannot be used.
    init?(path: String, readOnly: Bool) throws(ArrayStoreError) {
        let descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw ArrayStoreError("cannot open \(path): \(String(cString: strerror(errno))); check its permissions")
        }
        var information = stat()
        fstat(descriptor, &information)
        var bytes = [UInt8](repeating: 0, count: MDSuperblock.byteCount)
        let count = pread(descriptor, &bytes, bytes.count, off_t(MDSuperblock.byteOffset))
        do throws(MDSuperblock.Problem) {
            guard count == bytes.count else { throw .noMagic }
            superblock = try MDSuperblock(parsing: bytes)
        } catch {
            close(descriptor)
            switch error {
            case .noMagic: return nil
            case .wrongChecksum:
                throw ArrayStoreError(
                    "the superblock of \(path) is damaged (wrong checksum); move the file away to "
                        + "serve the array without it")
            case .unsupported(let what):
                throw ArrayStoreError("\(path) uses \(what), which is not supported here; use Linux md for it")
            }
        }
        self.path = path
        isReadOnly = readOnly
        self.descriptor = descriptor
        byteCount = UInt64(information.st_size)
    }

    deinit { close(descriptor) }

    /// Where lanes find the member.
    package var place: MemberPlace { .file(descriptor) }

    /// Takes the file for this process, or shares it with others that only read. The lock goes with the descriptor.
    func lock() throws(ArrayStoreError) {
        guard nbdext_lock_file(descriptor, isReadOnly ? 0 : 1) == 0 else {
            throw ArrayStoreError(
                "\(path) is in use by another process; stop the server that has it, or serve it there")
        }
    }

    /// Writes a superblock and returns when it is durable.
    func write(_ superblock: MDSuperblock) throws(ArrayStoreError) {
        var sealed = superblock
        sealed.seal()
        guard
            pwrite(descriptor, sealed.bytes, sealed.bytes.count, off_t(MDSuperblock.byteOffset)) == sealed.bytes.count,
            fdatasync(descriptor) == 0
        else {
            throw ArrayStoreError("cannot write the superblock of \(path): \(String(cString: strerror(errno)))")
        }
    }
}
