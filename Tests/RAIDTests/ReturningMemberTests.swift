import MDFormat
import MemberIO
import Platform
import RAID
import Testing

@Suite("A member that comes back")
struct ReturningMemberTests {
    private static let memberCount = 4
    private static let chunk = 4096
    private static let stripes = 64
    private static let regionByteCount = 8192

    /// One bit for 8 KiB of each member.
    private func makeArray() -> SimulatedArray {
        var bitmap = MDBitmap(
            setUUID: Array(repeating: 1, count: 16), syncSectors: UInt64(Self.stripes * Self.chunk / 512),
            areaByteCount: 8192, events: 1)
        bitmap.chunkByteCount = UInt64(Self.regionByteCount)
        bitmap.bits = Array(repeating: 0, count: (bitmap.bitCount + 7) / 8)
        return SimulatedArray(
            level: .raid5, memberCount: Self.memberCount, chunkByteCount: Self.chunk, stripes: Self.stripes,
            consistency: .bitmap(
                BitmapArea(byteOffsets: Array(repeating: 4096, count: Self.memberCount), bitmap: bitmap)),
            dataByteOffset: 16384)
    }

    /// Writes of one block at a time, and what the array should hold after them.
    private struct Client {
        let array: SimulatedArray
        var content: [UInt8]
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.blockByteCount, alignment: 4096)
        static let blockByteCount = 512

        init(_ array: SimulatedArray) {
            self.array = array
            content = array.content()
        }

        var isIdle: Bool { !isBusy || !array.finished.isEmpty }
        private var isBusy = false

