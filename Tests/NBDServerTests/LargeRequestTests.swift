import Glibc
import NBDProtocol
import NBDServer
import Platform
import TestTraits
import Testing

/// Requests up to the 32 MiB that are announced, with very little memory for all clients together.
@Suite("Large requests", .serialized, .blocks)
struct LargeRequestTests {
    private static let mebibyte = 1 << 20
    private static let largest = 32 << 20
    /// Room for one of the largest requests.
    private static let scarce = 33 << 20

    /// Sends the header of a write, and so much of its payload.
    private func write(
        _ client: RawClient, _ byteCount: Int, cookie: UInt64, fill: Int32, sending sent: Int? = nil
    ) {
        client.write(RawClient.request(.write, cookie: cookie, count: UInt32(byteCount)))
        client.write(fill: fill, sent ?? byteCount)
    }

    private func read(_ client: RawClient, _ byteCount: Int, cookie: UInt64) {
        client.write(RawClient.request(.read, cookie: cookie, count: UInt32(byteCount)))
    }

    /// Reads a reply to a read of bytes that are all alike.
    private func expectReply(_ client: RawClient, cookie: UInt64, byteCount: Int, fill: Int32) {
        let reply = client.reply()
        #expect(reply?.cookie == cookie)
        #expect(reply?.error == 0)
        #expect(client.reads(fill: fill, byteCount))
    }

    @Test(
        "any sequence of sizes is answered",
        arguments: [[20, 32, 32], [7, 32, 32], [16, 32, 24], [16, 24, 31], [4, 16, 8, 32, 32], [1, 2, 32, 1, 32]])
    func sequences(sizes: [Int]) throws {
        let fixture = try ServerFixture(payloadByteCountMax: Self.scarce)
        let client = fixture.connect()
        for writesAtEven in [true, false] {
            write(client, Self.largest, cookie: 99, fill: 1)
            #expect(client.reply()?.cookie == 99)
            for (index, size) in sizes.enumerated() {
                if (index % 2 == 0) == writesAtEven {
                    write(client, size * Self.mebibyte, cookie: UInt64(index), fill: 1)
                    #expect(client.reply()?.cookie == UInt64(index))
                } else {
                    read(client, size * Self.mebibyte, cookie: UInt64(index))
                    expectReply(client, cookie: UInt64(index), byteCount: size * Self.mebibyte, fill: 1)
                }
            }
        }
    }

    @Test("sixteen of the largest requests at once are answered")
    func sixteen() throws {
        let fixture = try ServerFixture(payloadByteCountMax: Self.scarce)
        let client = fixture.connect()
        write(client, Self.largest, cookie: 0, fill: 3)
        #expect(client.reply()?.error == 0)
        for cookie in 1...16 { read(client, Self.largest, cookie: UInt64(cookie)) }
        for cookie in 1...16 { expectReply(client, cookie: UInt64(cookie), byteCount: Self.largest, fill: 3) }
    }

