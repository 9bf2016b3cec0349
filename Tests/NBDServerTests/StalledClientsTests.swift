import Glibc
import NBDProtocol
import Platform
import Synchronization
import TestSupport
import TestTraits
import Testing

@testable import NBDServer

/// Which clients keep memory from others. No time passes: the tests say how late it is.
@Suite("Clients that keep memory from others", .blocks)
struct StalledClientsTests {
    private static let largest = 32 << 20

    /// One connection, whose socket takes next to nothing, and memory for one of the largest requests.
    private final class Fixture: Sendable {
        let service: RAMService
        let memory = PayloadMemory(byteCountMax: PayloadChunks.largestByteCount)
        let connection: Connection
        // SAFETY: the test's thread alone uses it.
        nonisolated(unsafe) let client: RawClient
        private let slowClients: SlowClients
        private let ended = OneShotEvent()
        private let turn: MemoryTurn

        init() throws {
            service = try RAMService()
            slowClients = try SlowClients()
            turn = MemoryTurn(arena: service.arena, wakeup: try EventFD())
            var sockets: [Int32] = [-1, -1]
            try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &sockets) == 0)
            var least: Int32 = 1
            setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &least, socklen_t(MemoryLayout<Int32>.size))
            connection = Connection(
                number: 1, descriptor: sockets[0], services: [service], exports: [ExportDescription(service.info)],
                handshakeMilliseconds: 3_600_000, slowClients: slowClients, connectionCount: ConnectionCount(limit: 0),
                lender: LaneLender { _ in }, memory: memory,
                log: ConnectionLog(ClientLog { _ in }, number: 1, client: "test"))
            client = RawClient(descriptor: sockets[1])
            try OSThread(name: "client") { [connection, ended] in
                while case .idle = connection.run(isItsTurn: false) {}
                ended.set()
            }.detach()
            client.negotiate()
        }

        func end() {
            service.releaseAll()
            connection.state.cutOff()
            ended.wait()
            close(connection.state.descriptor)
            slowClients.stop()
        }

        /// Takes all of the memory, as another connection would.
        func takeMemory() throws -> UnsafeMutableRawBufferPointer {
            try #require(memory.claim(byteCount: PayloadChunks.largestByteCount, turn))
        }

        func giveBack(_ extent: UnsafeMutableRawBufferPointer) {
            service.arena.free(extent)
            memory.release(byteCount: extent.count)
        }
    }

    private func read(_ byteCount: Int, cookie: UInt64) -> [UInt8] {
        RawClient.request(.read, cookie: cookie, count: UInt32(byteCount))
    }

    @Test("one that takes no replies is seen to keep what it was given while it did not take them")
    func givenWhileSending() throws {
        let fixture = try Fixture()
        defer { fixture.end() }
        let held = try fixture.takeMemory()
        // The first reply is more than the socket takes; the second request waits for memory.
        fixture.client.write(read(256 << 10, cookie: 1) + read(Self.largest, cookie: 2))
        #expect(eventually { fixture.memory.waiterCount() == 1 })
        fixture.giveBack(held)
        var time: UInt64 = 0
        let isSeen = eventually {
            time += 10_000
            return fixture.connection.isStalled(at: time, waiterCount: 1)
        }
        #expect(isSeen)
    }

    @Test("memory that is not needed any more is not waited for")
    func neededNoMore() throws {
        let fixture = try Fixture()
        defer { fixture.end() }
        let held = try fixture.takeMemory()
        fixture.service.hold()
        // Both of the connection's own chunks are in use then, and the next request has no place.
        fixture.client.write(read(512, cookie: 1))
        fixture.client.write(RawClient.request(.write, cookie: 2, count: 1 << 20))
        fixture.client.write(fill: 1, 1 << 20)
        #expect(eventually { fixture.memory.waiterCount() == 1 })
        fixture.service.releaseAll()
        #expect(eventually { fixture.memory.waiterCount() == 0 })
        fixture.giveBack(held)
    }

    @Test("one that has sent a part of a large request, and no more, keeps its memory")
    func incomplete() throws {
        let fixture = try Fixture()
        defer { fixture.end() }
        fixture.client.write(RawClient.request(.write, cookie: 1, count: UInt32(Self.largest)))
        fixture.client.write(fill: 1, 1 << 20)
        #expect(eventually { fixture.connection.keepsSharedMemory(fromWaiters: 1) })
        #expect(!fixture.connection.keepsSharedMemory(fromWaiters: 0))
    }

    @Test("one that has sent all of its request waits for the server, and is not to blame")
    func complete() throws {
        let fixture = try Fixture()
        defer { fixture.end() }
        fixture.service.hold()
        let capacity = 64
        for cookie in 0..<capacity {
            fixture.client.write(RawClient.request(.flush, cookie: UInt64(cookie)))
        }
        // There is no tag for it.
        fixture.client.write(RawClient.request(.write, cookie: 99, count: UInt32(Self.largest)))
        fixture.client.write(fill: 1, Self.largest)
        let byteCount = (capacity + 1) * NBD.requestByteCount + Self.largest
        #expect(eventually { fixture.connection.movedByteCount.load(ordering: .relaxed) == byteCount })
        #expect(eventually { !fixture.connection.keepsSharedMemory(fromWaiters: 1) })
    }

    @Test("one that waits alone keeps nothing from others")
    func alone() throws {
        let fixture = try Fixture()
        defer { fixture.end() }
        fixture.service.hold()
        fixture.client.write(read(20 << 20, cookie: 1) + read(20 << 20, cookie: 2))
        #expect(eventually { fixture.memory.waiterCount() == 1 })
        fixture.service.releaseAll()
        #expect(eventually { fixture.connection.keepsSharedMemory(fromWaiters: 2) })
        #expect(!fixture.connection.keepsSharedMemory(fromWaiters: 1))
    }
}

@Suite("Turns in a directory", .blocks)
struct DirectoryTurnTests {
    @Test("one server waits for the other")
    func exclusion() throws {
        let directory = TemporaryDirectory()
        let entered = OneShotEvent()
        try DirectoryTurn.take(for: directory.path + "/a") {
            try OSThread(name: "other") { DirectoryTurn.take(for: directory.path + "/b") { entered.set() } }.detach()
            #expect(!entered.wait(milliseconds: 50))
        }
        #expect(entered.comes())
    }
}
