import Glibc
import NBDProtocol
import NBDServer
import Platform
import TestSupport
import TestTraits
import Testing

/// What clients do that never come to their first request.
@Suite("Handshakes", .blocks)
struct HandshakeTests {
    private static func timeouts(milliseconds: Int) -> ClientTimeouts {
        var timeouts = ClientTimeouts()
        timeouts.handshakeMilliseconds = milliseconds
        return timeouts
    }

    private static func option(_ option: NBDOption, _ data: [UInt8] = []) -> [UInt8] {
        func bytes(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
        return Array("IHAVEOPT".utf8) + bytes(Int(option.rawValue)) + bytes(data.count) + data
    }

    @Test("one that is not finished in time is dropped, and a client that is attached stays")
    func silent() throws {
        let fixture = try ServerFixture(timeouts: Self.timeouts(milliseconds: 300))
        let attached = fixture.connect()
        let silent = RawClient(path: fixture.path)
        #expect(silent.read(18).count == 18)
        #expect(silent.isClosed)
        attached.write(RawClient.request(.flush, cookie: 8))
        #expect(attached.reply()?.cookie == 8)
    }

    @Test("bytes that trickle do not make it longer")
    func trickling() throws {
        let fixture = try ServerFixture(timeouts: Self.timeouts(milliseconds: 300))
        let client = RawClient(path: fixture.path)
        _ = client.read(18)
        client.write([0, 0, 0, 3])
        var written = 0
        // An option of 4 KiB, a byte at a time, would take minutes.
        let bytes = Self.option(NBDOption(rawValue: 99), Array(repeating: 0, count: 4096))
        while written < bytes.count, send(client.descriptor, [bytes[written]], 1, Int32(MSG_NOSIGNAL)) == 1 {
            written += 1
            usleep(20_000)
        }
        #expect(written < bytes.count)
    }

    @Test("options without end whose answers nobody reads do not make it longer")
    func flooding() throws {
        let fixture = try ServerFixture(timeouts: Self.timeouts(milliseconds: 300))
        let client = RawClient(path: fixture.path)
        client.write([0, 0, 0, 3])
        let list = Array(repeatElement(Self.option(.list), count: 1000).joined())
        // Ends when the server closes: until then it blocks, since nobody reads.
        while send(client.descriptor, list, list.count, Int32(MSG_NOSIGNAL)) > 0 {}
        let good = fixture.connect()
        good.write(RawClient.request(.flush, cookie: 8))
        #expect(good.reply()?.cookie == 8)
    }

    @Test("a client that cannot be served is refused before it is attached")
    func noLane() throws {
        let fixture = try ServerFixture(lanes: 0)
        let go = Self.option(.go, [0, 0, 0, 0, 0, 0])
        let client = RawClient(path: fixture.path)
        _ = client.read(18)
        client.write([0, 0, 0, 3] + go)
        let refusal = client.read(20)
        #expect(Array(refusal[12..<16]) == [0x80, 0, 0, 2])
        _ = client.read(Int(refusal[19]))
        // There is no reply that could say so.
        let old = RawClient(path: fixture.path)
        _ = old.read(18)
        old.write([0, 0, 0, 0] + Self.option(.exportName))
        #expect(old.isClosed)
    }
}
