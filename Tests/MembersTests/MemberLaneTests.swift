import Glibc
import MemberIO
import Members
import Platform
import TestTraits
import Testing

/// Temporary files that go away with their owner.
final class TemporaryFiles {
    private(set) var descriptors: [Int32] = []
    var places: [MemberPlace] { descriptors.map { .file($0) } }

    init(count: Int, byteCount: Int) {
        for _ in 0..<count {
            var template = Array("/tmp/nbdext-test-XXXXXX".utf8CString)
            let descriptor = mkstemp(&template)
            precondition(descriptor >= 0)
            unlink(template)
            ftruncate(descriptor, off_t(byteCount))
            descriptors.append(descriptor)
        }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }

    func content(_ file: Int, byteCount: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let count = pread(descriptors[file], &bytes, byteCount, 0)
        precondition(count == byteCount)
        return bytes
    }
}

@Suite("Member I/O", .blocks)
struct MemberLaneTests {
    private static var engines: [MemberEngineKind] {
        MemberEngineKind.detect() == .uring ? [.uring, .threads] : [.threads]
    }

    /// Starts a batch and waits for all of it.
    private func run(_ ios: [MemberIO], on lane: MemberLane) -> [UInt64: MemberStatus] {
        ios.withUnsafeBufferPointer { lane.start($0, fileBase: 0) }
        return finish(lane)
    }

    private func finish(_ lane: MemberLane) -> [UInt64: MemberStatus] {
        var outcomes: [UInt64: MemberStatus] = [:]
        let buffer = UnsafeMutableBufferPointer<MemberCompletion>.allocate(capacity: 7)
        defer { buffer.deallocate() }
        while lane.outstanding > 0 {
            let count = lane.reap(into: buffer)
            for completion in buffer[..<count] {
                #expect(outcomes[completion.token] == nil, "token \(completion.token) came twice")
                outcomes[completion.token] = completion.status
            }
            if count == 0 { lane.wait(orReadable: -1) }
        }
        return outcomes
    }

    @Test("memory that cannot be used is not the member's fault", arguments: engines)
    func unusableMemory(engine: MemberEngineKind) throws {
        let files = TemporaryFiles(count: 1, byteCount: 1 << 20)
        let lane = try MemberLane(engine: engine, places: files.places)
        let memory = try #require(mmap(nil, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        defer { munmap(memory, 8192) }
        let kinds = [MemberIO.Kind.read, .write, .durableWrite, .reread]
        let ios = kinds.enumerated().map { token, kind in
            MemberIO(
                kind: kind, place: 0, byteOffset: UInt64(token) * 65536, byteCount: 8192, memory: memory,
                token: UInt64(token))
        }
        #expect(run(ios, on: lane) == [0: .refused, 1: .refused, 2: .refused, 3: .refused])
    }

