import Glibc
import MemberIO
import Members
import Platform
import TestTraits
import Testing

@Suite("Bays that members come to and go from", .blocks)
struct MemberBayTests {
    private static let byteCount = 4096

    /// Starts one operation on the bay's member.
    private func start(_ kind: MemberIO.Kind, token: UInt64, _ memory: UnsafeMutableRawPointer, on lane: MemberLane) {
        let io = MemberIO(
            kind: kind, place: 0, byteOffset: 0, byteCount: Self.byteCount, memory: memory, token: token)
        withUnsafePointer(to: io) { lane.start(UnsafeBufferPointer(start: $0, count: 1), fileBase: 0) }
    }

    private func reap(from lane: MemberLane) -> MemberCompletion {
        let buffer = UnsafeMutableBufferPointer<MemberCompletion>.allocate(capacity: 1)
        defer { buffer.deallocate() }
        while lane.reap(into: buffer) == 0 { lane.wait(orReadable: -1) }
        return buffer[0]
    }

    @Test("a lane follows from a file to something else and back, and gets all outcomes", arguments: [true, false])
    func follows(usesRing: Bool) throws {
        let engine = usesRing ? MemberEngineKind.detect() : .threads
        let files = TemporaryFiles(count: 1, byteCount: Self.byteCount)
        defer { withExtendedLifetime(files) {} }
        let file = files.descriptors[0]
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 4096)
        defer { memory.deallocate() }
        let bay = try MemberBay()
        let lane = try MemberLane(engine: engine, places: [bay.place])
        let space = try MemberSpace(place: bay.place, byteCount: UInt64(Self.byteCount))
        start(.read, token: 1, memory, on: lane)
        #expect(reap(from: lane).status == .failed, "the bay is empty")
        #expect(bay.put(.file(file)))
        memory.initializeMemory(as: UInt8.self, repeating: 1, count: Self.byteCount)
        start(.write, token: 2, memory, on: lane)
        #expect(reap(from: lane).status == .done)

        let held = HeldMember(byteCount: Self.byteCount)
        #expect(bay.put(.endpoint(held)))
        held.isFull = true
        #expect(space.reserve(byteOffset: 0, byteCount: 512) == .noSpace && held.reserved.count == 1)
        memory.initializeMemory(as: UInt8.self, repeating: 2, count: Self.byteCount)
        start(.write, token: 3, memory, on: lane)
        #expect(held.held.map(\.token) == [3])

        // It ends on the member on which it began, although that has left.
        bay.clear()
        start(.read, token: 4, memory, on: lane)
        #expect(reap(from: lane).status == .failed)
        #expect(lane.outstanding == 1)
        held.release()
        let late = reap(from: lane)
        #expect(late.token == 3 && late.status == .done && lane.outstanding == 0)

        #expect(bay.put(.file(file)))
        start(.read, token: 5, memory, on: lane)
        #expect(reap(from: lane).status == .done)
        #expect(memory.load(as: UInt8.self) == 1)
    }
}
