import BlockStorage
import Platform
import TestSupport
import TestTraits
import Testing

typealias Run = BreakUpLimits.Run

/// A request's memory, as the device sees it, and limits: both at random, from a seed.
struct RandomBreakUp {
    var limits = BreakUpLimits()
    var runs: [Run] = []
    var byteCount: UInt64 { runs.reduce(0) { $0 + $1.byteCount } }

    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        func pick(_ values: UInt64...) -> UInt64 { values.randomElement(using: &generator)! }
        func number(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &generator) }
        limits.maximumBlockCount = pick(0, 1, 7, 1024, 65535, number(1...5000))
        limits.maximumByteCount = pick(0, 0, 100, 4096, 65536, 524_288, number(512...3_000_000))
        limits.maximumSegmentCount = pick(0, 1, 2, 17, 129, number(1...300))
        limits.maximumSegmentByteCount = pick(0, 0, 200, 512, 4096, 65536, number(64...200_000))
        limits.segmentAlignment = pick(0, 1, 4, 512, 4096, 16384, 65536)
        limits.addressBits = pick(0, 21, 32, 33, 64)
        limits.pageByteCount = pick(4096, 16384)
        limits.hasMapper = Bool.random(using: &generator)
        // A few dozen stages at most, so that thousands of seeds take no time.
        let stage = [
            limits.maximumBlockCount, limits.maximumByteCount / 512,
            limits.maximumSegmentCount * min(limits.maximumSegmentByteCount, 16384) / 512,
        ].filter { $0 > 0 }.min()
        makeRuns(
            blockCount: number(1...min(pick(8, 200, 4000), 30 * (stage ?? 4000))),
            start: pick(0, 1 << 21, 1 << 32, 1 << 33) + number(0...64) * 512,
            using: &generator)
    }

    /// Runs of pages, of many blocks, or of odd lengths; neighbours, or with gaps.
    private mutating func makeRuns(blockCount: UInt64, start: UInt64, using generator: inout SeededGenerator) {
        let page = limits.pageByteCount
        let style = Int.random(in: 0...3, using: &generator)
        let areOdd = Bool.random(using: &generator)
        var left = blockCount * 512
        var address = start > 65536 ? start - UInt64.random(in: 0...128, using: &generator) * 512 : start
        while left > 0 {
            var length: UInt64 =
                switch style {
                case 0: page - address % page
                case 1: UInt64.random(in: 1...64, using: &generator) * 512
                case 2: left
                default: UInt64.random(in: 1...40_000, using: &generator)
                }
            if areOdd && style != 3 && Int.random(in: 0..<8, using: &generator) == 0 {
                length = UInt64.random(in: 1...length, using: &generator)
            }
            length = min(length, left)
            runs.append(Run(address: address, byteCount: length))
            left -= length
            address += length
            if Bool.random(using: &generator) { address += UInt64.random(in: 1...32, using: &generator) * page }
        }
    }

    /// The runs of a part of the memory.
    func runs(from offset: UInt64, byteCount: UInt64) -> [Run] {
        var part: [Run] = []
        var start: UInt64 = 0
        for run in runs {
            let first = max(offset, start)
            let last = min(offset + byteCount, start + run.byteCount)
            if first < last { part.append(Run(address: run.address + first - start, byteCount: last - first)) }
            start += run.byteCount
        }
        return part
    }

    /// Breaks the request up. The memory of each stage is asked for in order, and no further than the request goes.
    func stages() -> [UInt64] {
        var stages: [UInt64] = []
        var offset: UInt64 = 0
        while offset < byteCount {
            let rest = runs(from: offset, byteCount: byteCount - offset)
            var next = 0
            let size = limits.stageByteCount(of: byteCount - offset) {
                defer { next += 1 }
                return rest[next]
            }
            stages.append(size)
            if size == 0 { break }
            offset += size
        }
        return stages
    }

    // MARK: What the device says of a stage

    /// The longest byte count that block and byte limit allow.
    var longest: UInt64 {
        let blocks = limits.maximumBlockCount == 0 ? UInt64.max : limits.maximumBlockCount * limits.blockByteCount
        return limits.maximumByteCount == 0 ? blocks : min(blocks, limits.maximumByteCount)
    }

    /// The fewest segments that can describe some memory: runs that the device sees as one are joined, cut where the
    /// device's addresses end, and cut again where they are too long.
    func fewestSegments(_ runs: [Run]) -> UInt64 {
        var extents: [Run] = []
        for run in runs {
            if let last = extents.last, limits.hasMapper || last.address + last.byteCount == run.address {
                extents[extents.count - 1].byteCount += run.byteCount
            } else {
                extents.append(run)
            }
        }
        let width: UInt64 = (1...63).contains(limits.addressBits) ? 1 << limits.addressBits : .max
        let longest = limits.maximumSegmentByteCount == 0 ? UInt64.max : limits.maximumSegmentByteCount
        func stages(_ length: UInt64, of size: UInt64) -> UInt64 { length / size + (length % size == 0 ? 0 : 1) }
        return extents.reduce(0) { count, extent in
            let low = extent.address >= width ? 0 : min(extent.byteCount, width - extent.address)
            return count + stages(low, of: longest)
                + stages(extent.byteCount - low, of: min(longest, limits.pageByteCount))
        }
    }

    /// The segments that the rule makes of some memory: each takes run after run until one does not follow it, or
    /// until it is too long for its length, its alignment or its address.
    func ruledSegments(_ runs: [Run]) -> [UInt64] {
        var waiting = runs[...]
        var segments: [UInt64] = []
        while var segment = waiting.popFirst() {
            while allowed(segment) == segment.byteCount, let next = waiting.first,
                limits.hasMapper || next.address == segment.address + segment.byteCount
            {
                waiting.removeFirst()
                segment.byteCount += next.byteCount
            }
            let length = allowed(segment)
            if length < segment.byteCount {
                waiting = [Run(address: segment.address + length, byteCount: segment.byteCount - length)] + waiting
            }
            segments.append(length)
        }
        return segments
    }

    private func allowed(_ segment: Run) -> UInt64 {
        var length = segment.byteCount
        if limits.maximumSegmentByteCount > 0 { length = min(length, limits.maximumSegmentByteCount) }
        let alignment = max(limits.segmentAlignment, 1)
        if segment.address % alignment != 0 || segment.byteCount % alignment != 0 {
            length = min(length, limits.pageByteCount)
        }
        if (1...63).contains(limits.addressBits) {
            let width: UInt64 = 1 << limits.addressBits
            length = min(length, segment.address < width ? width - segment.address : limits.pageByteCount)
        }
        return length
    }
}

