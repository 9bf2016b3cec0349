import CLinux
import Glibc

/// What a server keeps for itself of what clients could use up. A client that gets the last descriptor would leave none
/// for a driver that is started again or a member that comes back, and memory that is not there ends a Swift program: so
/// clients are refused before that.
///
/// Threads: any.
package enum Headroom {
    /// Descriptors, at most a quarter of all.
    private static let descriptorCount: Int64 = 64
    /// Bytes of address space, and of memory where the system counts what it has promised.
    private static let byteCount = 64 << 20

    /// Whether enough is left.
    /// - Parameter descriptor: the newest one, which has the lowest number that was free.
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
