import Glibc
import NBDProtocol
import Platform
import TestSupport
import TestTraits
import Testing

@testable import NBDServer

/// What the log says of clients: one line for each refused or lost connection and for each kind of refusal on it.
@Suite("The log of clients", .blocks)
struct ClientLogTests {
    private static func option(_ option: NBDOption, _ data: [UInt8] = []) -> [UInt8] {
        func bytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        return Array("IHAVEOPT".utf8) + bytes(option.rawValue) + bytes(UInt32(data.count)) + data
    }

    private static func go(_ name: String) -> [UInt8] {
        option(.go, [0, 0, 0, UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0])
    }

    /// A client that has read the greeting and sent its flags.
    private static func greeted(_ fixture: ServerFixture, flags: UInt8 = 3) -> RawClient {
        let client = RawClient(path: fixture.path)
        _ = client.read(18)
        client.write([0, 0, 0, flags])
        return client
    }

    @Test("clients that keep to the protocol leave no line")
    func silence() throws {
        let fixture = try ServerFixture()
        do {
            let client = fixture.connect()
            client.write(RawClient.request(.flush, cookie: 1) + RawClient.request(.disc, cookie: 2))
            #expect(client.reply()?.error == 0)
            #expect(client.isClosed)
            let asking = Self.greeted(fixture)
            asking.write(Self.option(.list) + Self.option(.abort))
            _ = asking.read(20 + 4 + "rammemory".utf8.count + 20 + 20)
            #expect(asking.isClosed)
        }
        let waiting = fixture.connect()
        let negotiating = Self.greeted(fixture)
        fixture.stop()
        #expect(waiting.isClosed && negotiating.isClosed)
        #expect(fixture.log == [])
    }

