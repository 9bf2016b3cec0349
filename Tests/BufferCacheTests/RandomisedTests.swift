import BlockStorage
import Glibc
import Platform
import TestSupport
import TestTraits
import Testing

@testable import BufferCache

/// Several clients at a time, on threads, against a model; the disk ends requests anyhow, anywhere.
@Suite("The buffer cache under random requests", .busy, .slow)
struct RandomisedTests {
    private static let clientCount = 3
    private static let diskByteCount = 48 * 16384 + 1536

    /// The number that everything random of a run comes from.
    private func newSeed(_ what: String) -> UInt64 {
        let seed = UInt64.random(in: 0..<1 << 32)
        print("\(what): seed \(seed)")
        return seed
    }

    /// Runs a client on each of some threads, and waits for them.
    private func onThreads(_ body: @escaping @Sendable (Int) -> Void) throws {
        let ends = (0..<Self.clientCount).map { _ in OneShotEvent() }
        for (index, end) in ends.enumerated() {
            let thread = try OSThread(name: "client \(index)") {
                body(index)
                end.set()
            }
            thread.detach()
        }
        for end in ends { end.wait() }
    }

    @Test("every read returns what was last written, and a flush leaves it on the disk", arguments: [1, 6, 40])
    func content(pages: Int) throws {
        let seed = newSeed("content of \(pages) pages")
        let disk = try MemoryDisk(byteCount: Self.diskByteCount)
        disk.setMode(.random, seed: seed)
        let device = try BufferedBlockDevice(over: disk, name: "b", cacheByteCount: pages * CacheFixture.page)
        let expected = SharedBytes(count: Self.diskByteCount)
        let failures = FailureList()
        try onThreads { index in
            do {
                let owner = try RegionOwner(
                    client: CacheClient(device), index: index, count: Self.clientCount, expected: expected,
                    random: SeededGenerator(seed: seed &+ UInt64(index)))
                failures.add(owner.run(requests: 3000))
            } catch { failures.add("\(error)") }
        }
        let client = try CacheClient(device)
        #expect(client.perform(.flush) == .none)
        device.table.lock.withLock { device.table.checkInvariants() }
        #expect(failures.all == [], "seed \(seed)")
        #expect(memcmp(disk.bytes.baseAddress!, expected.base, Self.diskByteCount) == 0, "seed \(seed)")
        #expect(device.dirtyByteCount() == 0)
        #expect(disk.overlaps == 0, "seed \(seed)")
    }

    @Test("power cuts lose nothing that was flushed", arguments: [4, 40])
    func powerCuts(pages: Int) throws {
        let seed = newSeed("power cuts with \(pages) pages")
        let disk = try MemoryDisk(byteCount: Self.diskByteCount)
        disk.setMode(.random, seed: seed)
        let device = try BufferedBlockDevice(over: disk, name: "b", cacheByteCount: pages * CacheFixture.page)
        let failures = FailureList()
        let isOver = OneShotEvent()
        let hasEnded = OneShotEvent()
        let cutter = PowerCutter(device: device)
        let thread = try OSThread(name: "cutter") {
            while !isOver.wait(milliseconds: 3) { cutter.cut() }
            hasEnded.set()
        }
        thread.detach()
        try onThreads { index in
            do {
                let owner = try SectorOwner(
                    client: CacheClient(device), cutter: cutter, index: index, count: Self.clientCount,
                    sectorCount: Self.diskByteCount / 512, random: SeededGenerator(seed: seed &+ UInt64(index)))
                failures.add(owner.run(rounds: 600))
                if owner.durableCount == 0 { failures.add("no flush came between two cuts") }
            } catch { failures.add("\(error)") }
        }
        isOver.set()
        hasEnded.wait()
        #expect(failures.all == [], "seed \(seed)")
        #expect(disk.overlaps == 0, "seed \(seed)")
        device.table.lock.withLock { device.table.checkInvariants() }
        _ = device.powerCut()
        device.table.lock.withLock { device.table.checkInvariants() }
        #expect(device.dirtyByteCount() == 0)
    }
}

/// What went wrong on any thread.
final class FailureList: @unchecked Sendable {
    // SAFETY: under `lock`.
    private let lock = Lock()
    private var list: [String] = []

    func add(_ failure: String?) {
        guard let failure else { return }
        lock.withLock { list.append(failure) }
    }

    var all: [String] { lock.withLock { list } }
}

/// Memory of which each thread has a part of its own.
final class SharedBytes: @unchecked Sendable {
    // SAFETY: as above.
    let base: UnsafeMutablePointer<UInt8>
    let count: Int

    init(count: Int) {
        self.count = count
        base = .allocate(capacity: count)
        base.initialize(repeating: 0, count: count)
    }

    deinit { base.deallocate() }
}
