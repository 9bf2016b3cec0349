import Glibc
import NBDProtocol
import NBDServer
import Platform
import TestSupport
import TestTraits
import Testing

/// Clients and the lanes that they borrow.
@Suite("Idle clients", .serialized, .blocks)
struct IdleClientsTests {
    private func write(_ block: Int, _ value: UInt8, cookie: UInt64) -> [UInt8] {
        RawClient.request(
            .write, cookie: cookie, offset: UInt64(block * 4096), count: 4096,
            payload: [UInt8](repeating: value, count: 4096))
    }

    private func read(_ block: Int, from client: RawClient, cookie: UInt64) -> UInt8? {
        client.write(RawClient.request(.read, cookie: cookie, offset: UInt64(block * 4096), count: 4096))
        guard let reply = client.reply(), reply == (cookie, 0) else { return nil }
        let bytes = client.read(4096)
        return Set(bytes).count == 1 ? bytes[0] : nil
    }

    @Test("have no lane, and get one with their next request")
    func without() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        for round in 0..<3 {
            client.write(write(round, UInt8(round + 1), cookie: 1))
            #expect(client.reply()?.error == 0)
            #expect(eventually { fixture.service.laneCount == 0 })
            #expect(read(round, from: client, cookie: 2) == UInt8(round + 1))
        }
    }

    @Test("share few lanes")
    func many() throws {
        let fixture = try ServerFixture(lanes: 2)
        let clients = (0..<20).map { _ in fixture.connect() }
        for (index, client) in clients.enumerated() { client.write(write(index, UInt8(index + 1), cookie: 7)) }
        for client in clients { #expect(client.reply()?.cookie == 7) }
        for (index, client) in clients.enumerated().reversed() {
            #expect(read(index, from: client, cookie: 8) == UInt8(index + 1))
        }
    }

    @Test("are noticed when they leave, and are no obstacle to a stop")
    func ends() throws {
        let fixture = try ServerFixture()
        var clients = (0..<3).map { _ in fixture.connect() }
        #expect(eventually { fixture.service.laneCount == 0 })
        clients[1].write(RawClient.request(.disc, cookie: 1))
        #expect(clients[1].isClosed)
        clients.removeFirst()
        #expect(fixture.waitForLine("connection 1", "was lost: the client closed it without NBD_CMD_DISC"))
        // What an idle client has sent before the stop is answered.
        clients[1].write(write(0, 1, cookie: 3))
        fixture.stop()
        #expect(clients[1].reply()?.cookie == 3)
        #expect(clients[1].isClosed)
        #expect(!fixture.log.contains { $0.contains("connection 2") })
    }

    @Test("of one that always has requests get their turns, and it loses nothing")
    func turns() throws {
        let fixture = try ServerFixture(lanes: 1)
        // SAFETY: one thread sends, another one receives, and when both are done this one does both.
        nonisolated(unsafe) let busy = fixture.connect()
        let other = fixture.connect()
        let isOver = OneShotEvent()
        let count = 4000
        // Requests of a page and a header: most turns end in the middle of one.
        try OSThread(name: "flood") { [self] in
            for index in 0..<count { busy.write(write(index % 256, UInt8(index / 256 + 1), cookie: UInt64(index))) }
            isOver.set()
        }.detach()
        let answers = OneShotEvent()
        let problems = Lines()
        try OSThread(name: "replies") {
            var left = Set((0..<count).map(UInt64.init))
            for _ in 0..<count {
                guard let reply = busy.reply(), reply.error == 0, left.remove(reply.cookie) != nil else {
                    problems.add("a reply is missing or came twice")
                    break
                }
                usleep(100)
            }
            answers.set()
        }.detach()
        for round in 0..<4 {
            other.write(RawClient.request(.flush, cookie: UInt64(round)))
            #expect(other.reply()?.cookie == UInt64(round))
        }
        isOver.wait()
        answers.wait()
        #expect(problems.all == [])
        for block in 0..<256 {
            #expect(read(block, from: busy, cookie: 9) == UInt8((count - 1 - block) / 256 + 1))
        }
    }
}
