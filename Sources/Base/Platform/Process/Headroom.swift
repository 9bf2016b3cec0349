import CLinux
import Glibc

/// The resources that a server keeps for itself. If a client got the last descriptor, none would be left for a driver
/// that is started again or for a member that comes back. A Swift program that cannot get memory ends. So clients are
/// refused before that.
///
/// Threads: any.
package enum Headroom {
    /// Descriptors kept, but at most a quarter of the limit.
    private static let descriptorCount: Int64 = 64
    /// Bytes of address space kept, and of memory where the system limits overcommitment.
    private static let byteCount = 64 << 20

    /// Whether enough is left for the server itself.
    /// - Parameter descriptor: the newest one, which has the lowest free number.
    package static func isLeft(after descriptor: Int32) -> Bool {
        let limit = nbdext_descriptor_limit()
        guard Int64(descriptor) < limit - min(descriptorCount, limit / 4) else { return false }
        guard let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else { return false }
        munmap(memory, byteCount)
        return true
    }
}
