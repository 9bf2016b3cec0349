import BlockStorage
import Platform
import TestSupport
import TestTraits
import Testing

/// How a request's memory lies in physical memory.
enum Memory: Sendable {
    /// Pages of 16 KiB, no two adjacent.
    case scattered
    /// The same, above 4 GiB.
    case scatteredHigh
    case contiguous
    case runs([UInt64])

    /// The runs behind an offset.
    func run(at offset: UInt64) -> BreakUpLimits.Run {
        switch self {
        case .scattered, .scatteredHigh:
            let base: UInt64 = if case .scatteredHigh = self { 1 << 33 } else { 1 << 20 }
            let page = offset / 16384
            return BreakUpLimits.Run(
                address: base + page * 65536 + offset % 16384, byteCount: 16384 - offset % 16384)
        case .contiguous: return BreakUpLimits.Run(address: 1 << 20 + offset, byteCount: 1 << 40)
        case .runs(let lengths):
            var start: UInt64 = 0
            for (index, length) in lengths.enumerated() {
                if offset < start + length {
                    return BreakUpLimits.Run(
                        address: UInt64(index + 1) << 24 + (offset - start), byteCount: start + length - offset)
                }
                start += length
            }
            preconditionFailure("offset behind the memory")
        }
    }
}

/// A worked example: limits and a request in, the sizes of the stages out.
struct Example: Sendable {
    var blocks: UInt64 = 65535
    var bytes: UInt64 = 0
    var segments: UInt64 = 129
    var segmentBytes: UInt64 = 0
    var alignment: UInt64 = 0
    var bits: UInt64 = 0
    var mapper = true
    var blockByteCount: UInt64 = 512
    var memory = Memory.scattered
    var request: UInt64
    var stages: [UInt64]

    var limits: BreakUpLimits {
        var limits = BreakUpLimits()
        limits.blockByteCount = blockByteCount
        limits.maximumBlockCount = blocks
        limits.maximumByteCount = bytes
        limits.maximumSegmentCount = segments
        limits.maximumSegmentByteCount = segmentBytes
        limits.segmentAlignment = alignment
        limits.addressBits = bits
        limits.hasMapper = mapper
        return limits
    }
}

private let kibi: UInt64 = 1 << 10
private let mebi: UInt64 = 1 << 20

private func times(_ count: Int, _ size: UInt64, _ rest: UInt64...) -> [UInt64] {
    Array(repeating: size, count: count) + rest
}

private let examples: [Example] = [
    Example(
        blocks: 1024, bytes: 524_288, alignment: 4, bits: 32, memory: .scatteredHigh, request: 10 * mebi,
        stages: times(20, 524_288)),
    Example(
        blocks: 1024, bytes: 524_288, alignment: 4, bits: 32, memory: .contiguous, request: 10 * mebi,
        stages: times(20, 524_288)),
    Example(request: 768 * kibi, stages: [786_432]),
    Example(request: 31 * mebi, stages: [32_505_856]),
    Example(request: 32 * mebi, stages: [33_553_920, 512]),
    Example(request: 64 * mebi, stages: [33_553_920, 33_553_920, 1024]),
    Example(mapper: false, request: 4 * mebi, stages: [2_113_536, 2_080_768]),
    Example(segmentBytes: 65536, alignment: 4, request: 8 * mebi, stages: [8_388_608]),
    Example(segmentBytes: 65536, alignment: 4, request: 16 * mebi, stages: [8_454_144, 8_323_072]),
    Example(segmentBytes: 65536, alignment: 4, request: 64 * mebi, stages: times(7, 8_454_144, 7_929_856)),
    Example(
        segmentBytes: 65536, alignment: 4, mapper: false, request: 16 * mebi, stages: times(7, 2_113_536, 1_982_464)),
    Example(segmentBytes: 4096, alignment: 4, request: 512 * kibi, stages: [524_288]),
    Example(segmentBytes: 4096, alignment: 4, request: mebi, stages: [528_384, 520_192]),
    Example(segmentBytes: 4096, alignment: 4, request: 2 * mebi, stages: times(3, 528_384, 512_000)),
    Example(
        segments: 1, segmentBytes: 65536, alignment: 1, mapper: false, request: 256 * kibi, stages: times(16, 16384)),
    Example(segments: 1, segmentBytes: 65536, alignment: 1, request: 256 * kibi, stages: times(4, 65536)),
    Example(
        segments: 1, segmentBytes: 65536, alignment: 1, mapper: false, memory: .runs([16384, 200, 16184]),
        request: 32 * kibi, stages: [16384, 0]),
    Example(
        segments: 32, segmentBytes: 65536, alignment: 1, mapper: false, memory: .runs([16384, 200, 16184]),
        request: 32 * kibi, stages: [32768]),
    Example(segmentBytes: 65536, alignment: 65536, request: 16 * mebi, stages: times(7, 2_113_536, 1_982_464)),
    Example(
        segmentBytes: 65536, alignment: 65536, memory: .contiguous, request: 16 * mebi, stages: [8_454_144, 8_323_072]),
    Example(
        blocks: 1024, bytes: 524_288, segmentBytes: 65536, alignment: 4, request: 10 * mebi, stages: times(20, 524_288)),
    Example(
        segmentBytes: 65536, alignment: 4, blockByteCount: 4096, request: 16 * mebi, stages: [8_454_144, 8_323_072]),
]

