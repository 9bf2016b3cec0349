import CLinux
import Glibc

/// A descriptor that one thread polls and others make readable: eventfd(2).
///
/// Threads: any.
package final class Bell: Sendable {
    /// Only to be polled.
    package let descriptor: Int32

    /// - Throws: when the system is out of descriptors.
    package init() throws(OSError) {
        let descriptor = nbdext_eventfd()
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make an eventfd") }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Makes the descriptor readable until `silence`. Does not block.
    package func ring() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Takes back every ring so far.
    package func silence() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
