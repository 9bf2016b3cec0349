import Platform
import TestTraits
import Testing

@testable import Simulation

@Suite("A simulated medium", .blocks)
struct VolatileImageTests {
    private let image = VolatileImage(byteCount: 64 << 10)

    private func put(_ sector: Int, _ value: UInt8, at time: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 512, alignment: 8) { bytes in
            bytes.initializeMemory(as: UInt8.self, repeating: value)
            image.put(sector, UnsafeRawPointer(bytes.baseAddress!), completedAt: time)
        }
    }

    private func value(_ sector: Int) -> UInt8 { image.bytes(ofSector: sector).load(as: UInt8.self) }

    @Test("what was over before a flush began survives every loss of power, and never turns older")
    func flushed() {
        var random = SeededGenerator(seed: 3)
        for round in 0..<200 {
            let base = UInt8(round % 100)
            put(5, base, at: UInt64(10 * round + 1))
            image.flush(covering: UInt64(10 * round + 1))
            put(5, 101, at: UInt64(10 * round + 2))
            put(5, 102, at: VolatileImage.underWay)
            image.losePower(&random)
            #expect([base, 101, 102].contains(value(5)))
        }
    }

    @Test("a loss of power takes each sector by itself, and each of its versions can be what is left")
    func torn() {
        var random = SeededGenerator(seed: 4)
        var seen: Set<[UInt8]> = []
        for _ in 0..<300 {
            image.put(1, nil, completedAt: 1)
            image.put(2, nil, completedAt: 1)
            image.flush(covering: 1)
            put(1, 1, at: 2)
            put(2, 1, at: 2)
            put(1, 2, at: 3)
            image.losePower(&random)
            seen.insert([value(1), value(2)])
        }
        #expect(seen == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]])
    }

    @Test("what a failed flush dropped is not covered by any later one, of whichever process; a cache may forget it")
    func failedFlush() {
        var lost = 0
        var forgotten = 0
        for seed in 0..<120 {
            var random = SeededGenerator(seed: UInt64(seed))
            put(3, 7, at: 1)
            image.failFlush(covering: 1)
            image.flush(covering: 2)
            #expect(value(3) == 7)
            if seed % 2 == 1 {
                image.endProcess(at: 3, &random)
                if value(3) != 7 { forgotten += 1 }
                image.flush(covering: 3)
            }
            image.losePower(&random)
            if value(3) != 7 { lost += 1 }
            image.put(3, nil, completedAt: 4)
            image.flush(covering: 4)
        }
        #expect(lost > forgotten)
        #expect(forgotten > 0)
    }

    @Test("what is written after a failed flush is covered by the next one")
    func afterFailedFlush() {
        var random = SeededGenerator(seed: 5)
        put(3, 7, at: 1)
        image.failFlush(covering: 1)
        put(3, 8, at: 2)
        image.endProcess(at: 3, &random)
        #expect(value(3) == 8)
        image.flush(covering: 3)
        image.losePower(&random)
        #expect(value(3) == 8)
    }

    @Test("data is found where something other than zeros was written")
    func nextData() {
        #expect(image.nextData(from: 0) == nil)
        put(20, 1, at: 1)
        #expect(image.nextData(from: 0) == 8192)
        #expect(image.nextData(from: 9000) == 9000)
        #expect(image.nextData(from: 12288) == nil)
        image.put(20, nil, completedAt: 2)
        #expect(image.nextData(from: 0) == nil)
    }
}