        mutating func write(using generator: inout SeededGenerator, in range: Range<Int>) {
            array.finished = []
            isBusy = true
            let block = Int.random(in: range, using: &generator)
            let byte = UInt8.random(in: 0...255, using: &generator)
            memory.initializeMemory(as: UInt8.self, repeating: byte, count: Self.blockByteCount)
            let start = block * Self.blockByteCount
            content.replaceSubrange(
                start..<start + Self.blockByteCount, with: repeatElement(byte, count: Self.blockByteCount))
            array.submit(
                ArrayRequest(
                    .write, byteOffset: UInt64(start), byteCount: UInt64(Self.blockByteCount), memory: memory, tag: 0))
        }
    }

    /// Fills an array, and lets its bits be cleared.
    private func fill(_ array: SimulatedArray, using generator: inout SeededGenerator) {
        let count = Int(array.geometry.capacityByteCount)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 4096)
        defer { memory.deallocate() }
        for offset in stride(from: 0, to: count, by: 8) {
            memory.storeBytes(of: generator.next(), toByteOffset: offset, as: UInt64.self)
        }
        array.submit(ArrayRequest(.write, byteOffset: 0, byteCount: UInt64(count), memory: memory, tag: 0))
        array.completeAll(using: &generator)
        array.rest()
        array.completeAll(using: &generator)
        #expect(array.planner.writtenRegions == (0, Self.stripes * Self.chunk / Self.regionByteCount))
    }

    /// Runs a rebuild while a client writes to a range of blocks.
    private func run(
        _ schedule: inout MaintenanceSchedule, _ client: inout Client, in range: Range<Int>,
        using generator: inout SeededGenerator
    ) -> MaintenanceSchedule.End? {
        let array = client.array
        while true {
            for outcome in array.maintained { schedule.ended(outcome) }
            array.maintained = []
            if client.isIdle, !range.isEmpty, Int.random(in: 0..<3, using: &generator) == 0 {
                client.write(using: &generator, in: range)
            }
            if !array.isIdle, Bool.random(using: &generator) { array.step(using: &generator) }
            switch schedule.next(now: 0, clientOperations: 0) {
            case .submit(let request):
                guard array.submit(request) else { return nil }
                schedule.submitted(request, now: 0)
            case .look(let byteOffset):
                let written = array.planner.nextWritten(from: byteOffset)
                if written == byteOffset {
                    schedule.found(data: array.nextData(from: byteOffset))
                } else {
                    schedule.unwritten(upTo: written)
                }
            case .wait: if !array.isIdle { array.step(using: &generator) }
            case .record: break
            case .pause: return nil
            case .end(let end): return end
            }
        }
    }

    @Test("what was written without it is copied to it, and nothing else", arguments: UInt64(1)...20)
    func copiesWhatDiffers(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let array = makeArray()
        fill(array, using: &generator)
        var client = Client(array)
        defer { client.memory.deallocate() }
        let lost = Role(index: Int(seed) % Self.memberCount)
        array.failingMembers = [Place(lost)]
        // Three blocks in each of a few places, and later everywhere.
        let blocks = Int(array.geometry.capacityByteCount) / Client.blockByteCount
        for _ in 0..<3 {
            let first = Int.random(in: 0..<blocks - 3, using: &generator)
            client.write(using: &generator, in: first..<first + 3)
            array.completeAll(using: &generator)
        }
        if array.planner.state == .healthy { array.planner.memberFailed(lost) }
        let differing = array.planner.writtenRegions.count
        #expect((1...3).contains(differing), "seed \(seed)")
        array.failingMembers = []
        #expect(array.planner.beginRecovery(Recovery(member: lost, boundary: 0)))
        var schedule = MaintenanceSchedule(.rebuild, geometry: array.geometry, isGuided: true)
        let range = seed % 2 == 0 ? 0..<blocks : 0..<0
        #expect(run(&schedule, &client, in: range, using: &generator) == .done, "seed \(seed)")
        #expect(array.planner.endRecovery())
        array.completeAll(using: &generator)
        #expect(array.hasConsistentParity, "seed \(seed)")
        #expect(array.content() == client.content, "seed \(seed)")
        #expect(array.misdirected == 0, "seed \(seed)")
        let written = UInt64(array.planner.writtenRegions.count * Self.regionByteCount)
        #expect(schedule.rebuiltByteCount <= written, "seed \(seed)")
        if range.isEmpty {
            #expect(schedule.rebuiltByteCount == UInt64(differing * Self.regionByteCount), "seed \(seed)")
        }
    }

    @Test("a rebuild that was interrupted goes on above its boundary, guided")
    func resumes() {
        var generator = SeededGenerator(seed: 4)
        let array = makeArray()
        fill(array, using: &generator)
        var client = Client(array)
        defer { client.memory.deallocate() }
        array.planner.memberFailed(2)
        let blocks = Int(array.geometry.capacityByteCount) / Client.blockByteCount
        for first in [0, blocks / 2, blocks - 8] {
            client.write(using: &generator, in: first..<first + 8)
            array.completeAll(using: &generator)
        }
        #expect(array.planner.beginRecovery(Recovery(member: 2, boundary: UInt64(Self.chunk * 16))) == true)
        var schedule = MaintenanceSchedule(
            .rebuild, geometry: array.geometry, start: UInt64(Self.chunk * 16), isGuided: true)
        #expect(run(&schedule, &client, in: 0..<0, using: &generator) == .done)
        #expect(schedule.rebuiltByteCount == UInt64(2 * Self.regionByteCount))
    }

    @Test("what was believed to be as before is not kept when it has been written to")
    func looksAgain() {
        var generator = SeededGenerator(seed: 5)
        let array = makeArray()
        fill(array, using: &generator)
        var client = Client(array)
        defer { client.memory.deallocate() }
        array.planner.memberFailed(1)
        #expect(array.planner.beginRecovery(Recovery(member: 1, boundary: 0)))
        // A write in stripe 3, which is still waiting for its bit when its region is to be kept.
        let block = 3 * (Self.memberCount - 1) * Self.chunk / Client.blockByteCount
        client.write(using: &generator, in: block..<block + 1)
        #expect(array.submit(MaintenanceRequest(.skipIfClean, byteOffset: 0, byteCount: UInt64(8 * Self.chunk))))
        #expect(array.maintained.isEmpty)
        array.completeAll(using: &generator)
        #expect(array.maintained.map(\.result) == [.hasData])
        #expect(array.planner.recovery?.boundary == 0)
        array.maintained = []
        #expect(array.submit(MaintenanceRequest(.skipIfClean, byteOffset: 0, byteCount: UInt64(2 * Self.chunk))))
        #expect(array.maintained.map(\.result) == [.done] && array.pending.isEmpty)
        #expect(array.planner.recovery?.boundary == UInt64(2 * Self.chunk))
    }
}
