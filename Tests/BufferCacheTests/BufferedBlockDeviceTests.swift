import BlockStorage
import BufferCache
import Glibc
import Platform
import TestTraits
import Testing

/// A disk, a cache over it, and a client of each.
struct CacheFixture {
    static let page = 16384

    let disk: MemoryDisk
    let device: BufferedBlockDevice
    let client: CacheClient

    init(pages: Int = 32, disk: MemoryDisk? = nil) throws {
        self.disk = try disk ?? MemoryDisk()
        device = try BufferedBlockDevice(over: self.disk, name: "array-buffered", cacheByteCount: pages * Self.page)
        client = try CacheClient(device)
    }

    /// What has reached the disk since this was last asked: operation, first byte, bytes.
    func log() -> [String] {
        disk.takeLog().map { $0.operation == .flush ? "flush" : "\($0.operation) \($0.byteOffset) \($0.byteCount)" }
    }
}

@Suite("The buffered block device", .blocks)
struct BufferedBlockDeviceTests {
    private let page = CacheFixture.page

    private func pattern(_ count: Int, _ seed: Int = 1) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8) ^ (seed &* 77)) }
    }

    @Test("it says what it is")
    func info() throws {
        let fixture = try CacheFixture()
        #expect(fixture.device.info.name == "array-buffered")
        #expect(fixture.device.info.description.contains("buffered"))
        #expect(fixture.device.info.byteCount == fixture.disk.info.byteCount)
        #expect(fixture.device.arena === fixture.disk.arena)
        #expect(throws: OSError.self) {
            try BufferedBlockDevice(over: fixture.disk, name: "x", cacheByteCount: 16383)
        }
    }

    @Test("a write does no I/O, and is read back from the cache")
    func writeAndHit() throws {
        let fixture = try CacheFixture()
        let data = pattern(3 * page)
        #expect(fixture.client.write(data, at: 512) == .none)
        #expect(fixture.client.read(at: 512, count: data.count) == data)
        #expect(fixture.log() == [])
        #expect(fixture.device.dirtyByteCount() == UInt64(data.count))
    }

    @Test("what was read once comes from the cache, whole pages at a time")
    func readMissAndHit() throws {
        let fixture = try CacheFixture()
        memset(fixture.disk.bytes.baseAddress! + page, 5, 2 * page)
        let data = [UInt8](repeating: 5, count: page)
        #expect(fixture.client.read(at: page + 4096, count: page) == data)
        #expect(fixture.log() == ["read \(page) \(2 * page)"])
        #expect(fixture.client.read(at: 2 * page, count: page) == data)
        #expect(fixture.log() == [])
    }

    @Test("a flush writes neighbours together, and then flushes the disk")
    func flush() throws {
        let fixture = try CacheFixture()
        let data = pattern(4 * page)
        for index in [2, 0, 3, 1] {
            fixture.client.write(Array(data[index * page..<(index + 1) * page]), at: index * page)
        }
        fixture.client.write([1, 2, 3, 4] + [UInt8](repeating: 0, count: 508), at: 20 * page + 1024)
        #expect(fixture.client.perform(.flush) == .none)
        #expect(fixture.log() == ["write 0 \(4 * page)", "write \(20 * page + 1024) 512", "flush"])
        #expect(fixture.device.dirtyByteCount() == 0)
        #expect(Array(fixture.disk.bytes[..<(4 * page)]) == data)
        // Nothing is left to write.
        #expect(fixture.client.perform(.flush) == .none)
        #expect(fixture.log() == ["flush"])
    }

    @Test("sectors with gaps between them are written each in its place")
    func gaps() throws {
        let fixture = try CacheFixture()
        for sector in [0, 2, 3, 31, 32, 40] {
            fixture.client.write([UInt8](repeating: UInt8(sector + 1), count: 512), at: sector * 512)
        }
        #expect(fixture.client.perform(.flush) == .none)
        #expect(
            fixture.log() == ["write 0 512", "write 1024 1024", "write 15872 1024", "write 20480 512", "flush"])
        let marks = (0..<42).map { fixture.disk.bytes[$0 * 512] }.filter { $0 != 0 }
        #expect(marks == [1, 3, 4, 32, 33, 41])
    }

    @Test("a request with FUA is durable when it completes, and writes no more than its range")
    func forceUnitAccess() throws {
        let fixture = try CacheFixture()
        fixture.client.write(pattern(page), at: 8 * page)
        #expect(fixture.client.write(pattern(1024), at: 0, flags: .forceUnitAccess) == .none)
        #expect(fixture.log() == ["write 0 1024", "flush"])
        #expect(Array(fixture.disk.bytes[..<1024]) == pattern(1024))
        #expect(fixture.client.read(at: 0, count: 1024) == pattern(1024))
        #expect(fixture.log() == [])
        #expect(fixture.client.perform(.writeZeroes, at: 8 * page, count: 700, flags: .forceUnitAccess) == .none)
        // The head is zeroed by the disk, the tail in the cache, and the page's other sectors become durable with it.
        #expect(fixture.log() == ["writeZeroes \(8 * page) 512", "write \(8 * page + 512) \(page - 512)", "flush"])
        #expect(fixture.device.dirtyByteCount() == 0)
    }

    @Test("a request that cuts sectors reads them first, and keeps what is around it")
    func oddAlignment() throws {
        let fixture = try CacheFixture()
        memset(fixture.disk.bytes.baseAddress!, 9, fixture.disk.bytes.count)
        #expect(fixture.client.write([1, 2, 3], at: 511) == .none)
        #expect(fixture.log() == ["read 0 \(page)"])
        #expect(fixture.client.read(at: 509, count: 7) == [9, 9, 1, 2, 3, 9, 9])
        #expect(fixture.client.write(pattern(page), at: 3 * page - 100) == .none)
        #expect(fixture.client.perform(.flush) == .none)
        let around: [UInt8] = [9, 9]
        let expected = around + pattern(page) + around
        #expect(Array(fixture.disk.bytes[(3 * page - 102)..<(4 * page - 98)]) == expected)
        #expect(Array(fixture.disk.bytes[509..<516]) == [9, 9, 1, 2, 3, 9, 9])
    }

    @Test("the last page may be short")
    func endOfDevice() throws {
        let fixture = try CacheFixture(disk: MemoryDisk(byteCount: page + 1536))
        #expect(fixture.client.write([7], at: page + 1535) == .none)
        #expect(fixture.log() == ["read \(page) 1536"])
        #expect(fixture.client.read(at: 0, count: page + 1536).last == 7)
        #expect(fixture.client.perform(.flush) == .none)
        #expect(fixture.log() == ["read 0 \(page)", "write \(page + 1024) 512", "flush"])
        #expect(fixture.disk.bytes.last == 7)
        #expect(fixture.client.perform(.read, at: page, count: 1537) == .invalid)
        #expect(fixture.client.perform(.read, at: 0, count: 0) == .invalid)
    }

    @Test("clean pages make room without I/O; dirty ones are written back first, neighbours together")
    func eviction() throws {
        let fixture = try CacheFixture(pages: 4)
        for index in 0..<8 { _ = fixture.client.read(at: index * page, count: 512) }
        #expect(fixture.log().count == 8)
        for index in 0..<4 { fixture.client.write(pattern(page, index), at: (10 + index) * page) }
        #expect(fixture.log() == [])
        fixture.client.write(pattern(page, 4), at: 14 * page)
        #expect(fixture.log() == ["write \(10 * page) \(4 * page)"])
        for index in 0..<5 {
            #expect(fixture.client.read(at: (10 + index) * page, count: page) == pattern(page, index))
        }
    }

    @Test("a request may be larger than the cache")
    func largerThanCache() throws {
        let fixture = try CacheFixture(pages: 1)
        let data = pattern(5 * page)
        #expect(fixture.client.write(data, at: 100) == .none)
        #expect(fixture.client.read(at: 100, count: data.count) == data)
        #expect(fixture.client.perform(.flush) == .none)
        #expect(Array(fixture.disk.bytes[100..<(100 + data.count)]) == data)
    }

    @Test("the raw device and the cache do not see each other's writes")
    func notCoherent() throws {
        let fixture = try CacheFixture()
        let raw = try CacheClient(fixture.disk)
        #expect(fixture.client.read(at: 0, count: 512) == [UInt8](repeating: 0, count: 512))
        raw.write(pattern(512, 2), at: 0)
        #expect(fixture.client.read(at: 0, count: 512) == [UInt8](repeating: 0, count: 512))
        fixture.client.write(pattern(512, 3), at: 512)
        #expect(raw.read(at: 512, count: 512) == [UInt8](repeating: 0, count: 512))
        fixture.client.perform(.flush)
        #expect(raw.read(at: 0, count: 1024) == pattern(512, 2) + pattern(512, 3))
    }

    @Test("trims and zeroes drop what the cache has of whole blocks, and keep the edges")
    func passThrough() throws {
        let fixture = try CacheFixture()
        let data = pattern(4 * page)
        fixture.client.write(data, at: 0)
        #expect(fixture.client.perform(.trim, at: 300, count: page) == .none)
        #expect(fixture.log() == ["trim 512 \(page - 512)"])
        #expect(fixture.client.perform(.writeZeroes, at: 2 * page - 10, count: page, flags: .noHole) == .none)
        #expect(fixture.disk.takeLog().map(\.flags) == [.noHole])
        var expected = data
        for index in 300..<page + 300 { expected[index] = 0 }
        for index in (2 * page - 10)..<(3 * page - 10) { expected[index] = 0 }
        #expect(fixture.client.read(at: 0, count: 4 * page) == expected)
        fixture.client.perform(.flush)
        #expect(Array(fixture.disk.bytes[..<(4 * page)]) == expected)
        // Too small for a block.
        _ = fixture.log()
        #expect(fixture.client.perform(.trim, at: 10, count: 600) == .none)
        #expect(fixture.client.perform(.writeZeroes, at: 10, count: 600) == .none)
        #expect(fixture.log() == [])
        let edges = [data[9]] + [UInt8](repeating: 0, count: 601)
        #expect(Array(fixture.client.read(at: 0, count: 611).suffix(602)) == edges)
    }

    @Test("a device that cannot do it says so")
    func refusals() throws {
        let fixture = try CacheFixture(disk: MemoryDisk(isReadOnly: true))
        #expect(fixture.client.write([1], at: 0) == .readOnly)
        #expect(fixture.client.perform(.flush) == .none)
        let other = try CacheFixture(disk: MemoryDisk(supportsTrim: false))
        #expect(other.client.perform(.trim, at: 0, count: 4096) == .notSupported)
    }

    @Test("errors go to the request that met them, and lose nothing")
    func failures() throws {
        let fixture = try CacheFixture(pages: 2)
        fixture.disk.fail([.write], with: .noSpace)
        #expect(fixture.client.write(pattern(2 * page), at: 0) == .none)
        #expect(fixture.client.perform(.flush) == .noSpace)
        #expect(fixture.client.write(pattern(page), at: 5 * page) == .noSpace)
        #expect(fixture.client.write(pattern(512), at: 0, flags: .forceUnitAccess) == .noSpace)
        #expect(fixture.device.dirtyByteCount() == UInt64(2 * page))
        fixture.disk.fail([.writeZeroes, .flush])
        #expect(fixture.client.perform(.writeZeroes, at: 0, count: page) == .inputOutput)
        #expect(fixture.client.perform(.flush) == .inputOutput)
        fixture.disk.fail([.read])
        #expect(fixture.client.perform(.read, at: 6 * page, count: 512) == .inputOutput)
        fixture.disk.fail([])
        #expect(fixture.client.perform(.flush) == .none)
        #expect(fixture.client.read(at: 0, count: 2 * page) == pattern(2 * page))
        #expect(Array(fixture.disk.bytes[..<(2 * page)]) == pattern(2 * page))
    }
}
