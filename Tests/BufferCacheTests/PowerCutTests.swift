import BlockStorage
import BufferCache
import Platform
import TestTraits
import Testing

@Suite("A power cut", .blocks)
struct PowerCutTests {
    private let page = CacheFixture.page

    @Test("it loses what was not flushed, and says how much; what was flushed stays")
    func powerCut() throws {
        let fixture = try CacheFixture()
        fixture.client.write([UInt8](repeating: 1, count: page), at: 0)
        fixture.client.perform(.flush)
        fixture.client.write([UInt8](repeating: 2, count: 512), at: 0)
        fixture.client.write([UInt8](repeating: 3, count: 512), at: 5 * page)
        #expect(fixture.device.powerCut() == 1024)
        #expect(fixture.device.dirtyByteCount() == 0)
        #expect(fixture.client.read(at: 0, count: page) == [UInt8](repeating: 1, count: page))
        #expect(fixture.client.read(at: 5 * page, count: 512) == [UInt8](repeating: 0, count: 512))
        _ = fixture.log()
        fixture.client.perform(.flush)
        #expect(fixture.log() == ["flush"])
        #expect(fixture.device.powerCut() == 0)
    }

    @Test("it empties the cache of clean pages too")
    func cleanPages() throws {
        let fixture = try CacheFixture(pages: 2)
        _ = fixture.client.read(at: 0, count: 2 * page)
        _ = fixture.device.powerCut()
        _ = fixture.log()
        _ = fixture.client.read(at: 0, count: 2 * page)
        #expect(fixture.log() == ["read 0 \(2 * page)"])
    }

    @Test("what began before it and would end after it fails, unless it only reads")
    func requestsUnderWay() throws {
        let fixture = try CacheFixture()
        fixture.client.write([UInt8](repeating: 1, count: 512), at: 0)
        fixture.disk.setMode(.held)
        fixture.client.start(.flush, tag: 1)
        fixture.client.start(.write, tag: 2, at: 3 * page, count: 10)
        fixture.client.start(.read, tag: 3, at: 6 * page, count: 512)
        #expect(fixture.disk.heldOperations == [.write, .read, .read])
        #expect(fixture.device.powerCut() == 512)
        fixture.disk.setMode(.atOnce)
        for _ in 0..<3 { fixture.disk.release() }
        let ended = fixture.client.outcomes(3).sorted { $0.tag < $1.tag }
        #expect(ended.map(\.error) == [.inputOutput, .inputOutput, .none])
        // Also when only the disk's own flush is left of it.
        fixture.disk.setMode(.held)
        fixture.client.start(.write, tag: 1, at: 0, count: 512, flags: .forceUnitAccess)
        fixture.disk.release()
        fixture.client.lane.wait(orReadable: -1)
        #expect(fixture.disk.heldOperations == [.flush])
        _ = fixture.device.powerCut()
        fixture.disk.setMode(.atOnce)
        fixture.disk.release()
        #expect(fixture.client.outcomes().map(\.error) == [.inputOutput])
        #expect(fixture.client.perform(.flush) == .none)
    }

    @Test("a write back from before a cut does not overtake one from after it")
    func writeBackUnderWay() throws {
        let fixture = try CacheFixture()
        fixture.client.write([UInt8](repeating: 1, count: 512), at: 0)
        fixture.disk.setMode(.held)
        fixture.client.start(.flush, tag: 1)
        _ = fixture.device.powerCut()
        fixture.client.write([UInt8](repeating: 2, count: 512), at: 0)
        fixture.client.start(.flush, tag: 2)
        fixture.client.start(.read, tag: 3, at: 1024, count: 512)
        #expect(fixture.disk.heldOperations == [.write])
        fixture.disk.setMode(.atOnce)
        fixture.disk.release()
        #expect(fixture.client.outcomes(3).count == 3)
        #expect(fixture.disk.bytes[0] == 2)
    }

    @Test("a read that a write back of its page and a cut came between does not show what was before")
    func fillUnderWay() throws {
        let fixture = try CacheFixture()
        fixture.disk.setMode(.held)
        fixture.client.start(.read, tag: 1, at: 1024, count: 512)
        fixture.client.write([UInt8](repeating: 1, count: 512), at: 0)
        fixture.client.start(.flush, tag: 2)
        #expect(fixture.disk.heldOperations == [.read, .write])
        fixture.disk.setMode(.atOnce)
        fixture.disk.release(1)
        #expect(fixture.client.outcomes().map(\.error) == [.none])
        _ = fixture.device.powerCut()
        fixture.disk.release()
        #expect(fixture.client.outcomes().map(\.error) == [.none])
        #expect(fixture.log() == ["read 0 \(page)", "write 0 512", "flush", "read 0 \(page)"])
        #expect(fixture.client.read(at: 0, count: 1) == [1])
    }
}
