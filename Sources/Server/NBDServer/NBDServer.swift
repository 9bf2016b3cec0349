import BlockStorage
import CLinux
import Glibc
import NBDProtocol
import Platform
import Synchronization

/// An NBD server: listens, and serves each client on a thread of its own.
///
/// Threads: `listen` and `stop` on one control thread.
package final class NBDServer: @unchecked Sendable {
    // SAFETY: what changes after `init` is touched under `lock`, except `acceptor`, which belongs to the control
    // thread, and `isRefusing`.
    private let services: [any BlockService]
    private let exports: [ExportDescription]
    private let timeouts: ClientTimeouts
    private let slowClients: SlowClients
    private let connectionCount: ConnectionCount
    private let log: ClientLog
    private var acceptor: Acceptor?
    private let memory: PayloadMemory
    private var housekeeper: Housekeeper!
    private var lender: LaneLender!
    private var idleClients: IdleClients!
    private let lock = Lock()
    private var connections: [Int: Connection] = [:]
    private var nextNumber = 1
    private var isStopping = false
    private let threadCount = Atomic<Int>(0)
    /// Whether the last client was refused: a series of refusals gets one message. Belongs to the acceptor's thread.
    private var isRefusing = false
    /// The most connections.
    private static let connectionCountMax = 16_384
    /// The most threads of connections: for those that have a lane, and for those in the handshake.
    private static let threadCountMax = 1024
    private static let sendBufferByteCount: Int32 = 1 << 20
    /// Set when a connection has ended.
    private let ended = AutoResetEvent()

    /// - Parameters:
    ///   - services: one for each export, which has its name; the first is also the default export.
    ///   - spareProcessorCount: up to this many clients, each connection's thread polls its socket for about 50 µs
    ///     before it sleeps.
    /// - payloadByteCountMax: the memory, in bytes, that all clients share for large requests and for many requests at
    ///   a time; nil for a share of the machine's memory.
    ///   - report: writes a line about a client: a refused or lost connection, or a refused request. Any thread.
    /// - Throws: when no thread or descriptor can be made.
    package init(
        services: [any BlockService], timeouts: ClientTimeouts = ClientTimeouts(), spareProcessorCount: Int = 0,
        payloadByteCountMax: Int? = nil, report: @escaping @Sendable (String) -> Void = { writeMessage($0) }
    ) throws {
        log = ClientLog(report: report)
        connectionCount = ConnectionCount(limit: spareProcessorCount)
        precondition(!services.isEmpty)
        self.services = services
        self.timeouts = timeouts
        exports = services.map { ExportDescription($0.info) }
        slowClients = try SlowClients()
        memory = PayloadMemory(
            byteCountMax: payloadByteCountMax
                ?? PayloadMemory.defaultByteCountMax(arenaByteCount: services.map(\.arena.byteCount).min()!))
        housekeeper = try Housekeeper(services: services) { [unowned self] in tidy(at: $0) }
        lender = LaneLender { [unowned self] in run($0, isItsTurn: true) }
        idleClients = try IdleClients { [unowned self] connection in
            if connection.endsWhileIdle() { remove(connection) } else { run(connection) }
        }
    }

    /// Ends connections whose clients keep memory that others wait for.
    /// - Returns: whether connections have lanes.
    private func tidy(at milliseconds: UInt64) -> Bool {
        let waiterCount = memory.waiterCount()
        let ended = lock.withLock {
            let stalled = connections.values.filter { $0.isStalled(at: milliseconds, waiterCount: waiterCount) }
            for connection in stalled { connection.state.cutOff() }
            return stalled.map(\.number)
        }
        for number in ended {
            log.write(
                "connection \(number) was ended: its client did not go on with a large request, or did not take "
                    + "its replies, while others waited for the memory")
        }
        return lender.hasLent
    }

    /// Begins to accept clients at all of these addresses, or at none if one of them fails. Call it once.
    /// - Returns: the URI of the default export at each address.
    package func listen(at addresses: [ServerAddress]) throws -> [String] {
        precondition(acceptor == nil)
        var listeners: [Listener] = []
        do throws(OperationError) {
            for address in addresses { listeners.append(try Listener(address)) }
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        acceptor = try Acceptor(listeners, of: "clients") { [self] in start($0) }
        return listeners.map { $0.uri(export: exports[0].name) }
    }

    /// Accepts no more clients, finishes the requests already sent, and returns when all clients are gone and no
    /// request is under way.
    /// - Parameter limitMilliseconds: how long clients have to take their replies; replies not taken by then are
    ///   dropped.
    package func stop(limitMilliseconds: Int) {
        acceptor?.stop()
        let deadline = monotonicMilliseconds() + UInt64(limitMilliseconds)
        lock.withLock {
            isStopping = true
            for connection in connections.values { connection.state.stopReceiving() }
        }
        while case let now = monotonicMilliseconds(), now < deadline, lock.withLock({ !connections.isEmpty }) {
            _ = ended.wait(milliseconds: Int(deadline - now))
        }
        let late = lock.withLock {
            for connection in connections.values { connection.state.cutOff() }
            return connections.count
        }
        if late > 0 {
            writeMessage(
                "\(late) client\(late == 1 ? " is" : "s are") cut off: not all replies were taken in time")
        }
        while lock.withLock({ !connections.isEmpty }) { ended.wait() }
        log.finish()
        slowClients.stop()
        idleClients.stop()
        housekeeper.stop()
    }

    /// Starts a client's connection, unless it would use up what the server itself needs.
    private func start(_ descriptor: Int32) {
        let isFull = lock.withLock {
            connections.count >= Self.connectionCountMax || threadCount.load(ordering: .relaxed) >= Self.threadCountMax
        }
        guard !isFull, Headroom.isLeft(after: descriptor) else {
            if !isRefusing {
                log.write(
                    "clients are refused until others have left: there are \(Self.connectionCountMax), or "
                        + "\(Self.threadCountMax) in their handshakes, or descriptors or memory run short; raise the limits (ulimit -n, ulimit -v) if more are needed"
                )
            }
            isRefusing = true
            close(descriptor)
            return
        }
        isRefusing = false
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        timeouts.apply(to: descriptor)
        // Room for whole replies, so that the next request is read while the client takes the last reply.
        nbdext_set_send_buffer(descriptor, Self.sendBufferByteCount)
        let client = clientName(of: descriptor)
        let connection = lock.withLock { () -> Connection? in
            // `stop` has already told all connections to end, and would not tell this one.
            if isStopping { return nil }
            let connection = Connection(
                number: nextNumber, descriptor: descriptor, services: services, exports: exports,
                handshakeMilliseconds: timeouts.handshakeMilliseconds, slowClients: slowClients,
                connectionCount: connectionCount, lender: lender, memory: memory,
                log: ConnectionLog(log, number: nextNumber, client: client))
            connections[nextNumber] = connection
            nextNumber += 1
            return connection
        }
        guard let connection else {
            close(descriptor)
            return
        }
        run(connection)
    }

    /// Gives a connection a thread, as long as it needs one.
    private func run(_ connection: Connection, isItsTurn: Bool = false) {
        threadCount.add(1, ordering: .relaxed)
        do {
            let thread = try OSThread(name: "client \(connection.number)") { [self] in
                let pause = connection.run(isItsTurn: isItsTurn)
                threadCount.subtract(1, ordering: .relaxed)
                switch pause {
                case .ended: remove(connection)
                case .idle: idleClients.add(connection)
                case .waitsForLane: break
                }
            }
            thread.detach()
        } catch {
            log.write("connection \(connection.number) was ended: \(error)")
            threadCount.subtract(1, ordering: .relaxed)
            if isItsTurn { lender.giveBack() }
            remove(connection)
        }
    }

    private func remove(_ connection: Connection) {
        lock.withLock {
            connections[connection.number] = nil
            close(connection.state.descriptor)
        }
        ended.set()
    }
}

extension ExportDescription {
    init(_ info: BlockServiceInfo) {
        self.init(
            name: info.name, description: info.description, byteCount: info.byteCount,
            preferredBlockByteCount: UInt32(info.preferredByteCount), isReadOnly: info.isReadOnly,
            supportsTrim: info.supportsTrim)
    }
}
