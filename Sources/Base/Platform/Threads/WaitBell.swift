import CLinux
import Glibc

/// A descriptor that becomes readable when another thread rings, or when one more descriptor, that the owner chose, is
/// readable: what a thread waits for that may wait for one descriptor only.
///
/// Threads: `ring` on any; the rest on the one that waits.
package final class WaitBell: @unchecked Sendable {
    // SAFETY: the bell and the descriptor never change; `watched` belongs to the waiting thread.

    /// Readable while the bell has rung, or the watched descriptor is readable. Only to be polled.
    package let descriptor: Int32
    private let bell: Bell
    private var watched: Int32 = -1

    /// - Throws: when the system is out of descriptors.
    package init() throws(OSError) {
        bell = try Bell()
        let descriptor = nbdext_epoll()
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make an epoll instance") }
        let status = nbdext_epoll_add(descriptor, bell.descriptor)
        guard status >= 0 else {
            close(descriptor)
            throw OSError(code: -status, doing: "watch an eventfd")
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Watches another descriptor beside the bell; none when it is negative. It must be one that can be polled, and
    /// stay open until another one is watched or the bell is gone.
    /// - Returns: false when the system has no memory for it; then none is watched.
    package func watch(_ other: Int32) -> Bool {
        guard other != watched else { return true }
        if watched >= 0 { _ = nbdext_epoll_remove(descriptor, watched) }
        watched = -1
        guard other >= 0 else { return true }
        guard nbdext_epoll_add(descriptor, other) == 0 else { return false }
        watched = other
        return true
    }

    /// Makes the descriptor readable until `silence`.
    package func ring() { bell.ring() }

    /// Takes back every ring so far.
    package func silence() { bell.silence() }

    /// Blocks until the descriptor is readable.
    package func wait() {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&polled, 1, -1) < 0 && errno == EINTR {}
    }
}