@Suite("Break-up", .blocks)
struct BreakUpTests {
    /// Breaks a whole request up; a stage of 0 ends it.
    private func stages(_ limits: BreakUpLimits, _ request: UInt64, _ memory: Memory) -> [UInt64] {
        var stages: [UInt64] = []
        var offset: UInt64 = 0
        while offset < request {
            var position = offset
            let size = limits.stageByteCount(of: request - offset) {
                var run = memory.run(at: position)
                run.byteCount = min(run.byteCount, request - position)
                position += run.byteCount
                return run
            }
            stages.append(size)
            if size == 0 { break }
            offset += size
        }
        return stages
    }

    @Test("worked examples", arguments: examples.indices)
    func workedExample(index: Int) {
        let example = examples[index]
        #expect(stages(example.limits, example.request, example.memory) == example.stages)
    }

    @Test("the short cut for contiguous memory gives what the algorithm gives", arguments: 1...300)
    func shortCut(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        func pick(_ values: UInt64...) -> UInt64 { values.randomElement(using: &generator)! }
        var limits = BreakUpLimits()
        limits.maximumBlockCount = pick(0, 7, 1024, 65535)
        limits.maximumByteCount = pick(0, 65536, 524_288)
        limits.maximumSegmentCount = pick(0, 1, 17, 129)
        limits.maximumSegmentByteCount = pick(0, 1000, 4096, 65536)
        limits.segmentAlignment = pick(0, 4, 65536)
        limits.addressBits = pick(0, 21, 64)
        limits.hasMapper = Bool.random(using: &generator)
        let run = BreakUpLimits.Run(
            address: UInt64.random(in: 0...32, using: &generator) * pick(512, 65536),
            byteCount: UInt64.random(in: 1...64, using: &generator) * pick(512, 32768))
        let exact = limits.stageByteCount(of: run.byteCount) { run }
        #expect(limits.stageByteCount(contiguous: run) == exact, "seed \(seed)")
    }

    @Test("stages that are said to be equal are", arguments: 1...400)
    func equalStages(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        func pick(_ values: UInt64...) -> UInt64 { values.randomElement(using: &generator)! }
        var limits = BreakUpLimits()
        limits.maximumBlockCount = pick(0, 7, 1025)
        limits.maximumSegmentCount = pick(0, 1, 17)
        limits.maximumSegmentByteCount = pick(0, 4096, 65536)
        limits.segmentAlignment = pick(0, 4, 65536)
        limits.addressBits = pick(0, 21, 64)
        limits.hasMapper = pick(0, 1, 1, 1) == 1
        var run = BreakUpLimits.Run(
            address: UInt64.random(in: 0...32, using: &generator) * 65536,
            byteCount: UInt64.random(in: 1...40, using: &generator) * pick(512, 65536))
        let size = limits.stageByteCount(ofMemory: run)
        let count = limits.equalStageCount(ofMemory: run, byteCount: size)
        #expect(count >= 1)
        for _ in 0..<count {
            #expect(limits.stageByteCount(ofMemory: run) == size, "seed \(seed)")
            run.address += size
            run.byteCount -= size
        }
    }

    @Test("limits without measure, as a driver may publish them, are no limits")
    func hugeLimits() {
        var limits = BreakUpLimits()
        limits.maximumBlockCount = .max
        limits.maximumSegmentCount = .max
        limits.maximumSegmentByteCount = .max
        let run = BreakUpLimits.Run(address: 0, byteCount: 1 << 30)
        #expect(limits.stageByteCount(contiguous: run) == 1 << 30)
        #expect(limits.stageByteCount(of: run.byteCount) { run } == 1 << 30)
    }
}
