import BlockStorage
import Glibc
import ParallelInterface
import Platform
import SCSI
import SCSIArchitectureModel
import TestSupport
import TestTraits
import Testing

@Suite("The block layer", .blocks)
struct BlockStorageDeviceTests {
    private func operations(_ fixture: BlockFixture) -> [String] {
        fixture.transport.commands.map(\.name)
    }

    @Test("a large write becomes stages that run one after another")
    func stages() throws {
        var constraints = HBAConstraints()
        constraints.maximumByteCountWrite = 512 << 10
        let fixture = try BlockFixture(constraints: constraints)
        fixture.transport.holdsTasks = true
        fixture.submit(
            BlockRequest(
                operation: .write, tag: 3, byteOffset: 512, byteCount: 1 << 20 + 512,
                buffer: fixture.transport.arena.base))
        var ranges: [[UInt64]] = []
        while !fixture.transport.held.isEmpty {
            #expect(fixture.transport.held.count == 1)
            let cdb = fixture.transport.commands.last!
            ranges.append([UInt64(cdb.load(2, as: UInt32.self)), UInt64(cdb.load(7, as: UInt16.self))])
            fixture.transport.answerHeld(at: 0)
        }
        #expect(ranges == [[1, 1024], [1025, 1024], [2049, 1]])
        #expect(fixture.recorder.completions.map(\.tag) == [3])
        #expect(fixture.recorder.completions[0].byteCount == 1 << 20 + 512)
    }

    /// The blocks at which the stages of a 2 MiB write at 64 KiB end, on a disk with stripes of 192 KiB.
    private func stageEnds(_ constraints: HBAConstraints, alignsStages: Bool) throws -> [UInt64] {
        let fixture = try BlockFixture(
            blockCount: 8192, change: { $0.optimalTransferBlocks = 384 }, constraints: constraints,
            alignsStages: alignsStages)
        fixture.submit(
            BlockRequest(
                operation: .write, tag: 0, byteOffset: 64 << 10, byteCount: 2 << 20,
                buffer: fixture.transport.arena.base))
        #expect(fixture.recorder.completions[0].error == .none)
        return fixture.transport.commands.map {
            UInt64($0.load(2, as: UInt32.self)) + UInt64($0.load(7, as: UInt16.self))
        }
    }

    @Test("a segment alignment of the stripe's size aligns no stage to stripes; --align-stages does")
    func alignedStages() throws {
        var constraints = HBAConstraints()
        constraints.maximumByteCountWrite = 512 << 10
        #expect(try stageEnds(constraints, alignsStages: false) == [1152, 2176, 3200, 4224])
        constraints.minimumSegmentAlignment = 192 << 10
        constraints.maximumSegmentCountWrite = 32
        // Chunks shrink to a page of 16 KiB, 32 of them make a stage, and it ends where it ended before.
        #expect(try stageEnds(constraints, alignsStages: false) == [1152, 2176, 3200, 4224])
        constraints.minimumSegmentAlignment = 4
        #expect(try stageEnds(constraints, alignsStages: true) == [1152, 1920, 2688, 3456, 4224])
    }

    @Test("a stage that fails ends the request; a stage that was refused by the HBA is tried five times")
    func failedStage() throws {
        var constraints = HBAConstraints()
        constraints.maximumByteCountRead = 4096
        let fixture = try BlockFixture(constraints: constraints)
        fixture.transport.failures = Array(repeating: (1, 5, nil), count: 5)
        fixture.submit(
            BlockRequest(operation: .read, tag: 0, byteCount: 8192, buffer: fixture.transport.arena.base))
        #expect(fixture.transport.commands.count == 5)
        #expect(fixture.recorder.completions[0].error == .inputOutput)
        #expect(fixture.recorder.completions[0].byteCount == 0)
    }

    @Test("a delivery failure that passes is not seen")
    func retried() throws {
        let fixture = try BlockFixture()
        fixture.transport.failures = [(1, 5, nil), (2, 8, nil)]
        fixture.submit(BlockRequest(operation: .read, tag: 0, byteCount: 512, buffer: fixture.transport.arena.base))
        #expect(fixture.transport.commands.count == 3)
        #expect(fixture.recorder.completions[0].error == .none)
    }

