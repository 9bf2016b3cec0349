import Glibc
import Platform

/// Sends the replies of connections whose clients are slow, so that no thread with other work waits for them.
///
/// Threads: one of its own; `add` on any.
final class SlowClients: @unchecked Sendable {
    // SAFETY: `waiting` and `isStopped` are touched under `lock`.
    private let lock = Lock()
    private var waiting: [Connection] = []
    private var isStopped = false
    private let wakeup: EventFD

    init() throws(OSError) {
        wakeup = try EventFD()
        let thread = try OSThread(name: "slow clients") { [self] in run() }
        thread.detach()
    }

    /// Takes over the sending of a connection until its replies are sent.
    func add(_ connection: Connection) {
        lock.withLock { waiting.append(connection) }
        wakeup.signal()
    }

    func stop() {
        lock.withLock { isStopped = true }
        wakeup.signal()
    }

    private func run() {
        var stalled: [Connection] = []
        while true {
            var polls = [pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)]
            polls += stalled.map { pollfd(fd: $0.state.descriptor, events: Int16(POLLOUT), revents: 0) }
            _ = poll(&polls, nfds_t(polls.count), -1)
            if polls[0].revents != 0 { wakeup.clear() }
            let ready = stalled.indices.filter { polls[$0 + 1].revents != 0 }
            for index in ready.reversed() where stalled[index].resumeSending() { stalled.remove(at: index) }
            let mustStop = lock.withLock {
                stalled += waiting
                waiting = []
                return isStopped && stalled.isEmpty
            }
            if mustStop { return }
        }
    }
}