    @Test("to announce a large write takes no memory from others")
    func announcements() throws {
        let fixture = try ServerFixture(payloadByteCountMax: Self.scarce)
        let good = fixture.connect()
        let stalled = (0..<8).map { _ in
            let client = fixture.connect()
            write(client, Self.largest, cookie: 1, fill: 9, sending: 20_000)
            return client
        }
        write(good, Self.largest, cookie: 2, fill: 5)
        #expect(good.reply()?.error == 0)
        read(good, Self.largest, cookie: 3)
        expectReply(good, cookie: 3, byteCount: Self.largest, fill: 5)
        // Nobody was ended for it.
        for client in stalled { client.write(fill: 9, Self.largest - 20_000) }
        for client in stalled { #expect(client.reply()?.error == 0) }
    }

    @Test("clients that stop in the middle of a write, or take no replies, are ended when others wait for the memory")
    func stalledClients() throws {
        let fixture = try ServerFixture(payloadByteCountMax: 2 * Self.scarce)
        let good = fixture.connect()
        let writer = fixture.connect()
        write(writer, Self.largest, cookie: 1, fill: 9, sending: 8 << 20)
        let reader = fixture.connect()
        read(reader, Self.largest, cookie: 1)
        read(reader, Self.largest, cookie: 2)
        write(good, Self.largest, cookie: 2, fill: 5)
        #expect(good.reply()?.error == 0)
        read(good, Self.largest, cookie: 3)
        expectReply(good, cookie: 3, byteCount: Self.largest, fill: 5)
        #expect(writer.isClosed)
    }

    /// A server whose memory is all taken by a client's read, which the device holds.
    private func serverWithoutMemory() throws -> (fixture: ServerFixture, holder: RawClient) {
        let fixture = try ServerFixture(payloadByteCountMax: Self.scarce)
        fixture.service.hold()
        let holder = fixture.connect()
        read(holder, Self.largest, cookie: 1)
        fixture.waitUntilHeld(1)
        return (fixture, holder)
    }

    @Test("a client that leaves while it waits for memory is noticed at once")
    func leaving() throws {
        let (fixture, holder) = try serverWithoutMemory()
        do {
            let reader = fixture.connect()
            read(reader, Self.largest, cookie: 2)
            let writer = fixture.connect()
            write(writer, Self.largest, cookie: 1, fill: 9, sending: 200_000)
            while fixture.service.laneCount < 3 { usleep(1000) }
        }
        while fixture.service.laneCount > 1 { usleep(1000) }
        fixture.service.releaseAll()
        expectReply(holder, cookie: 1, byteCount: Self.largest, fill: 0)
    }

    @Test("a client that sends no more gets the reply that it waits for memory for")
    func halfClosed() throws {
        let (fixture, holder) = try serverWithoutMemory()
        let waiting = fixture.connect()
        read(waiting, Self.largest, cookie: 2)
        shutdown(waiting.descriptor, Int32(SHUT_WR))
        usleep(100_000)
        fixture.service.releaseAll()
        expectReply(holder, cookie: 1, byteCount: Self.largest, fill: 0)
        expectReply(waiting, cookie: 2, byteCount: Self.largest, fill: 0)
    }

    @Test("stopping answers a large request that waits for memory")
    func stopping() throws {
        let (fixture, holder) = try serverWithoutMemory()
        let waiting = fixture.connect()
        read(waiting, Self.largest, cookie: 2)
        usleep(100_000)
        let stopped = OneShotEvent()
        let stoppedFixture = fixture
        try OSThread(name: "stop") {
            stoppedFixture.stop()
            stopped.set()
        }.detach()
        usleep(100_000)
        fixture.service.releaseAll()
        expectReply(holder, cookie: 1, byteCount: Self.largest, fill: 0)
        expectReply(waiting, cookie: 2, byteCount: Self.largest, fill: 0)
        stopped.wait()
    }
}

/// Bytes that are all alike; arrays of so many would take long without optimisation.
extension RawClient {
    private static let pieceByteCount = 1 << 20

    func write(fill: Int32, _ byteCount: Int) {
        let piece = UnsafeMutableRawPointer.allocate(byteCount: Self.pieceByteCount, alignment: 16)
        defer { piece.deallocate() }
        memset(piece, fill, Self.pieceByteCount)
        var left = byteCount
        while left > 0 {
            let count = send(descriptor, piece, min(left, Self.pieceByteCount), Int32(MSG_NOSIGNAL))
            if count <= 0 { return }
            left -= count
        }
    }

    /// Reads so many bytes. Returns whether they were there, and each was `fill`.
    func reads(fill: Int32, _ byteCount: Int) -> Bool {
        let pieces = UnsafeMutableRawPointer.allocate(byteCount: 2 * Self.pieceByteCount, alignment: 16)
        defer { pieces.deallocate() }
        memset(pieces, fill, Self.pieceByteCount)
        var left = byteCount
        while left > 0 {
            let count = recv(descriptor, pieces + Self.pieceByteCount, min(left, Self.pieceByteCount), 0)
            guard count > 0, memcmp(pieces, pieces + Self.pieceByteCount, count) == 0 else { return false }
            left -= count
        }
        return true
    }
}
