import BlockStorage
import Glibc
import ParallelInterface
import Platform
import SCSI
import TestTraits
import Testing

@Suite("Unaligned requests", .blocks)
struct UnalignedRequestsTests {
    private func operations(_ fixture: BlockFixture) -> [String] {
        fixture.transport.commands.map(\.name)
    }

    /// A request of one byte in the middle of a block.
    private func byte(_ operation: BlockRequest.Operation, tag: UInt16, block: UInt64, _ fixture: BlockFixture)
        -> BlockRequest
    {
        BlockRequest(
            operation: operation, tag: tag, byteOffset: block * 512 + 100, byteCount: 1,
            buffer: fixture.transport.arena.base + Int(tag) * 512)
    }

    private func block(_ operation: BlockRequest.Operation, tag: UInt16, _ fixture: BlockFixture) -> BlockRequest {
        BlockRequest(
            operation: operation, tag: tag, byteOffset: 512, byteCount: 512,
            buffer: fixture.transport.arena.base + Int(tag) * 512)
    }

    @Test("a read keeps no write back")
    func readsPass() throws {
        let fixture = try BlockFixture()
        fixture.transport.holdsTasks = true
        fixture.submit(byte(.read, tag: 0, block: 9, fixture))
        fixture.submit(block(.write, tag: 1, fixture))
        #expect(operations(fixture) == ["READ(10)", "WRITE(10)"])
        // Nor does it wait for one.
        fixture.transport.answerHeld(at: 0)
        fixture.submit(byte(.read, tag: 2, block: 9, fixture))
        #expect(operations(fixture) == ["READ(10)", "WRITE(10)", "READ(10)"])
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(fixture.recorder.completions.map(\.tag) == [0, 1, 2])
    }

    @Test("an endless row of unaligned writes does not keep an aligned one back for ever")
    func fairness() throws {
        let fixture = try BlockFixture()
        fixture.transport.holdsTasks = true
        fixture.submit(byte(.write, tag: 0, block: 0, fixture), byte(.write, tag: 1, block: 0, fixture))
        fixture.submit(block(.write, tag: 2, fixture))
        var answers = 0
        while !fixture.recorder.completions.contains(where: { $0.tag == 2 }) {
            try #require(answers < 20, "the aligned write never ran")
            fixture.transport.answerHeld(at: 0)
            answers += 1
            // Each unaligned write that ends is followed by another one.
            for completion in fixture.recorder.completions where completion.tag < 2 {
                fixture.submit(byte(.write, tag: completion.tag, block: 0, fixture))
            }
            fixture.recorder.completions.removeAll { $0.tag < 2 }
        }
        fixture.recorder.completions = []
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(fixture.recorder.completions.map(\.tag).sorted() == [0, 1])
    }

    @Test("a write that was kept back and cannot be cut into stages fails, and holds up nobody")
    func heldWriteWithoutStages() throws {
        var constraints = HBAConstraints()
        // No stage of a write is as large as a block; the deblocking steps still are.
        constraints.maximumByteCountWrite = 100
        let fixture = try BlockFixture(constraints: constraints)
        fixture.transport.holdsTasks = true
        fixture.submit(byte(.write, tag: 0, block: 0, fixture))
        fixture.submit(block(.write, tag: 1, fixture))
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(fixture.recorder.completions.map(\.tag) == [0, 1])
        #expect(fixture.recorder.completions.map(\.error) == [.none, .inputOutput])
        fixture.submit(byte(.write, tag: 2, block: 0, fixture))
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(fixture.recorder.completions.map(\.tag) == [0, 1, 2])
    }

    @Test("a durable write ends with a flush")
    func durable() throws {
        let fixture = try BlockFixture()
        var request = byte(.write, tag: 0, block: 3, fixture)
        request.flags = .forceUnitAccess
        fixture.submit(request)
        #expect(operations(fixture) == ["READ(10)", "WRITE(10)", "SYNCHRONIZE CACHE(10)"])
        #expect(fixture.recorder.completions.map(\.byteCount) == [1])
    }

