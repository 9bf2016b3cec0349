import MDFormat
import MemberIO
import Platform
import RAID
import Testing

@Suite("The write-intent bitmap in the write path")
struct WriteIntentBitmapTests {
    private static let memberCount = 4
    private static let chunk = 4096
    private static let offset = 4096
    private static let dataByteOffset = 16384

    /// One bit for 8 KiB of each member.
    private func makeArray(missingMember: Role? = nil, stripes: Int = 32, bits: [Int] = []) -> SimulatedArray {
        var bitmap = MDBitmap(
            setUUID: Array(repeating: 1, count: 16), syncSectors: UInt64(stripes * Self.chunk / 512),
            areaByteCount: 8192, events: 1)
        bitmap.chunkByteCount = 8192
        bitmap.bits = Array(repeating: 0, count: (bitmap.bitCount + 7) / 8)
        for bit in bits { bitmap.bits[bit / 8] |= 1 << (bit % 8) }
        let array = SimulatedArray(
            level: .raid5, memberCount: Self.memberCount, chunkByteCount: Self.chunk, stripes: stripes,
            missingMember: missingMember,
            consistency: .bitmap(
                BitmapArea(byteOffsets: Array(repeating: UInt64(Self.offset), count: Self.memberCount), bitmap: bitmap)),
            dataByteOffset: Self.dataByteOffset)
        let encoded = bitmap.encoded
        for member in 0..<Self.memberCount {
            array.members[member].replaceSubrange(Self.offset..<Self.offset + encoded.count, with: encoded)
        }
        return array
    }

    private func isSet(_ bit: Int, on member: [UInt8]) -> Bool {
        member[Self.offset + MDBitmap.headerByteCount + bit / 8] & (1 << (bit % 8)) != 0
    }

    private func bits(of member: [UInt8]) -> [Int] { (0..<32).filter { isSet($0, on: member) } }

    private func write(_ stripe: Int, tag: UInt32 = 0, to array: SimulatedArray, _ memory: UnsafeMutableRawPointer) {
        array.submit(
            ArrayRequest(
                .write, byteOffset: UInt64(stripe * 3 * Self.chunk), byteCount: 4096, memory: memory, tag: tag))
    }

    private func completeAll(_ array: SimulatedArray) {
        while !array.pending.isEmpty { array.complete(at: 0) }
    }

