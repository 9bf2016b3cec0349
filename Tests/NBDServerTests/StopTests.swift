import Glibc
import NBDProtocol
import NBDServer
import Platform
import TestSupport
import TestTraits
import Testing

/// A stop ends whatever clients do.
@Suite("Stopping the NBD server", .blocks)
struct StopTests {
    private enum Client: String, CaseIterable {
        case idle, greeted, halfOption, flooding, halfPayload, sending
    }

    /// A client that does what its name says, and no more.
    private func make(_ kind: Client, _ fixture: ServerFixture) -> RawClient {
        let client = RawClient(path: fixture.path)
        switch kind {
        case .idle: client.negotiate()
        case .greeted: break
        case .halfOption: client.write([0, 0, 0, 3] + Array("IHAVE".utf8))
        case .flooding:
            client.write([0, 0, 0, 3])
            let list = Array("IHAVEOPT".utf8) + [0, 0, 0, 3, 0, 0, 0, 0]
            while send(client.descriptor, list, list.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) > 0 {}
        case .halfPayload:
            client.negotiate()
            client.write(
                RawClient.request(
                    .write, cookie: 1, count: 1 << 20, payload: Array(repeating: 1, count: 1000)))
        case .sending:
            client.negotiate()
            let request = RawClient.request(.writeZeroes, cookie: 1, count: 512)
            while send(client.descriptor, request, request.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) > 0 {}
        }
        return client
    }

    @Test("does not wait for clients that have nothing to get", arguments: Client.allCases.map(\.rawValue))
    func nothingToGet(kind: String) throws {
        let fixture = try ServerFixture()
        let clients = (0..<3).map { _ in make(Client(rawValue: kind)!, fixture) }
        // A stop that waits for the whole time is found by it.
        let limit = kind == Client.sending.rawValue ? 200 : 3_600_000
        fixture.stop(limitMilliseconds: limit)
        withExtendedLifetime(clients) {}
    }

    @Test("cuts a client off that does not take its replies, when the time is up")
    func notTaking() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        for cookie in 0..<64 {
            client.write(RawClient.request(.read, cookie: UInt64(cookie), count: 1 << 20))
        }
        let begin = monotonicMilliseconds()
        fixture.stop(limitMilliseconds: 300)
        #expect(monotonicMilliseconds() >= begin + 290)
        // What was on its way still comes.
        #expect(client.reply()?.cookie != nil)
    }

    @Test("lets a client that reads slowly take everything that it has asked for")
    func slow() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        for cookie in 0..<16 {
            client.write(RawClient.request(.read, cookie: UInt64(cookie), count: 1 << 20))
        }
        let stopped = OneShotEvent()
        try OSThread(name: "stop") {
            fixture.stop()
            stopped.set()
        }.detach()
        for _ in 0..<16 {
            usleep(5000)
            #expect(client.reply()?.error == 0)
            #expect(client.read(1 << 20).count == 1 << 20)
        }
        #expect(client.isClosed)
        stopped.wait()
    }
}
