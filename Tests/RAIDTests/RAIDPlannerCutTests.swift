import MDFormat
import MemberIO
import RAID
import Testing

@Suite("How the RAID planner cuts requests")
struct RAIDPlannerCutTests {
    @Test("zeroing all columns at some chunk offsets punches the parity too, and reads and writes nothing")
    func zeroAllColumns() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 8192, stripes: 2)
        // All of a stripe but the first and last 512 bytes: chunk offsets 512 ..< 7680 are covered in both columns.
        var request = ArrayRequest(.zero, byteOffset: 512, byteCount: 2 * 8192 - 1024, tag: 0)
        request.mayPunch = true
        array.submit(request)
        let covered = array.pending.filter { $0.byteCount == 7168 }
        #expect(covered.count == 3)
        #expect(covered.allSatisfy { $0.kind == .punch })
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.hasConsistentParity)
    }

    @Test(
        "a small write into a large chunk is one operation wherever it lies",
        arguments: [0, 4096, 512 << 10, 1_044_480])
    func smallWriteInLargeChunk(chunkOffset: Int) {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 1 << 20, stripes: 1)
        var data = [UInt8](repeating: 7, count: 4096)
        data.withUnsafeMutableBytes { memory in
            array.submit(
                ArrayRequest(
                    .write, byteOffset: UInt64(chunkOffset), byteCount: 4096, memory: memory.baseAddress!, tag: 0))
            #expect(array.pending.count == 1)
            while !array.pending.isEmpty { array.complete(at: 0) }
        }
        #expect(array.reads == 1)
        #expect(array.writes == 2)
        #expect(array.hasConsistentParity)
        #expect(Array(array.content()[chunkOffset..<chunkOffset + 4096]) == data)
    }

    @Test("a contiguous range is at most three rectangles of a stripe")
    func rectangles() {
        let chunk = 4096
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: chunk, stripes: 1)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 3 * chunk, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 3, count: 3 * chunk)
        for start in stride(from: 0, to: 3 * chunk, by: 512) {
            for end in stride(from: start + 512, through: 3 * chunk, by: 512) {
                var parityWrites = 0
                array.submit(
                    ArrayRequest(
                        .write, byteOffset: UInt64(start), byteCount: UInt64(end - start), memory: memory, tag: 0))
                while let io = array.pending.first {
                    if io.kind == .write && io.place == Place(array.geometry.parityMember(stripe: 0)) {
                        parityWrites += 1
                    }
                    array.complete(at: 0)
                }
                #expect((1...3).contains(parityWrites), "\(start)..<\(end)")
            }
        }
        #expect(array.hasConsistentParity)
    }
}
