import BlockStorage
import Glibc
import ParallelInterface
import Platform
import SCSI
import SCSIArchitectureModel
import TestSupport
import TestTraits
import Testing

@Suite("Stages, at random", .blocks)
struct StagePropertyTests {
    private static let diskBlockCount: UInt64 = 1024

    /// What a driver may publish, and a machine.
    private func fixture(_ generator: inout SeededGenerator) throws -> BlockFixture {
        func pick(_ values: UInt64...) -> UInt64 { values.randomElement(using: &generator)! }
        var constraints = HBAConstraints()
        constraints.maximumBlockCountRead = pick(0, 3, 1024, 65535)
        constraints.maximumBlockCountWrite = pick(0, 5, 1024, 65535)
        constraints.maximumByteCountRead = pick(0, 0, 65536, 524_288)
        constraints.maximumByteCountWrite = pick(0, 0, 4096, 524_288)
        constraints.maximumSegmentCountRead = pick(0, 1, 2, 17, 129)
        constraints.maximumSegmentCountWrite = pick(0, 1, 3, 32, 129)
        constraints.maximumSegmentByteCountRead = pick(0, 4096, 65536)
        constraints.maximumSegmentByteCountWrite = pick(0, 1000, 16384)
        constraints.minimumSegmentAlignment = pick(0, 4, 512, 65536)
        constraints.maximumSegmentAddressableBits = pick(0, 32, 64)
        let hasMapper = Bool.random(using: &generator)
        let page = pick(4096, 16384)
        return try BlockFixture(blockCount: Int(Self.diskBlockCount), constraints: constraints) {
            $0.hasMapper = hasMapper
            $0.pageByteCount = page
        }
    }

    /// Runs a request to its end. There is never more than one stage on its way.
    private func run(_ request: BlockRequest, _ fixture: BlockFixture) throws -> BlockCompletion {
        fixture.submit(request)
        while !fixture.transport.held.isEmpty {
            #expect(fixture.transport.held.count == 1)
            fixture.transport.answerHeld(at: 0)
        }
        let completion = try #require(fixture.recorder.completions.last)
        #expect(completion.tag == request.tag)
        return completion
    }

    /// The ranges of blocks that the driver was asked for since the last time.
    private func ranges(_ fixture: BlockFixture, _ operation: OperationCode) -> [Range<UInt64>] {
        defer { fixture.transport.commands = [] }
        return fixture.transport.commands.map { cdb in
            #expect(cdb.operationCode == operation)
            return cdb.blockRange.blocks
        }
    }

    /// A request was covered once and in order, or up to a stage of which no block obeyed the limits.
    private func check(
        _ ranges: [Range<UInt64>], _ blocks: Range<UInt64>, _ completion: BlockCompletion, limit: UInt64,
        _ label: Comment
    ) {
        var position = blocks.lowerBound
        for range in ranges {
            #expect(range.lowerBound == position && !range.isEmpty, label)
            #expect(limit == 0 || UInt64(range.count) <= limit, label)
            position = range.upperBound
        }
        #expect(UInt64(completion.byteCount) == (position - blocks.lowerBound) * 512, label)
        #expect((completion.error == .none) == (position == blocks.upperBound), label)
        if completion.error != .none { #expect(completion.error == .inputOutput, label) }
    }

    @Test("commands cover a request once and in order, and move the right bytes", arguments: 1...100)
    func commands(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let fixture = try fixture(&generator)
        fixture.transport.holdsTasks = true
        let label: Comment = "seed \(seed): \(fixture.transport.constraints)"
        let start = UInt64.random(in: 0..<Self.diskBlockCount, using: &generator)
        let blocks = start..<UInt64.random(in: start + 1...Self.diskBlockCount, using: &generator)
        let byteCount = blocks.count * 512
        // The second half of the arena takes what is read.
        let written = fixture.transport.arena.base + Int.random(in: 0...4096, using: &generator) * 4
        let read = fixture.transport.arena.base + 8 << 20 + Int.random(in: 0...4096, using: &generator) * 4
        for index in 0..<byteCount / 8 {
            written.storeBytes(of: generator.next(), toByteOffset: index * 8, as: UInt64.self)
        }

        let write = try run(
            BlockRequest(
                operation: .write, tag: 1, byteOffset: start * 512, byteCount: UInt32(byteCount), buffer: written),
            fixture)
        let limits = fixture.transport.constraints
        check(
            ranges(fixture, .write10), blocks, write, limit: limits.maximumBlockCountWrite, label)
        var disk = [UInt8](repeating: 0, count: Int(Self.diskBlockCount) * 512)
        let stored = UnsafeRawBufferPointer(start: written, count: Int(write.byteCount))
        disk.replaceSubrange(Int(start) * 512..<Int(start) * 512 + stored.count, with: stored)
        #expect(memcmp(disk, fixture.transport.bytes, disk.count) == 0, label)

        let answer = try run(
            BlockRequest(
                operation: .read, tag: 2, byteOffset: start * 512, byteCount: UInt32(byteCount), buffer: read),
            fixture)
        check(ranges(fixture, .read10), blocks, answer, limit: limits.maximumBlockCountRead, label)
        #expect(memcmp(read, written, min(Int(answer.byteCount), Int(write.byteCount))) == 0, label)
    }
}