@Suite("Break-up, at random", .blocks)
struct BreakUpPropertyTests {
    private static let seeds: ClosedRange<UInt64> = 1...2000

    /// What a request's stages do wrong, or nil.
    private func fault(_ random: RandomBreakUp, _ stages: [UInt64]) -> String? {
        let limits = random.limits
        if stages.last != 0 && stages.reduce(0, +) != random.byteCount { return "the request is not covered" }
        func fits(_ runs: [Run]) -> Bool {
            limits.maximumSegmentCount == 0 || random.fewestSegments(runs) <= limits.maximumSegmentCount
        }
        var offset: UInt64 = 0
        for stage in stages {
            if stage % limits.blockByteCount != 0 { return "\(stage) is not whole blocks" }
            if stage > random.longest { return "\(stage) is too long" }
            if !fits(random.runs(from: offset, byteCount: stage)) { return "\(stage) has too many segments" }
            let block = random.runs(from: offset, byteCount: limits.blockByteCount)
            let obeys = random.longest >= limits.blockByteCount && fits(block)
            if (stage > 0) != obeys { return "\(stage), and a block at \(offset) \(obeys ? "obeys" : "does not obey")" }
            offset += stage
        }
        return nil
    }

    @Test("stages cover a request once and in order, and obey every limit")
    func properties() {
        for seed in Self.seeds {
            let random = RandomBreakUp(seed: seed)
            let stages = random.stages()
            if let fault = fault(random, stages) {
                Issue.record("seed \(seed): \(fault); \(stages.prefix(9)), \(random.limits), \(random.runs.prefix(9))")
            }
        }
    }

    @Test("a stage is as long as the first segments of what is left")
    func longestStages() {
        for seed in Self.seeds {
            let random = RandomBreakUp(seed: seed)
            let limits = random.limits
            var offset: UInt64 = 0
            for stage in random.stages() {
                let segments = random.ruledSegments(random.runs(from: offset, byteCount: random.byteCount - offset))
                let taken = limits.maximumSegmentCount == 0 ? segments.count : Int(limits.maximumSegmentCount)
                let size = min(segments.prefix(taken).reduce(0, +), random.longest) / limits.blockByteCount
                if stage != size * limits.blockByteCount {
                    Issue.record(
                        "seed \(seed): \(stage) at \(offset), not \(size) blocks; \(limits), \(random.runs.prefix(9))")
                }
                offset += stage
            }
        }
    }

    @Test("the seeds reach every case")
    func coverage() {
        let all = Self.seeds.map { RandomBreakUp(seed: $0) }
        let stages = all.map { $0.stages() }
        #expect(stages.filter { $0.count == 1 && $0 != [0] }.count > 200)
        #expect(stages.filter { $0.count > 2 && $0.last != 0 }.count > 200)
        #expect(stages.filter { $0 == [0] }.count > 20)
        #expect(stages.filter { $0.count > 1 && $0.last == 0 }.count > 5)
        // Stages that a limit on segments ended, with and without a mapper.
        for hasMapper in [true, false] {
            let cut = zip(all, stages).filter { random, stages in
                random.limits.hasMapper == hasMapper && stages[0] > 0
                    && stages[0] + 512 < min(random.byteCount, random.longest)
            }
            #expect(cut.count > 100)
        }
    }
}
