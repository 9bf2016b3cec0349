import Glibc
import MemberIO
import Members
import Platform
import TestSupport
import TestTraits
import Testing

/// A member in memory whose operations wait until they are released, newest first.
final class HeldMember: MemberEndpoint, MemberChannel, @unchecked Sendable {
    // SAFETY: one test, one thread.
    let memory: UnsafeMutableRawPointer
    private(set) var held: [MemberIO] = []
    private var done: [MemberCompletion] = []
    private(set) var spans: [Int] = []
    private(set) var reserved: [Range<UInt64>] = []
    var isFull = false
    private var pipes: [Int32] = [0, 0]

    init(byteCount: Int) {
        memory = .allocate(byteCount: byteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        pipe(&pipes)
    }

    deinit {
        memory.deallocate()
        for descriptor in pipes { close(descriptor) }
    }

    func makeChannel() throws(OSError) -> any MemberChannel { self }

    func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        reserved.append(byteOffset..<byteOffset + byteCount)
        return isFull ? .noSpace : .done
    }

    var readiness: ChannelReadiness? { ChannelReadiness(descriptor: pipes[0], waitsToSend: false) }

    func start(_ ios: UnsafeBufferPointer<MemberIO>) {
        held += ios
        spans.append(ios.count)
    }

    /// Does what is held, and makes it ready to be reaped.
    func release() {
        for io in held.reversed() {
            let place = memory + Int(io.byteOffset)
            switch io.kind {
            case .read, .reread: memcpy(io.memory!, place, Int(io.byteCount))
            case .write, .durableWrite: memcpy(place, io.memory!, Int(io.byteCount))
            case .punch, .zero: memset(place, 0, Int(io.byteCount))
            case .flush: break
            }
            done.append(MemberCompletion(token: io.token, place: io.place, status: .done))
        }
        held = []
        var byte: UInt8 = 1
        write(pipes[1], &byte, 1)
    }

    func reap(into completions: inout [MemberCompletion]) {
        completions += done
        done = []
    }
}

@Suite("Members that are not files", .blocks)
struct MemberChannelTests {
    private static var engines: [MemberEngineKind] {
        MemberEngineKind.detect() == .uring ? [.uring, .threads] : [.threads]
    }

    private func start(_ ios: [MemberIO], on lane: MemberLane, fileBase: Int = 0) {
        ios.withUnsafeBufferPointer { lane.start($0, fileBase: fileBase) }
    }

    @Test("a batch goes to files and channels, and each operation ends once", arguments: engines)
    func mixed(engine: MemberEngineKind) throws {
        let files = TemporaryFiles(count: 1, byteCount: 65536)
        let held = HeldMember(byteCount: 65536)
        // Places 0 and 1 belong to another array.
        let lane = try MemberLane(engine: engine, places: [.none, .none, files.places[0], .endpoint(held)])
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { memory.deallocate() }
        for byte in 0..<8192 {
            memory.storeBytes(of: UInt8(truncatingIfNeeded: byte / 512 + 1), toByteOffset: byte, as: UInt8.self)
        }
        start(
            (0..<16).map { index in
                MemberIO(
                    kind: .write, place: Place(rawValue: UInt8(index / 4 % 2)), byteOffset: UInt64(index * 512),
                    byteCount: 512,
                    memory: memory + index * 512, token: UInt64(index))
            }, on: lane, fileBase: 2)
        #expect(held.spans == [4, 4], "operations on one member go to its channel together")
        #expect(lane.outstanding == 16)
        let first = lane.reap(8)
        #expect(Set(first.map(\.token)) == [0, 1, 2, 3, 8, 9, 10, 11])
        #expect(lane.outstanding == 8)
        held.release()
        let second = lane.reap(8)
        #expect(second.map(\.token) == [15, 14, 13, 12, 7, 6, 5, 4])
        #expect(second.allSatisfy { $0.place == 1 && $0.status == .done })
        #expect(lane.outstanding == 0)
        let content = files.content(0, byteCount: 8192)
        for index in 0..<16 {
            let expected = UInt8(index + 1)
            let inFile = content[index * 512]
            let inChannel = (held.memory + index * 512).load(as: UInt8.self)
            #expect((index / 4 % 2 == 0 ? inFile : inChannel) == expected)
            #expect((index / 4 % 2 == 0 ? inChannel : inFile) == 0)
        }
    }

    @Test("waiting ends for a channel, and for the descriptor", arguments: engines)
    func waiting(engine: MemberEngineKind) throws {
        let held = HeldMember(byteCount: 4096)
        let lane = try MemberLane(engine: engine, places: [.endpoint(held)])
        start([MemberIO(kind: .flush, place: 0, byteOffset: 0, byteCount: 0, memory: nil, token: 7)], on: lane)
        var pipes: [Int32] = [0, 0]
        pipe(&pipes)
        var byte: UInt8 = 1
        write(pipes[1], &byte, 1)
        lane.wait(orReadable: pipes[0])
        #expect(lane.outstanding == 1)
        held.release()
        lane.wait(orReadable: -1)
        #expect(lane.reap(1).map(\.token) == [7])
        lane.wait(orReadable: pipes[0])
        for descriptor in pipes { close(descriptor) }
    }

    @Test("space is asked for once, and again after it was refused or given back")
    func space() throws {
        let held = HeldMember(byteCount: 4096)
        let space = try MemberSpace(place: .endpoint(held), byteCount: 100_000)
        held.isFull = true
        #expect(space.reserve(byteOffset: 70_000, byteCount: 512) == .noSpace)
        held.isFull = false
        #expect(space.reserve(byteOffset: 70_000, byteCount: 512) == .done)
        #expect(space.reserve(byteOffset: 80_000, byteCount: 512) == .done)
        #expect(held.reserved == [65536..<100_000, 65536..<100_000])
        space.forget(byteOffset: 70_000, byteCount: 512)
        #expect(space.reserve(byteOffset: 70_000, byteCount: 512) == .done)
        #expect(held.reserved.count == 3)
    }
}
