import CLinux
import Glibc
import MemberIO
import Platform
import Synchronization

/// A bay for members that are files and for members that do their own I/O.
///
/// For files, the bay has a descriptor that stays the same while the file behind it changes. For any other member, each
/// lane makes a channel when it sees that `version` has changed.
///
/// Threads: `put` and `clear` one at a time; the rest any.
package final class MemberBay: RoleBay, @unchecked Sendable {
    // SAFETY: `endpoint` is touched under `lock`; `version` is atomic and lives as long as the bay.
    let descriptor: Int32
    /// Grows with each change, after the change.
    let version: UnsafeMutablePointer<Atomic<UInt64>>
    /// A descriptor on which all reads, writes and flushes fail.
    private let nothing: Int32
    private let lock = Lock()
    private var current: (any MemberEndpoint)?

    /// Makes an empty bay.
    /// - Throws: when the system is out of descriptors.
    package init() throws(OSError) {
        let nothing = nbdext_open_nothing()
        guard nothing >= 0 else { throw OSError(code: -nothing, doing: "make a descriptor for a member") }
        let descriptor = fcntl(nothing, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else {
            let code = errno
            close(nothing)
            throw OSError(code: code, doing: "make a descriptor for a member")
        }
        self.nothing = nothing
        self.descriptor = descriptor
        version = .allocate(capacity: 1)
        version.initialize(to: Atomic(1))
    }

    deinit {
        close(descriptor)
        close(nothing)
        version.deinitialize(count: 1)
        version.deallocate()
    }

    package var place: MemberPlace { .bay(self) }

    /// The member that does its own I/O; nil while the bay holds a file or nothing.
    var endpoint: (any MemberEndpoint)? { lock.withLock { current } }

    package func put(_ member: MemberPlace) -> Bool {
        switch member {
        case .none: replace(by: nothing, nil)
        case .file(let file): replace(by: file, nil)
        case .endpoint(let endpoint): replace(by: nothing, endpoint)
        case .bay: return false
        }
        return true
    }

    package func clear() { replace(by: nothing, nil) }

    private func replace(by file: Int32, _ endpoint: (any MemberEndpoint)?) {
        assert(file >= 0 && file != descriptor, "a bay gets the file \(file), which is no member's")
        lock.withLock {
            current = endpoint
            // The kernel does this in one step: the descriptor is never without a file, and never another thread's.
            while dup2(file, descriptor) < 0 && errno == EINTR {}
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        version.pointee.add(1, ordering: .releasing)
    }
}
