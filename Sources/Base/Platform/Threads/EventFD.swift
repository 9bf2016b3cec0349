import CLinux
import Glibc

/// A descriptor that one thread polls and any thread makes readable: eventfd(2).
///
/// Threads: any.
package final class EventFD: Sendable {
    /// To be polled only.
    package let descriptor: Int32

    /// - Throws: when the system is out of descriptors.
    package init() throws(OSError) {
        let descriptor = nbdext_eventfd()
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make an eventfd") }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Makes the descriptor readable until `clear`. Does not block.
    package func signal() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Takes all signals so far back.
    package func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