    @Test("sense data decides the error")
    func senseErrors() throws {
        for (sense, isExpected) in [
            (SenseData.spaceAllocationFailed, { $0 == .noSpace }), (.writeProtected, { $0 == .readOnly }),
            (.unrecoveredReadError, { $0 == .inputOutput }), (.invalidOperationCode, { $0 == .notSupported }),
        ] as [(SenseData, (SCSIArchitectureModel.BlockError) -> Bool)] {
            let fixture = try BlockFixture()
            fixture.transport.failures = [(2, 2, sense)]
            fixture.submit(
                BlockRequest(operation: .read, tag: 0, byteCount: 512, buffer: fixture.transport.arena.base))
            #expect(fixture.recorder.completions.map(\.error).allSatisfy(isExpected), "\(sense)")
            #expect(fixture.transport.commands.count == 1)
        }
    }

    @Test("out of range, empty and read-only requests are refused without a command")
    func refusals() throws {
        let fixture = try BlockFixture { $0.isReadOnly = true }
        let size = fixture.device.info.byteCount
        let buffer = fixture.transport.arena.base
        fixture.submit(
            BlockRequest(operation: .read, tag: 0, byteOffset: size - 512, byteCount: 1024, buffer: buffer),
            BlockRequest(operation: .read, tag: 1, byteOffset: .max, byteCount: 1, buffer: buffer),
            BlockRequest(operation: .write, tag: 2, byteCount: 512, buffer: buffer),
            BlockRequest(operation: .read, tag: 3, buffer: buffer))
        #expect(fixture.recorder.completions.map(\.error) == [.invalid, .invalid, .readOnly, .invalid])
        #expect(fixture.transport.commands.isEmpty)
    }

    @Test("flush, trim, zeroes and forced writes become their commands")
    func otherOperations() throws {
        let fixture = try BlockFixture()
        let buffer = fixture.transport.arena.base
        fixture.submit(
            BlockRequest(operation: .flush, tag: 0),
            BlockRequest(operation: .trim, tag: 1, byteOffset: 512, byteCount: 1536),
            BlockRequest(operation: .writeZeroes, tag: 2, byteOffset: 512, byteCount: 1024),
            BlockRequest(operation: .write, flags: .forceUnitAccess, tag: 3, byteCount: 512, buffer: buffer))
        #expect(operations(fixture) == ["SYNCHRONIZE CACHE(10)", "UNMAP", "WRITE SAME(16)", "WRITE(10)"])
        #expect(fixture.transport.commands[3].bytes[1] == 0x08)
        #expect(fixture.recorder.completions.allSatisfy { $0.error == .none })
    }

    @Test("a trimmed range reads as zeros, parts of blocks too, and what is beside it stays", arguments: 1...8)
    func trimEdges(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let fixture = try BlockFixture()
        fixture.transport.bytes = Array(repeating: 1, count: fixture.transport.bytes.count)
        var expected = fixture.transport.bytes
        for tag in UInt16(0)..<4 {
            let start = Int.random(in: 0..<6000, using: &random)
            let count = Int.random(in: 1...3000, using: &random)
            fixture.submit(
                BlockRequest(operation: .trim, tag: tag, byteOffset: UInt64(start), byteCount: UInt32(count)))
            for index in start..<start + count { expected[index] = 0 }
            #expect(fixture.recorder.completions.last?.byteCount == UInt32(count))
        }
        #expect(fixture.transport.bytes == expected)
    }

