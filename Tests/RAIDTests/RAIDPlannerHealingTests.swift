import MDFormat
import MemberIO
import Platform
import RAID
import Testing

@Suite("The RAID planner and blocks that cannot be read")
struct RAIDPlannerHealingTests {
    private let array: SimulatedArray
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    private let original: [UInt8]
    /// The member and the byte of its file that hold the array's first byte.
    private let member: Role
    private let byteOffset: UInt64

    /// Three stripes of random data on four members.
    init() {
        var generator = SeededGenerator(seed: 11)
        array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 64 << 10, stripes: 3)
        let count = Int(array.geometry.capacityByteCount)
        for offset in stride(from: 0, to: count, by: 8) {
            memory.storeBytes(of: generator.next(), toByteOffset: offset, as: UInt64.self)
        }
        original = Array(memory[..<count])
        member = array.geometry.member(stripe: 0, column: 0)
        byteOffset = array.geometry.memberByteOffset(stripe: 0, chunkOffset: 0)
        #expect(run(.write, 0..<count) == .done)
    }

    /// Carries out a request.
    private func run(_ operation: ArrayRequest.Operation, _ range: Range<Int>) -> ArrayStatus? {
        array.submit(
            ArrayRequest(
                operation, byteOffset: UInt64(range.lowerBound), byteCount: UInt64(range.count),
                memory: memory.baseAddress!, tag: 0))
        while !array.pending.isEmpty { array.complete(at: 0) }
        return array.finished.popLast()?.status
    }

    @Test("a block is read, computed, written, and read again from below the cache")
    func steps() {
        defer { memory.deallocate() }
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset + 4096)
        array.submit(ArrayRequest(.read, byteOffset: 4096, byteCount: 4096, memory: memory.baseAddress!, tag: 0))
        var kinds: [MemberIO.Kind] = []
        while let io = array.pending.first {
            #expect(io.kind.isRead || (io.place == Place(member) && io.byteOffset == byteOffset + 4096))
            kinds.append(io.kind)
            array.complete(at: 0)
        }
        #expect(kinds == [.read, .read, .read, .read, .read, .durableWrite, .reread, .read])
        #expect(array.finished.map(\.status) == [.done])
        #expect(Array(memory[..<4096]) == Array(original[4096..<8192]))
        #expect(array.planner.correctedReads.reduce(0, +) == 1)
        #expect(array.corrected.map(\.byteOffset) == [byteOffset + 4096])
    }

    @Test("nobody writes to a block while it is healed")
    func rowsAreLocked() {
        defer { memory.deallocate() }
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset)
        array.submit(ArrayRequest(.read, byteOffset: 512, byteCount: 512, memory: memory.baseAddress!, tag: 0))
        // It met the block, and probes all of it.
        array.complete(at: 0)
        let probes = array.pending.count
        #expect(probes == 4)
        array.submit(
            ArrayRequest(.write, byteOffset: 1024, byteCount: 512, memory: memory.baseAddress! + 512, tag: 1))
        #expect(array.pending.count == probes)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.tag) == [0, 1])
        #expect(array.finished.allSatisfy { $0.status == .done })
        #expect(array.hasConsistentParity)
    }

    @Test("what two members cannot read is an error, and no member fails for it")
    func twoBadBlocks() {
        defer { memory.deallocate() }
        let other = array.geometry.member(stripe: 0, column: 1)
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset)
        array.badBlocks.add(at: Place(other), byteOffset: byteOffset)
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset + 4096)
        #expect(run(.read, 0..<4096) == .failed)
        #expect(run(.read, 0..<8192) == .failed)
        #expect(array.planner.state == .healthy)
        // The block beside it was healed, and what is written can be read.
        #expect(array.planner.correctedReads[member] == 1)
        #expect(run(.read, 4096..<8192) == .done)
        #expect(Array(memory[..<4096]) == Array(original[4096..<8192]))
        #expect(run(.write, 0..<Int(array.geometry.stripeByteCount)) == .done)
        #expect(run(.read, 0..<8192) == .done)
    }

    @Test("a block that stays bad after it was written ends its member")
    func staysBad() {
        defer { memory.deallocate() }
        array.badBlocks.stayBad = true
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset)
        #expect(run(.read, 0..<4096) == .done)
        #expect(Array(memory[..<4096]) == Array(original[..<4096]))
        #expect(array.planner.state == .degraded(missing: member))
        #expect(array.planner.correctedReads.allSatisfy { $0 == 0 })
    }

    @Test("without a member, what cannot be read is an error and the array goes on")
    func degraded() {
        defer { memory.deallocate() }
        let missing = array.geometry.member(stripe: 0, column: 2)
        array.planner.memberFailed(missing)
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset)
        #expect(run(.read, 0..<4096) == .failed)
        // The missing member's block is lost with it, and parity cannot be computed.
        #expect(run(.read, 2 * 65536..<2 * 65536 + 4096) == .failed)
        #expect(run(.write, 65536..<65536 + 4096) == .done)
        #expect(run(.write, 2 * 65536..<2 * 65536 + 4096) == .failed)
        #expect(array.planner.state == .degraded(missing: missing))
        #expect(run(.read, 8192..<12288) == .done)
        #expect(Array(memory[..<4096]) == Array(original[8192..<12288]))
    }

    @Test("a rebuild that meets a bad block fails, and goes on from there when the block was written")
    func rebuild() {
        defer { memory.deallocate() }
        let missing = array.geometry.member(stripe: 0, column: 2)
        array.planner.memberFailed(missing)
        array.replace(missing, content: 0x5A)
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset)
        for (attempt, result) in [MaintenanceOutcome.Result.failed, .done].enumerated() {
            #expect(array.submit(MaintenanceRequest(.rebuild, byteOffset: 0, byteCount: 65536)))
            while !array.pending.isEmpty { array.complete(at: 0) }
            #expect(array.maintained.popLast()?.result == result)
            #expect(array.planner.state == .degraded(missing: missing))
            #expect(array.planner.recovery?.boundary == (attempt == 0 ? 0 : 65536))
            array.badBlocks.removeAll()
        }
    }

    @Test("a member that is being rebuilt ends when a block of it stays bad: the others have what it has")
    func rebuiltMemberStaysBad() {
        defer { memory.deallocate() }
        array.planner.memberFailed(member)
        array.replace(member, content: 0x5A)
        #expect(array.submit(MaintenanceRequest(.rebuild, byteOffset: 0, byteCount: 65536)))
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.planner.recovery?.boundary == 65536)
        array.badBlocks.stayBad = true
        array.badBlocks.add(at: Place(member), byteOffset: byteOffset)
        #expect(run(.read, 0..<4096) == .done)
        #expect(Array(memory[..<4096]) == Array(original[..<4096]))
        #expect(array.planner.state == .degraded(missing: member))
        #expect(array.planner.recovery == nil)
    }

    @Test("parity is right after a write for which one member had no space", arguments: [0, 1, 2, 3])
    func mending(failsAt: Int) {
        defer { memory.deallocate() }
        var writes = 0
        array.runsOutOfSpace = {
            writes += 1
            return writes == failsAt + 1
        }
        // Three columns and parity.
        let status = run(.write, 4096..<2 * 65536 + 4096 + 8192)
        #expect(status == .noSpace)
        #expect(array.hasConsistentParity)
        #expect(!array.planner.isParityDoubtful)
    }

    @Test("a write that one member's system does not take fails, and leaves members and right parity", arguments: 0..<4)
    func refusedWrite(failsAt: Int) {
        defer { memory.deallocate() }
        var writes = 0
        array.refuses = { io in
            if io.kind == .write { writes += 1 }
            return io.kind == .write && writes == failsAt + 1
        }
        #expect(run(.write, 4096..<2 * 65536 + 4096 + 8192) == .refused)
        #expect(array.planner.state == .healthy)
        #expect(array.hasConsistentParity && !array.planner.isParityDoubtful)
        #expect(run(.write, 4096..<2 * 65536) == .done)
    }

    @Test("what is not taken fails once, and is neither tried for ever nor healed", arguments: [0, 1, 2])
    func refusedReads(member: Int) {
        defer { memory.deallocate() }
        array.refuses = { $0.place.index == member && $0.kind.isRead }
        #expect(run(.read, 0..<3 * 65536) == .refused)
        // Its parity may come from what this member has, or from others.
        let write = run(.write, 0..<4096)
        #expect(write == .refused || write == .done)
        array.refuses = { _ in false }
        #expect(run(.write, 0..<4096) == .done)
        #expect(array.planner.state == .healthy && array.corrected.isEmpty && array.hasConsistentParity)
    }

    @Test("parity that finds no space twice is in doubt until a repair")
    func doubt() {
        defer { memory.deallocate() }
        let parity = array.geometry.parityMember(stripe: 0)
        array.submit(ArrayRequest(.write, byteOffset: 0, byteCount: 4096, memory: memory.baseAddress!, tag: 0))
        var isParity = false
        array.runsOutOfSpace = { isParity }
        memory[0] ^= 1
        while let io = array.pending.first {
            isParity = io.place == Place(parity)
            array.complete(at: 0)
        }
        #expect(array.finished.map(\.status) == [.noSpace])
        #expect(array.planner.isParityDoubtful)
        let count = array.planner.doubtCount
        array.runsOutOfSpace = { false }
        #expect(array.submit(MaintenanceRequest(.repair, byteOffset: 0, byteCount: 65536)))
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.hasConsistentParity)
        array.planner.repaired(doubtCount: count)
        #expect(!array.planner.isParityDoubtful)
    }
}
