import CLinux
import Glibc
import Platform

/// The connections whose clients send nothing: without thread, lane and buffers. The first byte, or the end of the
/// stream, ends that.
///
/// Threads: one of its own; `add` and `stop` on any.
final class IdleClients: @unchecked Sendable {
    // SAFETY: `idle` and `isStopped` are touched under `lock`; the rest never changes.
    private let lock = Lock()
    private var idle: [Int32: Connection] = [:]
    private var isStopped = false
    private let epoll: Int32
    private let wakeup: EventFD
    private let wake: @Sendable (Connection) -> Void

    /// - Parameter wake: called on this thread for each connection whose socket is readable; it must not block.
    /// - Throws: when no thread or descriptor can be made.
    init(wake: @escaping @Sendable (Connection) -> Void) throws(OSError) {
        self.wake = wake
        wakeup = try EventFD()
        let descriptor = nbdext_epoll()
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make an epoll instance") }
        epoll = descriptor
        let status = nbdext_epoll_add(epoll, wakeup.descriptor)
        guard status >= 0 else { throw OSError(code: -status, doing: "watch an eventfd") }
        let thread = try OSThread(name: "idle clients") { [self] in run() }
        thread.detach()
    }

    deinit { close(epoll) }

    /// Takes over a connection until its client sends something, or leaves.
    func add(_ connection: Connection) {
        lock.withLock { idle[connection.state.descriptor] = connection }
        guard nbdext_epoll_add(epoll, connection.state.descriptor) < 0 else { return }
        // The system has no memory to watch it.
        let isLeft = lock.withLock { idle.removeValue(forKey: connection.state.descriptor) != nil }
        if isLeft { wake(connection) }
    }

    /// Ends the thread. There are no connections any more.
    func stop() {
        lock.withLock {
            assert(idle.isEmpty, "the server stops and has idle clients")
            isStopped = true
        }
        wakeup.signal()
    }

    private func run() {
        var ready = [Int32](repeating: 0, count: Int(NBDEXT_EPOLL_READY_MAX))
        while !lock.withLock({ isStopped }) {
            let count = nbdext_epoll_wait(epoll, &ready)
            for descriptor in ready[..<Int(max(count, 0))] where descriptor != wakeup.descriptor {
                let connection = lock.withLock { idle.removeValue(forKey: descriptor) }
                _ = nbdext_epoll_remove(epoll, descriptor)
                if let connection { wake(connection) }
            }
        }
    }
}