    @Test("random batches against a model, more than the lane has room for", arguments: engines)
    func random(engine: MemberEngineKind) throws {
        let byteCount = 1 << 20
        let files = TemporaryFiles(count: 3, byteCount: byteCount)
        let lane = try MemberLane(engine: engine, places: files.places)
        var model = [[UInt8]](repeating: Array(repeating: 0, count: byteCount), count: 3)
        var random = SeededGenerator(seed: 42)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 2048 * 512, alignment: 4096)
        defer { memory.deallocate() }
        for round in 0..<12 {
            // Each block of each file once, so that the outcome does not depend on the order.
            var writes: [MemberIO] = []
            for index in 0..<2048 where random.below(2) == 0 {
                let block = memory + index * 512
                memset(block, Int32(random.below(256)), 512)
                let member = index % 3
                model[member].replaceSubrange(
                    index * 512..<index * 512 + 512, with: UnsafeRawBufferPointer(start: block, count: 512))
                writes.append(
                    MemberIO(
                        kind: .write, place: Place(rawValue: UInt8(member)), byteOffset: UInt64(index * 512),
                        byteCount: 512,
                        memory: block,
                        token: UInt64(index)))
            }
            writes.sort { ($0.place, $0.byteOffset) < ($1.place, $1.byteOffset) }
            writes.append(
                MemberIO(
                    kind: .flush, place: Place(rawValue: UInt8(round % 3)), byteOffset: 0, byteCount: 0, memory: nil,
                    token: 5000)
            )
            let outcomes = run(writes, on: lane)
            #expect(outcomes.count == writes.count)
            #expect(outcomes.values.allSatisfy { $0 == .done })
            memset(memory, 0xEE, 2048 * 512)
            let reads = (0..<2048).map { index in
                MemberIO(
                    kind: .read, place: Place(rawValue: UInt8(round % 3)), byteOffset: UInt64(index * 512),
                    byteCount: 512,
                    memory: memory + index * 512, token: UInt64(index))
            }
            #expect(run(reads, on: lane).values.allSatisfy { $0 == .done })
            #expect(UnsafeRawBufferPointer(start: memory, count: byteCount).elementsEqual(model[round % 3]))
        }
    }

    @Test("punched and zeroed ranges read as zeros", arguments: engines)
    func zeroing(engine: MemberEngineKind) throws {
        let files = TemporaryFiles(count: 1, byteCount: 65536)
        let lane = try MemberLane(engine: engine, places: files.places)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 65536, alignment: 4096)
        defer { memory.deallocate() }
        memset(memory, 9, 65536)
        _ = run(
            [MemberIO(kind: .write, place: 0, byteOffset: 0, byteCount: 65536, memory: memory, token: 1)], on: lane)
        let outcomes = run(
            [
                MemberIO(kind: .punch, place: 0, byteOffset: 4096, byteCount: 8192, memory: nil, token: 2),
                MemberIO(kind: .zero, place: 0, byteOffset: 20_480, byteCount: 512, memory: nil, token: 3),
            ], on: lane)
        #expect(outcomes == [2: .done, 3: .done])
        let content = files.content(0, byteCount: 65536)
        for (index, byte) in content.enumerated() {
            let isZero = (4096..<12_288).contains(index) || (20_480..<20_992).contains(index)
            guard byte == (isZero ? 0 : 9) else {
                Issue.record("byte \(index) is \(byte)")
                return
            }
        }
    }

    @Test("reading behind the end, a missing file and a file that cannot be written are failures", arguments: engines)
    func failures(engine: MemberEngineKind) throws {
        let files = TemporaryFiles(count: 1, byteCount: 4096)
        let readOnly = open("/dev/zero", O_RDONLY)
        let full = open("/dev/full", O_RDWR)
        defer {
            close(readOnly)
            close(full)
        }
        let lane = try MemberLane(engine: engine, places: files.places + [.none, .file(readOnly), .file(full)])
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { memory.deallocate() }
        memset(memory, 0, 8192)
        let outcomes = run(
            [
                MemberIO(kind: .read, place: 0, byteOffset: 0, byteCount: 8192, memory: memory, token: 1),
                MemberIO(kind: .read, place: 1, byteOffset: 0, byteCount: 512, memory: memory, token: 2),
                MemberIO(kind: .write, place: 2, byteOffset: 0, byteCount: 512, memory: memory, token: 3),
                MemberIO(kind: .write, place: 3, byteOffset: 0, byteCount: 512, memory: memory, token: 4),
            ], on: lane)
        #expect(outcomes == [1: .failed, 2: .failed, 3: .failed, 4: .noSpace])
    }

    @Test("waiting ends when the descriptor is readable", arguments: engines)
    func waiting(engine: MemberEngineKind) throws {
        let files = TemporaryFiles(count: 1, byteCount: 4096)
        let lane = try MemberLane(engine: engine, places: files.places)
        var pipes: [Int32] = [0, 0]
        pipe(&pipes)
        var byte: UInt8 = 1
        write(pipes[1], &byte, 1)
        lane.wait(orReadable: pipes[0])
        lane.wait(orReadable: pipes[0])
        #expect(lane.outstanding == 0)
        for descriptor in pipes { close(descriptor) }
    }
}

@Suite("Member space", .blocks)
struct MemberSpaceTests {
    @Test("reserves whole granules and forgets what was punched")
    func reservation() throws {
        let files = TemporaryFiles(count: 1, byteCount: 1 << 20)
        let space = try MemberSpace(place: files.places[0], byteCount: 1 << 20)
        var information = stat()
        #expect(space.reserve(byteOffset: 100_000, byteCount: 512) == .done)
        fstat(files.descriptors[0], &information)
        #expect(information.st_size == 1 << 20)
        #expect(information.st_blocks * 512 >= 65536)
        // Reserved once: no system call sees the closed descriptor.
        let closed = try MemberSpace(place: .file(-1), byteCount: 1 << 20)
        _ = closed.reserve(byteOffset: 0, byteCount: 512)
        space.forget(byteOffset: 100_000, byteCount: 512)
        #expect(space.reserve(byteOffset: 100_000, byteCount: 512) == .done)
    }
}
