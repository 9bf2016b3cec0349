import CLinux
import Glibc
import Platform

/// Accepts clients until `stop` is called. A failed accept(2) is tried again.
///
/// Threads: one of its own, which also calls `take`. `stop` may be called on any other.
package final class Acceptor: Sendable {
    private let listeners: [Listener]
    private let what: String
    private let wakeup: EventFD
    private let ended = OneShotEvent()
    private let accept: @Sendable (Int32) -> Int32
    private let take: @Sendable (Int32) -> Void

    /// The pause between two attempts while accept(2) fails.
    private static let pauseMilliseconds: Int32 = 100
    /// How long a stop waits for a `take` that is under way.
    private static let stopMilliseconds = 1000
    /// The most clients accepted on one socket before the other sockets get their turn.
    private static let turnLength = 64

    /// Takes over the listeners and starts to accept. If this fails, the listeners are closed.
    /// - Parameters:
    ///   - what: the plural noun for messages: "clients".
    ///   - accept: accept(2), with a negative errno as its error; tests pass another function.
    ///   - take: called with each client's socket, which it owns from then on.
    /// - Throws: when no thread or descriptor can be made.
    package init(
        _ listeners: [Listener], of what: String, accept: @escaping @Sendable (Int32) -> Int32 = nbdext_accept,
        take: @escaping @Sendable (Int32) -> Void
    ) throws(OSError) {
        self.listeners = listeners
        self.what = what
        self.accept = accept
        self.take = take
        do throws(OSError) {
            wakeup = try EventFD()
            let thread = try OSThread(name: "accept") { [self] in run() }
            thread.detach()
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
    }

    /// Stops accepting clients and releases the addresses. Waits up to a second for a `take` under way.
    package func stop() {
        for listener in listeners { listener.removeFile() }
        wakeup.signal()
        _ = ended.wait(milliseconds: Self.stopMilliseconds)
    }

    private func run() {
        var polls = [pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)]
        polls += listeners.flatMap(\.descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var failureCount = 0
        while true {
            _ = poll(&polls, nfds_t(polls.count), -1)
            if polls[0].revents != 0 { break }
            for waiting in polls.dropFirst() where waiting.revents != 0 { acceptAll(waiting.fd, &failureCount) }
            // A single failure may be a client that has left again. A second in a row has a lasting cause.
            if failureCount > 1 { _ = poll(&polls, 1, Self.pauseMilliseconds) }
        }
        for listener in listeners { listener.close() }
        ended.set()
    }

    /// Accepts the clients that wait at one socket.
    /// - Parameter failureCount: consecutive failed attempts.
    private func acceptAll(_ listening: Int32, _ failureCount: inout Int) {
        for _ in 0..<Self.turnLength {
            let client = accept(listening)
            if client == -EINTR { continue }
            guard client >= 0 || client == -EAGAIN else {
                failureCount += 1
                if failureCount == 2 {
                    writeMessage(
                        "\(what) cannot be accepted: \(String(cString: strerror(-client))); it is tried again "
                            + "until it works")
                }
                return
            }
            if failureCount > 1 { writeMessage("\(what) are accepted again") }
            failureCount = 0
            if client == -EAGAIN { return }
            take(client)
        }
    }
}
