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
        descriptor = nbdext_epoll()
        var status = descriptor
        if status >= 0 { status = nbdext_epoll_add(descriptor, bell.descriptor) }
        guard status >= 0 else { throw OSError(code: -status, doing: "make an epoll instance") }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Watches another descriptor beside the bell; none when it is negative. It must be one that can be polled, and
    /// stay open until another one is watched or the bell is gone.
    package func watch(_ other: Int32) {
        guard other != watched else { return }
        if watched >= 0 { _ = nbdext_epoll_remove(descriptor, watched) }
        watched = other
        guard other >= 0 else { return }
        let status = nbdext_epoll_add(descriptor, other)
        precondition(status == 0, "epoll_ctl failed with errno \(-status)")
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
