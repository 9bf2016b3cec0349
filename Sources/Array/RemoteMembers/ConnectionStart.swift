import CNBD
import Glibc
import Platform
import Synchronization

/// The first step of a connection: looking up the server's address and making a socket, on a thread of its own. libnbd
/// uses getaddrinfo(3), which cannot be interrupted and whose time limit, if any, cannot be set.
///
/// Threads: `run` on one. A start that is abandoned when its time is up cleans up by itself.
final class ConnectionStart: @unchecked Sendable {
    // SAFETY: `handle` belongs to the thread until `hasEnded`; what changes is under `lock`.

    /// How servers are found.
    final class Connector: Sendable {
        /// Begins to connect a libnbd handle to a URI. Returns 0 if that has begun.
        let connect: @Sendable (_ handle: OpaquePointer, _ uri: String) -> Int32
        /// The number of starts that nobody waits for any more.
        let abandonedCount = Atomic<Int>(0)

        init(connect: @escaping @Sendable (_ handle: OpaquePointer, _ uri: String) -> Int32) {
            self.connect = connect
        }
    }

    static let libnbd = Connector { nbd_aio_connect_uri($0, $1) }
    /// The most abandoned starts that one connector may have.
    static let abandonedCountMax = 16

    private let handle: OpaquePointer
    private let connector: Connector
    private let wakeup: EventFD
    private let lock = Lock()
    private var hasEnded = false
    private var isAbandoned = false
    private var failure: String?

    private init(_ handle: OpaquePointer, _ connector: Connector) throws(OSError) {
        self.handle = handle
        self.connector = connector
        wakeup = try EventFD()
    }

    /// Begins to connect.
    /// - Parameters:
    ///   - handle: freed if this fails.
    ///   - deadline: monotonic milliseconds.
    ///   - interruption: a descriptor that ends the attempt when it becomes readable.
    ///   - connector: how the server is found.
    static func run(
        _ handle: OpaquePointer, uri: String, deadline: UInt64, interruption: Int32, connector: Connector
    ) throws(RemoteProblem) {
        guard connector.abandonedCount.load(ordering: .relaxed) < abandonedCountMax else {
            nbd_close(handle)
            throw RemoteProblem(
                "not reachable: \(abandonedCountMax) earlier attempts are still looking up a server's address; "
                    + "does the name service work?")
        }
        let start: ConnectionStart
        do throws(OSError) {
            start = try ConnectionStart(handle, connector)
            try OSThread(name: "connect") { start.connect(to: uri) }.detach()
        } catch {
            nbd_close(handle)
            throw RemoteProblem("not reachable: \(error)")
        }
        try start.wait(deadline: deadline, interruption: interruption)
    }

    private func connect(to uri: String) {
        // libnbd keeps the error for each thread, so only this one can read it.
        let failure = connector.connect(handle, uri) == 0 ? nil : NBDConnection.lastError()
        let isAbandoned = lock.withLock {
            self.failure = failure
            hasEnded = true
            return self.isAbandoned
        }
        if isAbandoned {
            nbd_close(handle)
            connector.abandonedCount.subtract(1, ordering: .relaxed)
        }
        wakeup.signal()
    }

    private func wait(deadline: UInt64, interruption: Int32) throws(RemoteProblem) {
        var isInterrupted = false
        var now = monotonicMilliseconds()
        while !isInterrupted, now < deadline, !lock.withLock({ hasEnded }) {
            isInterrupted = sleep(milliseconds: Int32(clamping: deadline - now), interruption: interruption)
            now = monotonicMilliseconds()
        }
        let isLeft = lock.withLock {
            isAbandoned = !hasEnded
            if isAbandoned { connector.abandonedCount.add(1, ordering: .relaxed) }
            return isAbandoned
        }
        if isLeft {
            throw RemoteProblem(
                isInterrupted
                    ? "not reachable: the attempt was ended"
                    : "not reachable: its address was not found in time; check the name and the name service")
        }
        guard let failure else { return }
        nbd_close(handle)
        throw RemoteProblem("not reachable: \(failure)")
    }

    /// - Returns: whether the attempt is to be ended.
    private func sleep(milliseconds: Int32, interruption: Int32) -> Bool {
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { polled in
            polled[0] = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
            polled[1] = pollfd(fd: interruption, events: Int16(POLLIN), revents: 0)
            return poll(polled.baseAddress!, 2, milliseconds) > 0 && polled[1].revents != 0
        }
    }
}
