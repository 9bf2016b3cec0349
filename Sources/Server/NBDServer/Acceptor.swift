import CLinux
import Glibc
import Platform

/// Accepts clients until it is told to stop, whatever goes wrong meanwhile.
///
/// Threads: one of its own, which also runs `take`; `stop` on any other.
package final class Acceptor: Sendable {
    private let listeners: [Listener]
    private let what: String
    private let bell: Bell
    private let ended = Event()
    private let accept: @Sendable (Int32) -> Int32
    private let take: @Sendable (Int32) -> Void

    /// What it waits between two attempts while clients cannot be accepted.
    private static let pauseMilliseconds: Int32 = 100
    /// How long a stop waits for a `take` that is under way.
    private static let stopMilliseconds = 1000
    /// Clients of one socket that are accepted before others have their turn.
    private static let turnLength = 64

    /// Takes over the listeners, also when it fails.
    /// - Parameters:
    ///   - what: who is accepted, for people: "clients".
    ///   - accept: accept(2) with a negative errno; another one for a test.
    ///   - take: gets each client's socket, and owns it.
    /// - Throws: when there is no thread or no descriptor left.
    package init(
        _ listeners: [Listener], of what: String, accept: @escaping @Sendable (Int32) -> Int32 = nbdext_accept,
        take: @escaping @Sendable (Int32) -> Void
    ) throws(OSError) {
        self.listeners = listeners
        self.what = what
        self.accept = accept
        self.take = take
        do throws(OSError) {
            bell = try Bell()
            let thread = try OSThread(name: "accept") { [self] in run() }
            thread.detach()
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
    }

    /// Accepts no more clients, and gives the addresses back.
    package func stop() {
        for listener in listeners { listener.removeFile() }
        bell.ring()
        _ = ended.wait(milliseconds: Self.stopMilliseconds)
    }

    private func run() {
        var polls = [pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0)]
        polls += listeners.flatMap(\.descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var failureCount = 0
        while true {
            _ = poll(&polls, nfds_t(polls.count), -1)
            if polls[0].revents != 0 { break }
            for waiting in polls.dropFirst() where waiting.revents != 0 { acceptAll(waiting.fd, &failureCount) }
            // One failure is a client's that left again; a second in a row has a cause that lasts.
            if failureCount > 1 { _ = poll(&polls, 1, Self.pauseMilliseconds) }
        }
        for listener in listeners { listener.close() }
        ended.set()
    }

    /// Accepts who waits at one socket.
    /// - Parameter failureCount: attempts in a row that failed.
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
