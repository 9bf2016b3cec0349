import BlockStorage
import BufferCache
import Glibc
import Platform
import TestTraits
import Testing

/// Requests that meet I/O of others under way.
@Suite("Waiting in the buffer cache", .blocks)
struct WaitingTests {
    private let page = CacheFixture.page

    @Test("two readers of a page read it once")
    func oneFill() throws {
        let fixture = try CacheFixture()
        let other = try CacheClient(fixture.device)
        fixture.disk.setMode(.held)
        fixture.client.start(.read, at: 0, count: 512)
        other.start(.read, at: 1024, count: 512)
        #expect(fixture.disk.heldOperations == [.read])
        #expect(fixture.client.lane.hasOutstandingWork && other.lane.hasOutstandingWork)
        fixture.disk.release()
        // The outcome waits for the lane's own thread.
        #expect(fixture.client.take().isEmpty)
        #expect(fixture.client.outcomes().map(\.error) == [.none])
        #expect(other.outcomes().map(\.error) == [.none])
        #expect(!fixture.client.lane.hasOutstandingWork && !other.lane.hasOutstandingWork)
        #expect(fixture.log() == ["read 0 \(page)"])
    }

    @Test("a lane that sleeps is woken by another thread, and by its descriptor")
    func wakeUp() throws {
        let fixture = try CacheFixture()
        fixture.disk.setMode(.held)
        fixture.client.start(.read, at: 0, count: 512)
        let disk = fixture.disk
        let thread = try OSThread(name: "release") {
            usleep(20_000)
            disk.release()
        }
        #expect(fixture.client.outcomes().map(\.error) == [.none])
        thread.join()
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var byte: UInt8 = 1
        #expect(write(ends[1], &byte, 1) == 1)
        fixture.client.start(.read, at: page, count: 512)
        fixture.client.lane.wait(orReadable: ends[0])
        #expect(fixture.client.take().isEmpty)
        fixture.disk.release()
        #expect(fixture.client.outcomes().count == 1)
    }

    @Test("a page can be read and written while an older state of it is written back; the newer one stays dirty")
    func writeDuringWriteBack() throws {
        let fixture = try CacheFixture()
        fixture.client.write([UInt8](repeating: 1, count: 1024), at: 0)
        fixture.disk.setMode(.held)
        fixture.client.start(.flush, tag: 1)
        #expect(fixture.disk.heldOperations == [.write])
        let other = try CacheClient(fixture.device)
        other.write([UInt8](repeating: 2, count: 512), at: 512)
        #expect(other.read(at: 511, count: 2) == [1, 2])
        // A second write back must not overtake the first.
        other.start(.flush, tag: 1)
        #expect(fixture.disk.heldOperations == [.write])
        fixture.disk.release()
        fixture.client.lane.wait(orReadable: -1)
        other.lane.wait(orReadable: -1)
        #expect(fixture.disk.heldOperations == [.flush, .write])
        #expect(fixture.disk.bytes[512] == 1)
        fixture.disk.release(1)
        other.lane.wait(orReadable: -1)
        #expect(fixture.disk.bytes[512] == 2)
        fixture.disk.release()
        fixture.disk.release()
        #expect(fixture.client.outcomes().map(\.error) == [.none])
        #expect(other.outcomes().map(\.error) == [.none])
        #expect(fixture.device.dirtyByteCount() == 0)
    }

    @Test("a flush waits for a write back that another request began, and repeats it if it failed")
    func flushAfterFailedWriteBack() throws {
        let fixture = try CacheFixture(pages: 1)
        fixture.client.write([UInt8](repeating: 1, count: 512), at: 0)
        fixture.disk.setMode(.held)
        // Needs room.
        fixture.client.start(.write, at: page, count: 512)
        #expect(fixture.disk.heldOperations == [.write])
        let other = try CacheClient(fixture.device)
        other.start(.flush)
        #expect(fixture.disk.heldOperations == [.write])
        fixture.disk.fail([.write])
        fixture.disk.release()
        #expect(fixture.client.outcomes().map(\.error) == [.inputOutput])
        fixture.disk.fail([])
        fixture.disk.setMode(.atOnce)
        #expect(other.outcomes().map(\.error) == [.none])
        #expect(fixture.disk.bytes[0] == 1)
    }

    @Test("a zeroing waits for a read of its range, and keeps later requests away until it is done")
    func barrier() throws {
        let fixture = try CacheFixture()
        memset(fixture.disk.bytes.baseAddress!, 3, 4 * page)
        fixture.disk.setMode(.held)
        fixture.client.start(.read, tag: 0, at: 0, count: 512)
        fixture.client.start(.writeZeroes, tag: 1, at: 0, count: 2 * page)
        fixture.client.start(.read, tag: 2, at: page, count: 512)
        fixture.client.start(.read, tag: 3, at: 3 * page, count: 512)
        #expect(fixture.disk.heldOperations == [.read, .read])
        fixture.disk.release()
        #expect(fixture.client.outcomes().map(\.tag) == [0])
        #expect(fixture.client.content(0, 1) == [3])
        #expect(fixture.disk.heldOperations == [.read, .writeZeroes])
        fixture.disk.release(1)
        fixture.disk.setMode(.atOnce)
        #expect(fixture.client.outcomes(2).map(\.tag) == [1, 2])
        #expect(fixture.client.content(2, 1) == [0])
        #expect(fixture.client.read(at: 0, count: 1) == [0])
        fixture.disk.release()
        #expect(fixture.client.outcomes().map(\.tag) == [3])
    }

    @Test("a write into a page that is being zeroed comes after the zeroing, though the page is in memory")
    func barrierBeforeMemory() throws {
        let fixture = try CacheFixture()
        fixture.client.write([UInt8](repeating: 1, count: page), at: 0)
        fixture.disk.setMode(.held)
        fixture.client.start(.writeZeroes, tag: 1, at: 0, count: page)
        memset(fixture.client.buffer(2), 2, 512)
        fixture.client.start(.write, tag: 2, at: 0, count: 512)
        #expect(fixture.client.take().isEmpty)
        fixture.disk.release()
        fixture.disk.setMode(.atOnce)
        #expect(fixture.client.outcomes(2).map(\.tag) == [1, 2])
        #expect(fixture.client.read(at: 511, count: 2) == [2, 0])
    }

    @Test("requests wait while every page is busy")
    func noRoom() throws {
        let fixture = try CacheFixture(pages: 1)
        fixture.disk.setMode(.held)
        fixture.client.start(.read, tag: 0, at: 0, count: 512)
        fixture.client.start(.write, tag: 1, at: page, count: 512)
        fixture.client.start(.read, tag: 2, at: 2 * page, count: 512)
        #expect(fixture.disk.heldOperations == [.read])
        fixture.disk.setMode(.atOnce)
        fixture.disk.release()
        #expect(fixture.client.outcomes(3).map(\.error) == [.none, .none, .none])
    }
}
