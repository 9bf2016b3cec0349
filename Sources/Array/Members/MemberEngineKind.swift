import CURing

/// How member I/O is executed.
package enum MemberEngineKind: String, Sendable, CaseIterable {
    /// io_uring: many operations a system call, cold reads in the background.
    case uring
    /// Plain system calls; cold reads and flushes on a few worker threads.
    case threads

    /// The best engine that this system allows. Containers and hardened kernels often refuse io_uring.
    package static func detect() -> MemberEngineKind {
        var ring = io_uring()
        guard io_uring_queue_init(4, &ring, 0) == 0 else { return .threads }
        io_uring_queue_exit(&ring)
        return .uring
    }
}
