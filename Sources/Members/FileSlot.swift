import CLinux
import Glibc
import Platform

/// A descriptor that stands for whatever file has a role in an array: lanes know it for as long as the array is open, and
/// the file behind it can be replaced while they work.
///
/// I/O that has begun ends on the file on which it began. I/O that was only planned may find another file, or none, and
/// then fails; planners tell by their generations.
///
/// Threads: `place` any; the rest one at a time.
package final class FileSlot: RoleSlot {
    package let place: MemberPlace
    private let descriptor: Int32
    /// A descriptor that all reads, writes and flushes fail on.
    private let nothing: Int32

    /// Makes a slot with no file behind it.
    /// - Throws: when the system is out of descriptors.
    package init() throws(OSError) {
        nothing = nbdext_epoll()
        guard nothing >= 0 else { throw OSError(code: -nothing, doing: "make a descriptor for a member") }
        descriptor = fcntl(nothing, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else {
            close(nothing)
            throw OSError(code: errno, doing: "make a descriptor for a member")
        }
        place = .file(descriptor)
    }

    deinit {
        close(descriptor)
        close(nothing)
    }

    package func put(_ member: MemberPlace) -> Bool {
        guard case .file(let file) = member else { return false }
        replace(by: file)
        return true
    }

    package func clear() { replace(by: nothing) }

    private func replace(by other: Int32) {
        // The kernel does this in one step: there is no moment without a file, and none with somebody else's.
        while dup2(other, descriptor) < 0 && errno == EINTR {}
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }
}
