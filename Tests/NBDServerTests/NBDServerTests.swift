import Glibc
import NBDProtocol
import NBDServer
import Platform
import TestSupport
import TestTraits
import Testing

/// A client that speaks NBD byte by byte.
final class RawClient {
    let descriptor: Int32

    /// Takes over a socket that is connected.
    init(descriptor: Int32) { self.descriptor = descriptor }

    /// Connects; the greeting is not read yet.
    convenience init(path: String) { self.init(descriptor: try! UnixSocket.connect(to: path)) }

    deinit { close(descriptor) }

    func write(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// Reads so many bytes, or fewer if the server closes.
    func read(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + done, count - done, 0) }
            if got <= 0 { break }
            done += got
        }
        return Array(bytes[..<done])
    }

    var isClosed: Bool { read(1).isEmpty }

    /// Negotiates the default export with simple replies.
    func negotiate() {
        _ = read(18)
        write([0, 0, 0, 3] + Array("IHAVEOPT".utf8) + [0, 0, 0, 7] + [0, 0, 0, 6] + [0, 0, 0, 0, 0, 0])
        // INFO_EXPORT, INFO_BLOCK_SIZE, ACK.
        for data in [12, 14, 0] { _ = read(20 + data) }
    }

    static func request(
        _ command: NBDCommand, cookie: UInt64, offset: UInt64 = 0, count: UInt32 = 0, flags: NBDCommandFlags = [],
        payload: [UInt8] = []
    ) -> [UInt8] {
        func bytes<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
            withUnsafeBytes(of: value.bigEndian) { Array($0) }
        }
        return bytes(NBD.requestMagic) + bytes(flags.rawValue) + bytes(command.rawValue) + bytes(cookie)
            + bytes(offset) + bytes(count) + payload
    }

    /// Reads a simple reply's header: cookie and error.
    func reply() -> (cookie: UInt64, error: UInt32)? {
        let bytes = read(16)
        guard bytes.count == 16 else { return nil }
        return (bytes[8..<16].reduce(0) { $0 << 8 | UInt64($1) }, bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) })
    }
}

/// Lines that several threads collect.
final class Lines: @unchecked Sendable {
    // SAFETY: only under `lock`.
    private var collected: [String] = []
    private let lock = Lock()

    var all: [String] { lock.withLock { collected } }
    func add(_ line: String) { lock.withLock { collected.append(line) } }
}

/// A server over memory on a socket of its own.
final class ServerFixture: @unchecked Sendable {
    // SAFETY: `isStopped` is written once, by whoever stops the server.
    let service: RAMService
    let server: NBDServer
    let path: String
    private var isStopped = false
    private let lines = Lines()

    /// What the server has reported about clients.
    var log: [String] { lines.all }

    /// Waits for a line that contains all of these words.
    func waitForLine(_ words: String...) -> Bool {
        eventually { [lines] in lines.all.contains { line in words.allSatisfy(line.contains) } }
    }

    /// - Parameter lanes: clients at most.
    init(timeouts: ClientTimeouts = ClientTimeouts(), lanes: Int = .max, payloadByteCountMax: Int? = nil) throws {
        service = try RAMService()
        service.laneCountMax = lanes
        server = try NBDServer(
            services: [service], timeouts: timeouts, payloadByteCountMax: payloadByteCountMax
        ) { [lines] in lines.add($0) }
        path = "/tmp/nbdext-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
        _ = try server.listen(at: [.unix(path: path)])
    }

    deinit { if !isStopped { server.stop(limitMilliseconds: 60_000) } }

    func stop(limitMilliseconds: Int = 600_000) {
        isStopped = true
        server.stop(limitMilliseconds: limitMilliseconds)
    }

    func connect() -> RawClient {
        let client = RawClient(path: path)
        client.negotiate()
        return client
    }

    func waitUntilHeld(_ count: Int) {
        while service.heldCount < count { sched_yield() }
    }
}

