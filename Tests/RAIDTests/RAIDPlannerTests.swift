import Glibc
import MDFormat
import MemberIO
import Platform
import RAID
import Testing

@Suite("The RAID planner")
struct RAIDPlannerTests {
    /// Writes bytes and ends everything in order.
    private func write(_ bytes: [UInt8], at offset: Int, to array: SimulatedArray) {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { memory in
            array.submit(
                ArrayRequest(
                    .write, byteOffset: UInt64(offset), byteCount: UInt64(memory.count), memory: memory.baseAddress!,
                    tag: 0))
            while !array.pending.isEmpty { array.complete(at: 0) }
        }
    }

    @Test("a full stripe is written without reading")
    func fullStripe() {
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 65536, stripes: 3)
        write(Array(repeating: 5, count: 3 * 65536), at: 3 * 65536, to: array)
        #expect(array.reads == 0)
        #expect(array.writes == 4)
        #expect(array.hasConsistentParity)
    }

    @Test("a chunk larger than an operation is still written without reading when the stripe is full")
    func fullStripeOfLargeChunks() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 256 << 10, stripes: 1)
        write(Array(repeating: 5, count: 512 << 10), at: 0, to: array)
        #expect(array.reads == 0)
        #expect(array.hasConsistentParity)
    }

    @Test(
        "a small write reads whichever is less: old data and parity, or the rest of the stripe",
        arguments: [
            (3, 1), (4, 2), (5, 2), (8, 2),
        ])
    func smallWriteCost(memberCount: Int, reads: Int) {
        let array = SimulatedArray(level: .raid5, memberCount: memberCount, chunkByteCount: 16384, stripes: 2)
        write(Array(repeating: 9, count: 4096), at: 4096, to: array)
        #expect(array.reads == reads)
        #expect(array.writes == 2)
        #expect(array.hasConsistentParity)
    }

    @Test("writes to the same chunk offsets of a stripe run one after another, others side by side")
    func serialisation() {
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 16384, stripes: 2)
        var data = [UInt8](repeating: 1, count: 4096)
        data.withUnsafeMutableBytes { memory in
            let pointer = memory.baseAddress!
            array.submit(ArrayRequest(.write, byteOffset: 0, byteCount: 4096, memory: pointer, tag: 0))
            let first = array.pending.count
            // Same chunk offsets, another column: shares the parity block.
            array.submit(ArrayRequest(.write, byteOffset: 16384, byteCount: 4096, memory: pointer, tag: 1))
            #expect(array.pending.count == first)
            // Other chunk offsets of the same stripe.
            array.submit(ArrayRequest(.write, byteOffset: 4096, byteCount: 4096, memory: pointer, tag: 2))
            #expect(array.pending.count == 2 * first)
            while !array.pending.isEmpty { array.complete(at: 0) }
        }
        #expect(array.finished.count == 3)
        #expect(array.hasConsistentParity)
    }

    @Test("a rejected group ends its request without space and leaves the stripe as it was")
    func rejection() {
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 16384, stripes: 2)
        write(Array(repeating: 3, count: 4096), at: 0, to: array)
        let before = array.members
        array.hasSpace = { false }
        write(Array(repeating: 4, count: 4096), at: 0, to: array)
        #expect(array.finished.last?.status == .noSpace)
        #expect(array.members == before)
        array.hasSpace = { true }
        write(Array(repeating: 5, count: 4096), at: 0, to: array)
        #expect(array.finished.last?.status == .done)
        #expect(array.hasConsistentParity)
    }

    @Test("a forced write flushes the members after its last write")
    func forceUnitAccess() {
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 16384, stripes: 2)
        var data = [UInt8](repeating: 1, count: 4096)
        data.withUnsafeMutableBytes { memory in
            var request = ArrayRequest(.write, byteOffset: 0, byteCount: 4096, memory: memory.baseAddress!, tag: 7)
            request.forceUnitAccess = true
            array.submit(request)
            var kinds: [MemberIO.Kind] = []
            while !array.pending.isEmpty {
                kinds.append(array.pending[0].kind)
                array.complete(at: 0)
            }
            #expect(kinds == [.read, .read, .write, .write, .flush, .flush, .flush, .flush])
        }
        #expect(array.finished.map(\.tag) == [7])
    }

    @Test("a second failed member fails the array and every request")
    func secondFailure() {
        let array = SimulatedArray(
            level: .raid5, memberCount: 4, chunkByteCount: 16384, stripes: 2, missingMember: 1)
        array.failingMembers = [2]
        write(Array(repeating: 3, count: 4096), at: 0, to: array)
        write(Array(repeating: 3, count: 4096), at: 65536, to: array)
        #expect(array.planner.state == .failed)
        #expect(array.finished.map(\.status).contains(.failed))
        array.submit(ArrayRequest(.flush, tag: 3))
        #expect(array.finished.last?.status == .failed)
    }

    @Test("zeroing whole stripes punches every member at once, however large the range")
    func zeroStripes() {
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 4096, stripes: 64)
        write(Array(repeating: 8, count: 64 * 3 * 4096), at: 0, to: array)
        var request = ArrayRequest(.zero, byteOffset: 512, byteCount: UInt64(64 * 3 * 4096 - 1024), tag: 1)
        request.mayPunch = true
        array.submit(request)
        #expect(array.pending.filter { $0.kind == .punch }.count <= 16)
        var generator = SeededGenerator(seed: 1)
        array.completeAll(using: &generator)
        let content = array.content()
        #expect(content[..<512].allSatisfy { $0 == 8 } && content.suffix(512).allSatisfy { $0 == 8 })
        #expect(content[512..<content.count - 512].allSatisfy { $0 == 0 })
        #expect(array.hasConsistentParity)
    }
}