    private func withData(_ body: (UnsafeMutableRawPointer) -> Void) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 65536, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 7, count: 65536)
        body(memory)
    }

    @Test("data is written when its region's bit is durable on all members; the header is left alone")
    func order() {
        withData { memory in
            let array = makeArray()
            write(4, to: array, memory)
            while let read = array.pending.firstIndex(where: { $0.kind == .read }) { array.complete(at: read) }
            #expect(array.pending.map(\.kind) == Array(repeating: .durableWrite, count: 4))
            #expect(array.pending.map(\.place) == [0, 1, 2, 3])
            #expect(array.pending.allSatisfy { $0.byteOffset == 4096 + 256 && $0.byteCount == 4096 - 256 })
            for _ in 0..<4 {
                #expect(!array.pending.contains { $0.kind == .write })
                array.complete(at: 0)
            }
            #expect(array.pending.map(\.kind) == [.write, .write])
            #expect(array.members.allSatisfy { bits(of: $0) == [2] })
        }
    }

    @Test("writes to a region whose bit is set do not wait, and those of one batch share a round")
    func gathering() {
        withData { memory in
            let array = makeArray(bits: [0])
            array.gathers = true
            write(0, tag: 0, to: array, memory)
            for tag in 1..<9 { write(2 * tag, tag: UInt32(tag), to: array, memory) }
            while let read = array.pending.firstIndex(where: { $0.kind == .read }) { array.complete(at: read) }
            #expect(array.pending.map(\.kind) == [.write, .write])
            array.endBatch()
            array.drain()
            #expect(array.pending.filter { $0.kind == .durableWrite }.count == 4)
            array.gathers = false
            completeAll(array)
            #expect(array.finished.count == 9)
            #expect(array.members.allSatisfy { bits(of: $0) == Array(0..<9) })
        }
    }

    @Test("a write that comes while its region's bit is being written waits for that")
    func sameRegion() {
        withData { memory in
            let array = makeArray()
            write(0, tag: 0, to: array, memory)
            write(1, tag: 1, to: array, memory)
            while let read = array.pending.firstIndex(where: { $0.kind == .read }) { array.complete(at: read) }
            #expect(array.pending.count == 4)
            for _ in 0..<4 { array.complete(at: 0) }
            // One round was enough.
            #expect(array.pending.map(\.kind) == [.write, .write, .write, .write])
        }
    }

    @Test("a bit is cleared at the second tick without a write to its region, and after a flush")
    func clearing() {
        withData { memory in
            let array = makeArray()
            write(0, to: array, memory)
            completeAll(array)
            array.tick()
            #expect(array.pending.isEmpty)
            write(2, to: array, memory)
            completeAll(array)
            array.tick()
            #expect(array.pending.map(\.kind) == Array(repeating: .flush, count: 4))
            for _ in 0..<4 {
                #expect(array.members.allSatisfy { bits(of: $0) == [0, 1] })
                array.complete(at: 0)
            }
            completeAll(array)
            #expect(array.members.allSatisfy { bits(of: $0) == [1] })
            // The bit is set again before the next write.
            write(0, to: array, memory)
            completeAll(array)
            #expect(array.members.allSatisfy { bits(of: $0) == [0, 1] })
        }
    }

    @Test("a write that comes while members are flushed keeps its region's bit")
    func writeWhileClearing() {
        withData { memory in
            let array = makeArray(bits: [0])
            array.tick()
            #expect(array.pending.map(\.kind) == Array(repeating: .flush, count: 4))
            write(0, to: array, memory)
            completeAll(array)
            #expect(array.members.allSatisfy { bits(of: $0) == [0] })
        }
    }

    @Test("a write that takes longer than two ticks keeps its region's bit")
    func slowWrite() {
        withData { memory in
            let array = makeArray(bits: [0, 5])
            write(0, to: array, memory)
            while let read = array.pending.firstIndex(where: { $0.kind == .read }) { array.complete(at: read) }
            for _ in 0..<4 {
                array.tick()
                while let other = array.pending.firstIndex(where: { $0.kind != .write }) { array.complete(at: other) }
            }
            #expect(array.members.allSatisfy { bits(of: $0) == [0] })
        }
    }

    @Test("no bit is cleared while a member is missing, or by a flush that a member failed in")
    func degraded() {
        let array = makeArray(missingMember: 1, bits: [3])
        array.tick()
        array.rest()
        #expect(array.pending.isEmpty)
        let failing = makeArray(bits: [3])
        failing.tick()
        failing.failingMembers = [2]
        completeAll(failing)
        #expect(isSet(3, on: failing.members[0]))
    }

    @Test("an array at rest has no bits")
    func rest() {
        withData { memory in
            let array = makeArray(bits: [7])
            write(0, to: array, memory)
            completeAll(array)
            array.rest()
            completeAll(array)
            #expect(array.members.allSatisfy { bits(of: $0) == [] })
        }
    }

    @Test("a bitmap without space ends its writes, with nothing written, and the next one tries again")
    func noSpace() {
        withData { memory in
            let array = makeArray()
            array.runsOutOfSpace = { true }
            write(0, to: array, memory)
            completeAll(array)
            #expect(array.finished.map(\.status) == [.noSpace])
            array.runsOutOfSpace = { false }
            write(0, to: array, memory)
            completeAll(array)
            #expect(array.finished.map(\.status) == [.noSpace, .done])
            #expect(array.members.allSatisfy { bits(of: $0) == [0] } && array.hasConsistentParity)
        }
    }

    @Test(
        "after a crash at any point wrong parity is only where every member's bitmap says so", arguments: UInt64(1)...40
    )
    func crash(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let array = makeArray()
        array.gathers = seed % 2 == 0
        var workload = CrashWorkload(array, using: &generator)
        defer { workload.deallocate() }
        for round in 0..<80 {
            // Long rests now and then, so that bits are cleared.
            if round % 20 < 12 { workload.submit(using: &generator) }
            if Int.random(in: 0..<4, using: &generator) == 0 { array.postTick() }
            workload.step(using: &generator)
            for luck in CrashImage.Luck.allCases where round % 3 == 0 {
                let image = CrashImage(array, luck: luck, using: &generator)
                let isCovered = image.wrongSectors.allSatisfy { sector in
                    image.members.allSatisfy { isSet(sector / 16, on: $0) }
                }
                #expect(isCovered, "seed \(seed), round \(round), \(luck)")
            }
        }
        let isDone = workload.finish(using: &generator)
        #expect(isDone && array.hasConsistentParity && array.misdirected == 0, "seed \(seed)")
        array.rest()
        array.completeAll(using: &generator)
        #expect(array.members.allSatisfy { bits(of: $0) == [] }, "seed \(seed)")
    }
}
