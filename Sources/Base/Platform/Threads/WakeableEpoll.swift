import CLinux
import Glibc

/// An epoll instance that other threads can signal, and that watches one more descriptor. It is for a thread that can
/// wait for a single descriptor only.
///
/// Threads: `signal` on any; the rest on the waiting thread.
package final class WakeableEpoll: @unchecked Sendable {
    // SAFETY: `event` and `descriptor` never change; `watched` belongs to the waiting thread.

    /// Readable while it is signalled or the watched descriptor is readable. To be polled only.
    package let descriptor: Int32
    private let event: EventFD
    private var watched: Int32 = -1

    /// - Throws: when the system is out of descriptors.
    package init() throws(OSError) {
        event = try EventFD()
        let descriptor = nbdext_epoll()
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make an epoll instance") }
        let status = nbdext_epoll_add(descriptor, event.descriptor)
        guard status >= 0 else {
            close(descriptor)
            throw OSError(code: -status, doing: "watch an eventfd")
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Watches a descriptor in place of the one before; none when it is negative. The descriptor must support polling,
    /// and stay open until another one is watched or this instance is gone.
    /// - Returns: false when the system has no memory for this. Then no descriptor is watched.
    package func watch(_ other: Int32) -> Bool {
        guard other != watched else { return true }
        if watched >= 0 { _ = nbdext_epoll_remove(descriptor, watched) }
        watched = -1
        guard other >= 0 else { return true }
        guard nbdext_epoll_add(descriptor, other) == 0 else { return false }
        watched = other
        return true
    }

    /// Makes the descriptor readable until `clear`. Does not block.
    package func signal() { event.signal() }

    /// Takes all signals so far back.
    package func clear() { event.clear() }

    /// Blocks until the descriptor is readable.
    package func wait() {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&polled, 1, -1) < 0 && errno == EINTR {}
    }
}