@Suite("The RAID planner against a model")
struct RAIDPlannerModelTests {
    /// A request under way: where it goes, what it carries.
    private struct Flight {
        var request: ArrayRequest
        var memory: UnsafeMutableRawBufferPointer
    }

    @Test("random requests side by side, ended in any order, with a member that fails", arguments: 1...60)
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let level: RAIDLevel = seed % 4 == 0 ? .raid0 : .raid5
        let memberCount = Int.random(in: 3...6, using: &generator)
        let chunk = [4096, 8192, 131072].randomElement(using: &generator)!
        let startsDegraded = level == .raid5 && seed % 3 == 0
        let array = SimulatedArray(
            level: level, memberCount: memberCount, chunkByteCount: chunk, stripes: chunk > 8192 ? 3 : 12,
            missingMember: startsDegraded ? Role(index: Int.random(in: 0..<memberCount, using: &generator)) : nil,
            operationCapacity: Bool.random(using: &generator) ? 2048 : 5)
        let capacity = Int(array.geometry.capacityByteCount)
        var model = [UInt8](repeating: 0, count: capacity)
        var flights: [UInt32: Flight] = [:]
        let failsAt = level == .raid5 && !startsDegraded && seed % 2 == 0 ? 150 : Int.max
        var stamp: UInt8 = 0