    @Test("a write that covers several blocks reads only those that it covers in part")
    func edges() throws {
        let fixture = try BlockFixture()
        fixture.submit(
            BlockRequest(
                operation: .write, tag: 0, byteOffset: 1000, byteCount: 2000, buffer: fixture.transport.arena.base))
        fixture.submit(
            BlockRequest(
                operation: .write, tag: 0, byteOffset: 1024, byteCount: 1000, buffer: fixture.transport.arena.base))
        let cuts = fixture.transport.commands.map { "\($0.bytes[0]) \($0.bytes[5]) \($0.bytes[8])" }
        #expect(cuts == ["40 1 1", "40 5 1", "42 1 5", "40 3 1", "42 2 2"])
    }

    @Test("a step that fails or is short ends the request, and lets the next one run")
    func failures() throws {
        let fixture = try BlockFixture()
        fixture.transport.failures = [(2, 2, .unrecoveredReadError)]
        fixture.submit(byte(.write, tag: 0, block: 1, fixture), byte(.write, tag: 1, block: 1, fixture))
        #expect(fixture.recorder.completions.map(\.error) == [.inputOutput, .none])
        #expect(operations(fixture) == ["READ(10)", "READ(10)", "WRITE(10)"])
    }

    @Test("a request of another lane is answered on its own lane, whoever runs it")
    func lanes() throws {
        let fixture = try BlockFixture()
        let other = CompletionRecorder()
        let otherLane = try fixture.device.makeLane(receiver: other)
        fixture.transport.holdsTasks = true
        fixture.submit(byte(.write, tag: 0, block: 0, fixture))
        let request = byte(.write, tag: 1, block: 0, fixture)
        withUnsafePointer(to: request) { otherLane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
        while !fixture.transport.held.isEmpty { fixture.transport.answerHeld(at: 0) }
        #expect(fixture.recorder.completions.map(\.tag) == [0])
        #expect(other.completions.map(\.tag) == [1])
        otherLane.close()
    }

    @Test("threads that write parts of the same blocks undo nothing of each other")
    func threads() throws {
        let fixture = try BlockFixture(blockCount: 8)
        let device = fixture.device
        let first = try OSThread(name: "first halves") { HalfWriter(half: 0, of: device).run() }
        let second = try OSThread(name: "second halves") { HalfWriter(half: 1, of: device).run() }
        first.join()
        second.join()
    }
}

/// Writes the first or the second half of each of a few blocks again and again, and looks each time whether the half
/// still holds what it wrote last. In between it writes a whole block that is nobody else's.
private final class HalfWriter: BlockCompletionReceiver, @unchecked Sendable {
    // SAFETY: `done` changes only while no request is under way; the rest belongs to the writer's thread.
    private let half: Int
    private let device: BlockStorageDevice
    private var done = OneShotEvent()

    init(half: Int, of device: BlockStorageDevice) {
        self.half = half
        self.device = device
    }

    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) { done.set() }

    func run() {
        guard let lane = try? device.makeLane(receiver: self) else {
            Issue.record("there is no lane")
            return
        }
        let buffer = device.arena.base + (half + 1) << 20
        var last: UInt8 = 0
        for round in 1...255 {
            for block in 0..<4 {
                let offset = UInt64(block * 512 + half * 256)
                send(.read, offset, 256, buffer, lane)
                let isIntact = UnsafeRawBufferPointer(start: buffer, count: 256).allSatisfy { $0 == last }
                #expect(isIntact, "block \(block), half \(half), round \(round)")
                memset(buffer, Int32(round), 256)
                send(.write, offset, 256, buffer, lane)
            }
            send(.write, UInt64(4 + half) * 512, 512, buffer, lane)
            last = UInt8(round)
        }
        lane.close()
    }

    /// Sends a request and waits until it is complete, on whichever thread that happens.
    private func send(
        _ operation: BlockRequest.Operation, _ offset: UInt64, _ byteCount: UInt32, _ buffer: UnsafeMutableRawPointer,
        _ lane: any BlockLane
    ) {
        done = OneShotEvent()
        let request = BlockRequest(
            operation: operation, tag: 0, byteOffset: offset, byteCount: byteCount, buffer: buffer)
        withUnsafePointer(to: request) { lane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
        done.wait()
    }
}