    @Test("trims and zeroes are cut by the limits of the disk")
    func diskLimits() throws {
        let fixture = try BlockFixture {
            $0.maximumUnmapBlocks = 3
            $0.maximumWriteSameBlocks = 2
        }
        fixture.transport.bytes = Array(repeating: 1, count: fixture.transport.bytes.count)
        fixture.submit(BlockRequest(operation: .trim, tag: 0, byteCount: 7 * 512))
        fixture.submit(BlockRequest(operation: .writeZeroes, tag: 0, byteOffset: 7 * 512 + 1, byteCount: 5 * 512))
        #expect(operations(fixture).filter { $0 == "UNMAP" }.count == 3)
        #expect(operations(fixture).filter { $0 == "WRITE SAME(16)" }.count == 2)
        let zeroes = 0..<12 * 512 + 1
        #expect(
            fixture.transport.bytes.indices.allSatisfy {
                fixture.transport.bytes[$0] == (zeroes.contains($0) && $0 != 7 * 512 ? 0 : 1)
            })
    }

    @Test("zeroes that must keep their space do not allow the disk to give it back")
    func noHole() throws {
        let fixture = try BlockFixture()
        fixture.submit(BlockRequest(operation: .writeZeroes, flags: .noHole, tag: 0, byteCount: 512))
        fixture.submit(BlockRequest(operation: .writeZeroes, tag: 0, byteCount: 512))
        #expect(fixture.transport.commands.map { $0.bytes[1] } == [0x01, 0x09])
    }

    @Test("a disk without WRITE SAME gets zeros as data, and is asked for WRITE SAME once")
    func zerosAsData() throws {
        let fixture = try BlockFixture()
        fixture.transport.refusesZeroing = true
        fixture.transport.bytes = Array(repeating: 1, count: fixture.transport.bytes.count)
        for tag in UInt16(0)..<2 {
            fixture.submit(
                BlockRequest(
                    operation: .writeZeroes, flags: .forceUnitAccess, tag: tag, byteOffset: UInt64(tag) * 2048,
                    byteCount: 1024))
        }
        #expect(
            operations(fixture) == [
                "WRITE SAME(16)", "WRITE(10)", "SYNCHRONIZE CACHE(10)", "WRITE(10)", "SYNCHRONIZE CACHE(10)",
            ])
        #expect(fixture.recorder.completions.map(\.error) == [.none, .none])
        #expect(fixture.recorder.completions.map(\.byteCount) == [1024, 1024])
        #expect(
            fixture.transport.bytes.indices.allSatisfy {
                fixture.transport.bytes[$0] == ($0 / 1024 % 2 == 0 && $0 < 3072 ? 0 : 1)
            })
        // A write of one block is not held up by a gate that nobody opens.
        fixture.submit(BlockRequest(operation: .write, tag: 2, byteCount: 512, buffer: fixture.transport.arena.base))
        #expect(fixture.recorder.completions.map(\.tag) == [0, 1, 2])
    }

    @Test("operations without a FUA bit are made durable by a flush")
    func durableZeroes() throws {
        let fixture = try BlockFixture()
        fixture.submit(BlockRequest(operation: .writeZeroes, flags: .forceUnitAccess, tag: 0, byteCount: 512))
        #expect(operations(fixture) == ["WRITE SAME(16)", "SYNCHRONIZE CACHE(10)"])
        #expect(fixture.recorder.completions.map(\.error) == [.none])
    }

    @Test("a stage that fails reports the bytes of the stages before it")
    func failedLaterStage() throws {
        var constraints = HBAConstraints()
        constraints.maximumByteCountRead = 4096
        let fixture = try BlockFixture(constraints: constraints)
        fixture.transport.holdsTasks = true
        fixture.submit(BlockRequest(operation: .read, tag: 0, byteCount: 16384, buffer: fixture.transport.arena.base))
        fixture.transport.answerHeld(at: 0)
        fixture.transport.failures = [(2, 2, .unrecoveredReadError)]
        fixture.transport.answerHeld(at: 0)
        #expect(fixture.transport.commands.count == 2)
        #expect(fixture.recorder.completions.map(\.byteCount) == [4096])
        #expect(fixture.recorder.completions.map(\.error) == [.inputOutput])
    }

    @Test(
        "a stage that moved fewer bytes than it should have is an error, and no other stage follows",
        arguments: [BlockRequest.Operation.read, .write])
    func shortStage(operation: BlockRequest.Operation) throws {
        var constraints = HBAConstraints()
        constraints.maximumByteCountRead = 4096
        constraints.maximumByteCountWrite = 4096
        let fixture = try BlockFixture(constraints: constraints)
        fixture.transport.holdsTasks = true
        fixture.submit(
            BlockRequest(operation: operation, tag: 0, byteCount: 16384, buffer: fixture.transport.arena.base))
        fixture.transport.answerHeld(at: 0)
        fixture.transport.movedByteCountMax = 3584
        fixture.transport.answerHeld(at: 0)
        #expect(fixture.transport.commands.count == 2)
        #expect(fixture.recorder.completions.map(\.error) == [.inputOutput])
        #expect(fixture.recorder.completions.map(\.byteCount) == [4096 + 3584])
    }

    @Test("without a write cache a flush needs no command")
    func noWriteCache() throws {
        let fixture = try BlockFixture { $0.isWriteCacheEnabled = false }
        fixture.submit(BlockRequest(operation: .flush, tag: 0))
        #expect(fixture.transport.commands.isEmpty)
        #expect(fixture.recorder.completions.count == 1)
    }

    @Test("an unaligned write keeps aligned writes to its blocks out until it is over")
    func exclusion() throws {
        let fixture = try BlockFixture()
        fixture.transport.holdsTasks = true
        let buffer = fixture.transport.arena.base
        memset(buffer, 7, 4096)
        fixture.submit(BlockRequest(operation: .write, tag: 0, byteOffset: 10, byteCount: 20, buffer: buffer))
        fixture.submit(BlockRequest(operation: .write, tag: 1, byteOffset: 0, byteCount: 512, buffer: buffer))
        // Only the unaligned write's read of its block is under way.
        #expect(operations(fixture) == ["READ(10)"])
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(operations(fixture) == ["READ(10)", "WRITE(10)", "WRITE(10)"])
        #expect(fixture.recorder.completions.map(\.tag) == [0, 1])
        #expect(fixture.transport.bytes[..<512].allSatisfy { $0 == 7 })
    }

    @Test("an unaligned write waits for aligned writes that are under way")
    func exclusionOfEarlier() throws {
        let fixture = try BlockFixture()
        fixture.transport.holdsTasks = true
        let buffer = fixture.transport.arena.base
        memset(buffer, 9, 4096)
        fixture.submit(BlockRequest(operation: .write, tag: 0, byteOffset: 0, byteCount: 512, buffer: buffer))
        fixture.submit(BlockRequest(operation: .write, tag: 1, byteOffset: 10, byteCount: 20, buffer: buffer))
        #expect(operations(fixture) == ["WRITE(10)"])
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(fixture.recorder.completions.map(\.tag) == [0, 1])
        #expect(fixture.transport.bytes[..<512].allSatisfy { $0 == 9 })
    }

    @Test("random requests of any alignment, side by side, against a model", arguments: 1...40)
    func random(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var constraints = HBAConstraints()
        constraints.maximumByteCountRead = [0, 4096, 65536].randomElement(using: &generator)!
        constraints.maximumByteCountWrite = [0, 512, 65536].randomElement(using: &generator)!
        let fixture = try BlockFixture(blockCount: 1024, constraints: constraints)
        fixture.transport.holdsTasks = true
        fixture.transport.refusesZeroing = seed % 2 == 0
        var model = fixture.transport.bytes
        var ranges: [UInt16: Range<Int>] = [:]
        var reads: Set<UInt16> = []
        for _ in 0..<200 {
            let tag = UInt16.random(in: 0..<8, using: &generator)
            let start = Int.random(in: 0..<model.count, using: &generator)
            let length = Int.random(
                in: 1...max(1, min(model.count - start, Bool.random(using: &generator) ? 700 : 200_000)),
                using: &generator)
            let range = start..<min(start + length, model.count)
            if ranges[tag] == nil, !ranges.values.contains(where: { $0.overlaps(range) }) {
                let buffer =
                    fixture.transport.arena.base + Int(tag) * (1 << 19) + Int.random(in: 0..<64, using: &generator)
                let operation: BlockRequest.Operation = [.read, .write, .writeZeroes].randomElement(using: &generator)!
                ranges[tag] = range
                if operation == .write {
                    let byte = UInt8.random(in: 0...255, using: &generator)
                    model.replaceSubrange(range, with: repeatElement(byte, count: range.count))
                    memset(buffer, Int32(byte), range.count)
                } else if operation == .writeZeroes {
                    model.replaceSubrange(range, with: repeatElement(0, count: range.count))
                } else {
                    reads.insert(tag)
                    memset(buffer, 0xAA, range.count)
                }
                var request = BlockRequest(
                    operation: operation, tag: tag, byteOffset: UInt64(range.lowerBound), byteCount: UInt32(range.count)
                )
                if operation != .writeZeroes { request.buffer = buffer }
                fixture.submit(request)
                if operation == .read { readBuffers[tag] = buffer }
            } else if !fixture.transport.held.isEmpty {
                fixture.transport.answerHeld(at: Int.random(in: 0..<fixture.transport.held.count, using: &generator))
            }
            check(fixture, &ranges, &reads, model, seed)
        }
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        check(fixture, &ranges, &reads, model, seed)
        #expect(ranges.isEmpty, "seed \(seed): requests never ended")
        #expect(fixture.transport.bytes == model, "seed \(seed)")
    }

    private final class Buffers: @unchecked Sendable { var byTag: [UInt16: UnsafeMutableRawPointer] = [:] }
    private let buffers = Buffers()
    private var readBuffers: [UInt16: UnsafeMutableRawPointer] {
        get { buffers.byTag }
        nonmutating set { buffers.byTag = newValue }
    }

    private func check(
        _ fixture: BlockFixture, _ ranges: inout [UInt16: Range<Int>], _ reads: inout Set<UInt16>, _ model: [UInt8],
        _ seed: UInt64
    ) {
        for completion in fixture.recorder.completions {
            let range = ranges.removeValue(forKey: completion.tag)
            #expect(completion.error == .none, "seed \(seed)")
            #expect(range != nil, "seed \(seed): request \(completion.tag) ended twice")
            if let range, reads.remove(completion.tag) != nil {
                let data = UnsafeRawBufferPointer(start: readBuffers[completion.tag], count: range.count)
                #expect(data.elementsEqual(model[range]), "seed \(seed)")
            }
        }
        fixture.recorder.completions = []
    }
}
