import CLinux
import Glibc
import MemberIO
import Platform
import Synchronization

/// What stands for whichever member has a role in an array, be it a file or something that does its own I/O: lanes know
/// it for as long as the array is open.
///
/// A file is put behind a descriptor that stays the same. Of anything else, lanes make channels when they see that
/// `version` has changed.
///
/// Threads: `put` and `clear` one at a time; the rest any.
package final class MemberSlot: RoleSlot, @unchecked Sendable {
    // SAFETY: `endpoint` is touched under `lock`; `version` is atomic and lives as long as the slot.
    let descriptor: Int32
    /// Grows with each change, after it.
    let version: UnsafeMutablePointer<Atomic<UInt64>>
    /// A descriptor that all reads, writes and flushes fail on.
    private let nothing: Int32
    private let lock = Lock()
    private var current: (any MemberEndpoint)?

    /// Makes a slot with no member behind it.
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

    package var place: MemberPlace { .slot(self) }

    /// What does its own I/O, or nil while there is a file behind the slot, or nothing.
    var endpoint: (any MemberEndpoint)? { lock.withLock { current } }

    package func put(_ member: MemberPlace) -> Bool {
        switch member {
        case .none: replace(by: nothing, nil)
        case .file(let file): replace(by: file, nil)
        case .endpoint(let endpoint): replace(by: nothing, endpoint)
        case .slot: return false
        }
        return true
    }

    package func clear() { replace(by: nothing, nil) }

    private func replace(by file: Int32, _ endpoint: (any MemberEndpoint)?) {
        lock.withLock {
            current = endpoint
            // The kernel does this in one step: there is no moment without a file, and none with somebody else's.
            while dup2(file, descriptor) < 0 && errno == EINTR {}
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        version.pointee.add(1, ordering: .releasing)
    }
}