@Suite("The NBD server", .serialized, .blocks)
struct NBDServerTests {
    private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8) &+ seed) }
    }

    @Test("many requests in one write, of many sizes, are all answered")
    func manyRequests() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        var input: [UInt8] = []
        let sizes = [1, 512, 4096, 65_536, 300_000, 1_048_576, 17]
        for (index, size) in sizes.enumerated() {
            input += RawClient.request(
                .write, cookie: UInt64(index), offset: UInt64(index) << 21, count: UInt32(size),
                payload: pattern(size, index))
        }
        client.write(input)
        for _ in sizes { #expect(client.reply()?.error == 0) }
        for (index, size) in sizes.enumerated() {
            client.write(
                RawClient.request(
                    .read, cookie: 100, offset: UInt64(index) << 21, count: UInt32(size)))
            #expect(client.reply()?.cookie == 100)
            #expect(client.read(size) == pattern(size, index))
        }
    }

    @Test("the largest payload goes both ways, and one more byte ends the connection", .slow)
    func largestPayload() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        let data = pattern(32 << 20, 5)
        client.write(RawClient.request(.write, cookie: 1, offset: 3, count: 32 << 20, payload: data))
        #expect(client.reply()?.error == 0)
        client.write(RawClient.request(.read, cookie: 2, offset: 3, count: 32 << 20))
        #expect(client.reply()?.error == 0)
        #expect(client.read(32 << 20) == data)
        client.write(RawClient.request(.write, cookie: 3, count: (32 << 20) + 1))
        #expect(client.isClosed)
    }

    @Test("more requests than there are tags wait their turn; completions may come in any order, from any thread")
    func heldRequests() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        fixture.service.hold()
        let count = 200
        var input: [UInt8] = []
        for index in 0..<count {
            input += RawClient.request(
                index % 2 == 0 ? .read : .flush, cookie: UInt64(index),
                count: index % 2 == 0 ? 512 : 0)
        }
        client.write(input)
        fixture.waitUntilHeld(64)
        fixture.service.releaseAll()
        var cookies: Set<UInt64> = []
        for _ in 0..<count {
            let reply = try #require(client.reply())
            cookies.insert(reply.cookie)
            if reply.cookie % 2 == 0 { _ = client.read(512) }
        }
        #expect(cookies.count == count)
    }

    @Test("refused requests do not end the connection, and a refused write's payload is skipped")
    func refusals() throws {
        let fixture = try ServerFixture()
        let client = fixture.connect()
        let size = fixture.service.info.byteCount
        client.write(
            RawClient.request(.write, cookie: 1, offset: size, count: 512, payload: pattern(512, 0))
                + RawClient.request(NBDCommand(rawValue: 99), cookie: 2)
                + RawClient.request(.read, cookie: 3, offset: size, count: 1)
                + RawClient.request(.flush, cookie: 4))
        let replies = (0..<4).compactMap { _ in client.reply() }
        #expect(Dictionary(uniqueKeysWithValues: replies.map { ($0.cookie, $0.error) }) == [1: 28, 2: 22, 3: 22, 4: 0])
    }

    @Test("garbage and half a request end one connection and no other")
    func garbage() throws {
        let fixture = try ServerFixture()
        let good = fixture.connect()
        let early = RawClient(path: fixture.path)
        _ = early.read(18)
        early.write(Array(repeating: 0xFF, count: 100))
        #expect(early.isClosed)
        let late = fixture.connect()
        late.write(Array(repeating: 0x41, count: 28))
        #expect(late.isClosed)
        do {
            let half = fixture.connect()
            half.write(RawClient.request(.write, cookie: 1, count: 4096, payload: pattern(100, 0)))
        }
        good.write(RawClient.request(.flush, cookie: 8))
        #expect(good.reply()?.cookie == 8)
    }

    @Test("random bytes behind the handshake never harm the server", arguments: 1...30)
    func randomBytes(seed: UInt64) throws {
        let fixture = try ServerFixture()
        var random = SeededGenerator(seed: seed)
        do {
            let client = fixture.connect()
            for _ in 0..<20 {
                client.write(
                    RawClient.request(
                        NBDCommand(rawValue: UInt16(random.below(8))), cookie: random.next(),
                        offset: UInt64(random.below(1 << 28)), count: UInt32(random.below(2000)),
                        flags: NBDCommandFlags(rawValue: UInt16(random.below(8)))))
            }
        }
        let good = fixture.connect()
        good.write(RawClient.request(.flush, cookie: 8))
        #expect(good.reply()?.cookie == 8, "seed \(seed)")
    }

    @Test("a client that takes no replies does not keep others waiting")
    func slowClient() throws {
        let fixture = try ServerFixture()
        let slow = fixture.connect()
        let good = fixture.connect()
        var input: [UInt8] = []
        for index in 0..<40 { input += RawClient.request(.read, cookie: UInt64(index), count: 1 << 20) }
        slow.write(input)
        for index in 0..<100 {
            good.write(RawClient.request(.read, cookie: UInt64(index), count: 4096))
            #expect(good.reply()?.cookie == UInt64(index))
            _ = good.read(4096)
        }
        // The slow one gets all of it in the end.
        for _ in 0..<40 {
            #expect(slow.reply()?.error == 0)
            #expect(slow.read(1 << 20).count == 1 << 20)
        }
    }

    @Test("a client that goes away with requests under way leaves nothing behind")
    func disconnect() throws {
        let fixture = try ServerFixture()
        fixture.service.hold()
        do {
            let client = fixture.connect()
            client.write(RawClient.request(.read, cookie: 1, count: 4096))
            fixture.waitUntilHeld(1)
        }
        fixture.service.releaseAll()
        let good = fixture.connect()
        good.write(RawClient.request(.flush, cookie: 8))
        #expect(good.reply()?.cookie == 8)
        good.write(RawClient.request(.disc, cookie: 9))
        #expect(good.isClosed)
    }

    @Test("stopping answers what was received before it closes connections")
    func drain() throws {
        let fixture = try ServerFixture()
        fixture.service.hold()
        let client = fixture.connect()
        client.write(RawClient.request(.read, cookie: 1, count: 4096))
        fixture.waitUntilHeld(1)
        client.write(RawClient.request(.flush, cookie: 2))
        fixture.waitUntilHeld(2)
        fixture.service.releaseAll()
        fixture.stop()
        let first = client.reply()
        if first?.cookie == 1 { _ = client.read(4096) }
        let second = client.reply()
        if second?.cookie == 1 { _ = client.read(4096) }
        #expect(Set([first?.cookie, second?.cookie]) == [1, 2])
        #expect(client.isClosed)
        #expect(access(fixture.path, F_OK) != 0)
    }
}