    @Test("refused options are named, each kind once a connection, with who has connected")
    func options() throws {
        let fixture = try ServerFixture()
        let client = Self.greeted(fixture)
        for _ in 0..<3 { client.write(Self.option(.startTLS) + Self.go("none")) }
        for number in 100...110 { client.write(Self.option(NBDOption(rawValue: UInt32(number)))) }
        client.write(Self.option(.abort))
        while !client.read(4096).isEmpty {}
        let name = "connection 1 (process \(getpid()))"
        #expect(
            fixture.log == [
                "\(name): NBD_OPT_STARTTLS is refused with NBD_REP_ERR_UNSUP: this server does not support it",
                "\(name): NBD_OPT_GO is refused with NBD_REP_ERR_UNKNOWN: there is no export \"none\"",
                "\(name): option 100 is refused with NBD_REP_ERR_UNSUP: this server does not support it",
            ])
    }

    @Test("a client that cannot be served is refused with the reason")
    func noLane() throws {
        let fixture = try ServerFixture(lanes: 0)
        let first = Self.greeted(fixture)
        first.write(Self.go(""))
        #expect(fixture.waitForLine("connection 1", "NBD_OPT_GO", "NBD_REP_ERR_POLICY", "make a lane"))
        let second = Self.greeted(fixture, flags: 0)
        second.write(Self.option(.exportName))
        #expect(fixture.waitForLine("connection 2", "was ended in its handshake", "NBD_OPT_EXPORT_NAME", "make a lane"))
    }

    @Test("a broken handshake ends with the reason, and a lost one says so")
    func handshakes() throws {
        let fixture = try ServerFixture()
        #expect(Self.greeted(fixture, flags: 7).isClosed)
        #expect(fixture.waitForLine("connection 1", "was ended in its handshake: the client flags are", "0x4"))
        do { _ = Self.greeted(fixture) }
        #expect(
            fixture.waitForLine("connection 2", "was lost in its handshake: the client closed it without NBD_OPT_ABORT")
        )
        var timeouts = ClientTimeouts()
        timeouts.handshakeMilliseconds = 50
        let impatient = try ServerFixture(timeouts: timeouts)
        let late = Self.greeted(impatient)
        #expect(late.isClosed)
        #expect(impatient.waitForLine("connection 1", "was ended: its handshake took more than 50 ms"))
    }

    @Test("refused requests are named, each kind once a connection, and the connection goes on")
    func requests() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        let end = fixture.service.info.byteCount
        var input: [UInt8] = []
        for cookie in 0..<20 as Range<UInt64> {
            input += RawClient.request(.blockStatus, cookie: cookie, count: 512)
            input += RawClient.request(NBDCommand(rawValue: UInt16(100 + cookie)), cookie: cookie, count: 512)
            input += RawClient.request(.read, cookie: cookie, offset: end, count: 512)
            input += RawClient.request(.writeZeroes, cookie: cookie, count: 512, flags: .fastZero)
        }
        client.write(input + RawClient.request(.disc, cookie: 99))
        for _ in 0..<80 { #expect(client.reply()?.error == NBDError.invalid.rawValue) }
        #expect(client.isClosed)
        fixture.stop()
        let expected = [
            "NBD_CMD_BLOCK_STATUS of 512 bytes at 0 is refused with NBD_EINVAL: this server does not support the command",
            "command 100 of 512 bytes at 0 is refused with NBD_EINVAL: this server does not support the command",
            "NBD_CMD_READ of 512 bytes at \(end) is refused with NBD_EINVAL: the export ram ends at byte \(end)",
            "NBD_CMD_WRITE_ZEROES of 512 bytes at 0 is refused with NBD_EINVAL: the command flags are "
                + "NBD_CMD_FLAG_FAST_ZERO, and not all of them are allowed here",
        ]
        #expect(fixture.log == expected.map { "connection 1 (process \(getpid())): \($0)" })
    }

    @Test("a connection that ends otherwise than by NBD_CMD_DISC is lost, and the line says in the middle of what")
    func losses() throws {
        let fixture = try ServerFixture()
        do { _ = fixture.connect() }
        let lost = "was lost: the client closed it without NBD_CMD_DISC"
        #expect(eventually { fixture.log.contains { $0.hasPrefix("connection 1 ") && $0.hasSuffix(lost) } })
        do { fixture.connect().write(RawClient.request(.write, cookie: 1, count: 4096, payload: [1, 2, 3])) }
        #expect(fixture.waitForLine("connection 2", lost + ", in the middle of a request"))
        fixture.service.hold()
        do {
            let client = fixture.connect()
            client.write(RawClient.request(.flush, cookie: 1))
            fixture.waitUntilHeld(1)
        }
        #expect(fixture.waitForLine("connection 3", lost + ", with 1 request not answered"))
        fixture.service.releaseAll()
    }

    @Test("a client that takes no replies any more is lost")
    func repliesNotTaken() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        fixture.service.hold()
        client.write(RawClient.request(.flush, cookie: 1))
        fixture.waitUntilHeld(1)
        shutdown(client.descriptor, Int32(SHUT_RD))
        fixture.service.releaseAll()
        #expect(fixture.waitForLine("connection 1", "was lost: Broken pipe"))
    }

    @Test("a violation of the protocol ends a connection, and the line says which")
    func violations() throws {
        let fixture = try ServerFixture()
        let garbage = fixture.connect()
        garbage.write(Array(repeating: 0x41, count: 28))
        #expect(garbage.isClosed)
        #expect(
            fixture.waitForLine(
                "connection 1", "was ended: a request begins with 0x41414141 instead of NBD_REQUEST_MAGIC"))
        let large = fixture.connect()
        large.write(RawClient.request(.write, cookie: 1, count: (32 << 20) + 1))
        #expect(large.isClosed)
        #expect(fixture.waitForLine("connection 2", "was ended: NBD_CMD_WRITE announces 33554433 bytes"))
    }

    @Test("a TCP client is named by its address")
    func tcpName() throws {
        let service = try RAMService()
        let lines = Lines()
        let server = try NBDServer(services: [service]) { lines.add($0) }
        let uri = try server.listen(at: [.tcp(host: "127.0.0.1", port: 0)])[0]
        let port = try #require(UInt16(uri.split(separator: ":")[2].prefix { $0.isNumber }))
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        let own = SocketAddress(boundTo: descriptor).port
        // The greeting: the server has asked who is there.
        var greeting = [UInt8](repeating: 0, count: 18)
        #expect(recv(descriptor, &greeting, 18, Int32(MSG_WAITALL)) == 18)
        close(descriptor)
        #expect(eventually { lines.all.contains { $0.hasPrefix("connection 1 (127.0.0.1:\(own)) was lost in its") } })
        server.stop(limitMilliseconds: 60_000)
    }

    @Test("more lines than are allowed in a minute are counted, and the next one says how many")
    func limit() {
        let lines = Lines()
        let log = ClientLog { lines.add($0) }
        for index in 0..<ClientLog.lineCountMax + 7 { log.write("line \(index)", at: 5000 + UInt64(index)) }
        #expect(lines.all == (0..<ClientLog.lineCountMax).map { "line \($0)" })
        log.write("still too early", at: 5000 + ClientLog.periodMilliseconds - 1)
        #expect(lines.all.count == ClientLog.lineCountMax)
        log.write("next", at: 5000 + ClientLog.periodMilliseconds)
        #expect(
            lines.all.suffix(2) == [
                "8 messages about clients were left out: there were more than \(ClientLog.lineCountMax) in a minute",
                "next",
            ])
        log.finish()
        #expect(lines.all.last == "next")
        for index in 0..<ClientLog.lineCountMax { log.write("\(index)", at: 6000 + ClientLog.periodMilliseconds) }
        log.finish()
        #expect(lines.all.last?.hasPrefix("1 message about a client was left out") == true)
    }
}
