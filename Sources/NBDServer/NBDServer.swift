import BlockStorage
import CLinux
import Glibc
import NBDProtocol
import Platform

/// An NBD server: listens, and serves each client on a thread of its own.
///
/// Threads: `listen` and `stop` on one control thread.
package final class NBDServer: @unchecked Sendable {
    // SAFETY: what changes after `init` is touched under `lock`, but for `listeners`, which the control thread owns.
    private let services: [any BlockService]
    private let exports: [ExportDescription]
    private let stalledWriters: StalledWriters
    private let crowd: Crowd
    private let memory: PayloadMemory
    private var housekeeper: Housekeeper!
    private var listeners: [Listener] = []
    private let lock = Lock()
    private var connections: [Int: Connection] = [:]
    private var nextNumber = 1
    private var isStopping = false
    private static let sendBufferByteCount: Int32 = 1 << 20
    /// Rung when a connection has ended.
    private let ended = Doorbell()

    /// - Parameters:
    ///   - services: one for each export, named after it; the first is also the default export.
    ///   - spareProcessorCount: with no more clients than this, each thread looks for its client's next request for
    ///     some 50 us before it sleeps.
    ///   - payloadByteCountMax: memory for the payloads of large requests and of many at a time, bytes, for all clients;
    ///     nil for a share of the machine's.
    package init(
        services: [any BlockService], spareProcessorCount: Int = 0, payloadByteCountMax: Int? = nil
    ) throws {
        crowd = Crowd(limit: spareProcessorCount)
        precondition(!services.isEmpty)
        self.services = services
        exports = services.map { ExportDescription($0.info) }
        stalledWriters = try StalledWriters()
        memory = PayloadMemory(
            byteCountMax: payloadByteCountMax
                ?? PayloadMemory.defaultByteCountMax(arenaByteCount: services.map(\.arena.byteCount).min()!))
        housekeeper = try Housekeeper(services: services) { [unowned self] in tidy(at: $0) }
    }

    /// Ends connections whose clients keep memory that others wait for.
    /// - Returns: whether there are connections.
    private func tidy(at milliseconds: UInt64) -> Bool {
        let hasWaiters = memory.hasWaiters()
        return lock.withLock {
            for connection in connections.values where connection.isStalled(at: milliseconds, othersWait: hasWaiters) {
                writeDiagnostic(
                    "nbdext: connection \(connection.number) was ended: its client did not go on with a large request, "
                        + "or did not take its replies, while others waited for the memory\n")
                connection.cutOff()
            }
            return !connections.isEmpty
        }
    }

    /// Begins to accept clients at an address.
    /// - Returns: the URI of the default export there.
    package func listen(at address: ServerAddress) throws -> String {
        let listener = try Listener(address)
        listeners.append(listener)
        let thread = try OSThread(name: "accept") { [self] in accept(listener) }
        thread.detach()
        return listener.uri(exports[0].name)
    }

    /// Accepts no more clients, lets each finish the requests that it has sent, and returns when all are gone.
    package func stop() {
        lock.withLock { isStopping = true }
        for listener in listeners {
            shutdown(listener.descriptor, Int32(SHUT_RDWR))
            listener.close()
        }
        lock.withLock {
            for connection in connections.values { connection.stopReceiving() }
        }
        while lock.withLock({ !connections.isEmpty }) { ended.wait() }
        stalledWriters.stop()
        housekeeper.stop()
    }

    private func accept(_ listener: Listener) {
        while true {
            let descriptor = nbdext_accept(listener.descriptor)
            if descriptor == -EMFILE || descriptor == -ENFILE || descriptor == -ECONNABORTED {
                usleep(10_000)
                continue
            }
            guard descriptor >= 0 else { return }
            var one: Int32 = 1
            setsockopt(
                descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            // Room for whole replies: the next request is read while the client takes the last one.
            nbdext_set_send_buffer(descriptor, Self.sendBufferByteCount)
            start(descriptor)
        }
    }

    private func start(_ descriptor: Int32) {
        let connection: Connection? = lock.withLock {
            if isStopping { return nil }
            let connection = Connection(
                number: nextNumber, descriptor: descriptor, services: services, exports: exports,
                stalledWriters: stalledWriters, crowd: crowd, memory: memory)
            crowd.enter()
            connections[nextNumber] = connection
            nextNumber += 1
            return connection
        }
        guard let connection else {
            close(descriptor)
            return
        }
        do {
            let thread = try OSThread(name: "client \(connection.number)") { [self] in
                connection.run()
                remove(connection)
            }
            thread.detach()
        } catch {
            writeDiagnostic("nbdext: a client was refused: \(error)\n")
            remove(connection)
        }
    }

    private func remove(_ connection: Connection) {
        lock.withLock {
            connections[connection.number] = nil
            crowd.leave()
            close(connection.descriptor)
        }
        ended.ring()
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
