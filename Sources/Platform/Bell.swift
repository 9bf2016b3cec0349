import CLinux
import Glibc
import Platform

/// A descriptor that one thread polls and others make readable: eventfd(2).
///
/// Threads: any.
final class Bell: Sendable {
    let descriptor: Int32

    /// - Throws: when the system is out of descriptors.
    init() throws(OSError) {
        descriptor = nbdext_eventfd()
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make an eventfd") }
    }

    deinit { close(descriptor) }

    /// Makes the descriptor readable until `silence`. Does not block.
    func ring() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Takes back every ring so far.
    func silence() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
