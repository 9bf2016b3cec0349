import MDFormat
import Testing

@Suite("Bitmaps and partial parity logs in md's format")
struct ConsistencyMetadataTests {
    /// 00 01 ... 0f
    private static let uuid = (0..<16).map { UInt8($0) }

    private func parse(_ bytes: [UInt8]) throws -> MDBitmap { try bytes.withUnsafeBytes { try MDBitmap(parsing: $0) } }

    private func log(_ bytes: [UInt8]) throws -> MDPartialParityLog {
        try bytes.withUnsafeBytes {
            try MDPartialParityLog(parsing: $0, signature: MDPartialParityLog.signature(setUUID: Self.uuid))
        }
    }

    /// Values that RFC 3720 gives in B.4, and the one that everybody gives.
    @Test("checksums are CRC-32C")
    func checksum() {
        #expect(CRC32C.checksum(of: Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.checksum(of: Array(repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum(of: Array(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum(of: (0..<32).map { UInt8($0) }) == 0x46DD_794E)
    }

    @Test("a bitmap's fields lie where mdadm --examine-bitmap finds them")
    func bitmapLayout() throws {
        var bitmap = MDBitmap(setUUID: Self.uuid, syncSectors: 1 << 21, areaByteCount: 4096, events: 0x0102_0304)
        bitmap.eventsCleared = 0x55
        bitmap.bits[1] |= 0x80
        let bytes = bitmap.encoded
        #expect(bytes.count == 4096)
        var expected = [UInt8](repeating: 0, count: 4096)
        expected.replaceSubrange(0..<8, with: Array("bitm".utf8) + [4, 0, 0, 0])
        expected.replaceSubrange(8..<24, with: Self.uuid)
        expected.replaceSubrange(24..<28, with: [4, 3, 2, 1])
        expected[32] = 0x55
        expected[42] = 0x20
        expected[55] = 0x04
        expected[56] = 5
        expected[64] = 8
        expected[257] = 0x80
        #expect(bytes == expected)
        #expect(try parse(bytes) == bitmap)
        #expect(bitmap.bitCount == 16 && bitmap.isSet(15) && !bitmap.isSet(14))
    }

    @Test("a bitmap's chunk grows until the bits fit the area")
    func bitmapChunk() {
        // 8 GiB, in 4 KiB: one bit for 64 MiB.
        #expect(MDBitmap.chunkByteCount(syncSectors: 1 << 24, areaByteCount: 4096) == 64 << 20)
        // 30,720 bits fit behind the header; one region more makes it too small.
        let largest: UInt64 = 30720 * (64 << 20) / 512
        #expect(MDBitmap.chunkByteCount(syncSectors: largest, areaByteCount: 4096) == 64 << 20)
        #expect(MDBitmap.chunkByteCount(syncSectors: largest + 1, areaByteCount: 4096) == 128 << 20)
    }

    @Test("what is no bitmap that can be used is refused")
    func badBitmaps() throws {
        let good = MDBitmap(setUUID: Self.uuid, syncSectors: 1 << 21, areaByteCount: 4096, events: 1).encoded
        func changed(_ offset: Int, _ value: UInt8) -> [UInt8] {
            var bytes = good
            bytes[offset] = value
            return bytes
        }
        #expect(throws: MDBitmap.Problem.noMagic) { try parse(changed(0, 0)) }
        #expect(throws: MDBitmap.Problem.noMagic) { try parse(Array(good.prefix(255))) }
        #expect(throws: MDBitmap.Problem.unsupportedVersion(6)) { try parse(changed(4, 6)) }
        #expect(throws: MDBitmap.Problem.wrongSize) { try parse(changed(55, 0)) }
        #expect(throws: MDBitmap.Problem.wrongSize) { try parse(changed(54, 1)) }
        #expect(throws: MDBitmap.Problem.wrongSize) { try parse(changed(46, 32)) }
        // 32 regions need four bytes of bits.
        #expect(throws: MDBitmap.Problem.incomplete(bitCount: 32)) {
            try parse(Array(changed(42, 0x40).prefix(256 + 3)))
        }
        let fitting = try parse(Array(changed(42, 0x40).prefix(256 + 4)))
        #expect(fitting.bitCount == 32)
        let (stale, active) = (try parse(changed(48, 2)), try parse(changed(48, 1)))
        #expect(stale.isStale && !active.isStale)
    }

    /// The checksums were computed by an independent program.
    @Test("a log's header lies where md finds it")
    func logLayout() throws {
        let entries = [
            MDPartialParityLog.Entry(
                dataSector: 1000, partialParityByteCount: 4096, dataByteCount: 8192, parityRole: 2,
                checksum: CRC32C.checksum(of: Array(repeating: 0x5A, count: 4096))),
            MDPartialParityLog.Entry(
                dataSector: 2048, partialParityByteCount: 0, dataByteCount: 12288, parityRole: 2),
        ]
        let header = MDPartialParityLog(generation: 7, entries: entries)
        let bytes = header.encoded(signature: MDPartialParityLog.signature(setUUID: Self.uuid))
        #expect(bytes.count == 4096)
        #expect(bytes[..<512].allSatisfy { $0 == 0xFF })
        #expect(bytes[512..<516].elementsEqual([0xEB, 0x08, 0xC9, 0xD9]))
        #expect(bytes[516..<532].elementsEqual([0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]))
        #expect(bytes[532..<536].elementsEqual([0x3C, 0xA3, 0xFA, 0x6E]))
        #expect(
            bytes[536..<560].elementsEqual([
                0xE8, 3, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x20, 0, 0, 2, 0, 0, 0, 0x49, 0x8C, 0xF1, 0x37,
            ]))
        #expect(try log(bytes) == header)
        let empty = MDPartialParityLog().encoded(signature: MDPartialParityLog.signature(setUUID: Self.uuid))
        #expect(empty[532..<536].elementsEqual([0xC7, 0x68, 0x8B, 0xA6]))
        #expect(try log(empty) == MDPartialParityLog())
    }

    @Test("a header that is torn, or another array's, is refused")
    func badLogs() {
        let signature = MDPartialParityLog.signature(setUUID: Self.uuid)
        let good = MDPartialParityLog(generation: 7).encoded(signature: signature)
        for offset in [0, 515, 520, 535, 536, 4095] {
            var bytes = good
            bytes[offset] ^= 1
            #expect(throws: MDPartialParityLog.Problem.wrongChecksum) { try log(bytes) }
        }
        #expect(throws: MDPartialParityLog.Problem.wrongChecksum) { try log(Array(good.prefix(4095))) }
        #expect(throws: MDPartialParityLog.Problem.wrongSignature) {
            try log(MDPartialParityLog().encoded(signature: signature ^ 1))
        }
        var crowded = good
        crowded[528] = 149
        crowded.replaceSubrange(532..<536, with: [0, 0, 0, 0])
        let checksum = CRC32C.checksum(of: crowded)
        crowded.replaceSubrange(532..<536, with: (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) })
        #expect(throws: MDPartialParityLog.Problem.wrongEntryCount) { try log(crowded) }
    }
}
