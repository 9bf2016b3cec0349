import Glibc
import MemberIO
import Members
import Platform
import RemoteMembers
import TestTraits
import Testing

@Suite("Lanes of a remote member", .needsCore, .slow)
struct RemoteLaneStressTests {
    private static let laneByteCount = 256 << 10

    @Test("four lanes at once, each with a part of the member, read what they wrote")
    func stress() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        let server = try FakeServer(byteCount: 4 * Self.laneByteCount)
        defer { server.stop() }
        let member = try RemoteMember(uri: server.uri, readOnly: false) { _, _ in }
        nonisolated(unsafe) let wrong = UnsafeMutablePointer<Int>.allocate(capacity: 4)
        defer { wrong.deallocate() }
        var done: [OneShotEvent] = []
        for number in 0..<4 {
            let event = OneShotEvent()
            done.append(event)
            try OSThread(name: "lane \(number)") {
                wrong[number] = (try? Self.work(number, on: member, seed: seed &+ UInt64(number))) ?? -1
                event.set()
            }.detach()
        }
        for event in done { #expect(event.comes(), "a lane sleeps for ever") }
        for number in 0..<4 { #expect(wrong[number] == 0, "lane \(number), seed \(seed)") }
    }

    /// Rounds of writes to different blocks, and reads of them.
    /// - Returns: how many blocks were wrong.
    private static func work(_ number: Int, on member: RemoteMember, seed: UInt64) throws -> Int {
        var generator = SeededGenerator(seed: seed)
        let lane = try MemberLane(engine: .threads, places: [.endpoint(member)])
        let blockCount = laneByteCount / 4096
        let memory = UnsafeMutableRawPointer.allocate(byteCount: laneByteCount, alignment: 4096)
        let copy = UnsafeMutableRawPointer.allocate(byteCount: laneByteCount, alignment: 4096)
        defer {
            memory.deallocate()
            copy.deallocate()
        }
        var wrong = 0
        for _ in 0..<40 {
            let blocks = (0..<blockCount).shuffled(using: &generator).prefix(Int.random(in: 1...48, using: &generator))
            for block in blocks { memset(memory + block * 4096, Int32.random(in: 0...255, using: &generator), 4096) }
            for (kind, base) in [(MemberIO.Kind.write, memory), (.read, copy)] {
                for block in blocks {
                    let io = MemberIO(
                        kind: kind, place: 0, byteOffset: UInt64(number * laneByteCount + block * 4096),
                        byteCount: 4096, memory: base + block * 4096, token: UInt64(block))
                    withUnsafePointer(to: io) { lane.start(UnsafeBufferPointer(start: $0, count: 1), fileBase: 0) }
                }
                wrong += finish(lane)
            }
            for block in blocks where memcmp(memory + block * 4096, copy + block * 4096, 4096) != 0 { wrong += 1 }
        }
        return wrong
    }

    /// - Returns: how many operations failed.
    private static func finish(_ lane: MemberLane) -> Int {
        let buffer = UnsafeMutableBufferPointer<MemberCompletion>.allocate(capacity: 16)
        defer { buffer.deallocate() }
        var failed = 0
        while lane.outstanding > 0 {
            let count = lane.reap(into: buffer)
            failed += buffer[..<count].count { $0.status != .done }
            if count == 0 { lane.wait(orReadable: -1) }
        }
        return failed
    }
}