        for step in 0..<400 {
            if step == failsAt {
                array.failingMembers = [Place(Role(index: Int.random(in: 0..<memberCount, using: &generator)))]
            }
            if flights.count < 12, Bool.random(using: &generator),
                let tag = (UInt32(0)..<12).first(where: { flights[$0] == nil })
            {
                stamp &+= 1
                submit(tag, stamp, to: array, &flights, &model, &generator)
            } else if !array.isIdle {
                array.step(using: &generator)
            }
            land(array, &flights, model, seed)
        }
        array.completeAll(using: &generator)
        land(array, &flights, model, seed)
        #expect(flights.isEmpty, "seed \(seed): requests never ended")
        #expect(array.content() == model, "seed \(seed)")
        if case .healthy = array.planner.state, level == .raid5 {
            #expect(array.hasConsistentParity, "seed \(seed)")
        }
    }

    /// Submits a random request that overlaps no other one under way, so that the model knows the outcome.
    private func submit(
        _ tag: UInt32, _ stamp: UInt8, to array: SimulatedArray, _ flights: inout [UInt32: Flight],
        _ model: inout [UInt8], _ generator: inout SeededGenerator
    ) {
        let blocks = model.count / 512
        let start = Int.random(in: 0..<blocks, using: &generator)
        let longest = Bool.random(using: &generator) ? 8 : blocks
        let count = Int.random(in: 1...max(1, min(longest, blocks - start)), using: &generator)
        let range = start * 512..<(start + count) * 512
        let isTaken = flights.values.contains { flight in
            let other = Int(flight.request.byteOffset)..<Int(flight.request.byteOffset + flight.request.byteCount)
            return other.overlaps(range)
        }
        if isTaken { return }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 512)
        let operation: ArrayRequest.Operation = [.read, .write, .write, .zero, .flush].randomElement(using: &generator)!
        var request = ArrayRequest(
            operation, byteOffset: UInt64(range.lowerBound), byteCount: UInt64(range.count),
            memory: memory.baseAddress!, tag: tag)
        request.forceUnitAccess = UInt8.random(in: 0..<8, using: &generator) == 0
        request.mayPunch = Bool.random(using: &generator)
        if operation == .write {
            for sector in 0..<count {
                memset(memory.baseAddress! + sector * 512, Int32(UInt8(truncatingIfNeeded: sector) &+ stamp), 512)
            }
            model.withUnsafeMutableBytes {
                _ = memcpy($0.baseAddress! + range.lowerBound, memory.baseAddress!, range.count)
            }
        } else if operation == .zero {
            model.withUnsafeMutableBytes { _ = memset($0.baseAddress! + range.lowerBound, 0, range.count) }
        }
        flights[tag] = Flight(request: request, memory: memory)
        array.post(request)
    }

    /// Takes what has finished, and checks what was read.
    private func land(_ array: SimulatedArray, _ flights: inout [UInt32: Flight], _ model: [UInt8], _ seed: UInt64) {
        for finished in array.finished {
            guard let flight = flights.removeValue(forKey: finished.tag) else {
                Issue.record("seed \(seed): request \(finished.tag) ended twice")
                continue
            }
            #expect(finished.status == .done, "seed \(seed)")
            if flight.request.operation == .read {
                let start = Int(flight.request.byteOffset)
                let isRight = model.withUnsafeBytes {
                    memcmp($0.baseAddress! + start, flight.memory.baseAddress!, flight.memory.count) == 0
                }
                #expect(isRight, "seed \(seed)")
            }
            flight.memory.deallocate()
        }
        array.finished.removeAll()
    }
}

@Suite("Array geometry")
struct ArrayGeometryTests {
    private let geometry = ArrayGeometry(
        level: .raid5, memberCount: 4, chunkByteCount: 65536, memberDataByteCount: 1 << 30, dataByteOffset: 0)

    @Test(
        "left-symmetric: parity walks backwards, data follows it",
        arguments: [
            (0, 0, 0), (65536, 1, 0), (200_000, 3, 68928), (786_432, 0, 262_144), (1_000_000, 3, 344_640),
            (123_456_789, 3, 41_143_573),
        ])
    func vectors(arrayByte: UInt64, member: Int, memberByte: UInt64) {
        let position = geometry.position(of: arrayByte)
        #expect(geometry.member(stripe: position.stripe, column: position.column) == Role(index: member))
        #expect(geometry.memberByteOffset(stripe: position.stripe, chunkOffset: position.chunkOffset) == memberByte)
    }

    @Test("extents cover a range once and in order")
    func extents() {
        var covered: UInt64 = 0
        geometry.forEachExtent(byteOffset: 60_000, byteCount: 400_000) { _, _, byteCount, offset in
            #expect(offset == covered)
            covered += byteCount
        }
        #expect(covered == 400_000)
    }

    @Test("a RAID 0 range is one range of each member")
    func raid0Ranges() {
        let geometry = ArrayGeometry(
            level: .raid0, memberCount: 3, chunkByteCount: 4096, memberDataByteCount: 1 << 20, dataByteOffset: 0)
        for end in stride(from: UInt64(0), through: 100_000, by: 512) {
            let total = geometry.roles.reduce(0) { $0 + geometry.raid0MemberByteCount(member: $1, below: end) }
            #expect(total == end)
        }
    }
}
