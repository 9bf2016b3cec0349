import MDFormat
import MemberIO
import Testing

@testable import RAID

extension OperationIndex: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int32) { self.init(rawValue: value) }
}

/// Operations in memory of their own, for the parts that link them.
final class Operations {
    let pool: OperationPool
    var pointer: UnsafeMutablePointer<StripeOperation> { pool.operations }

    init(count: Int) { pool = OperationPool(capacity: count) }
    deinit { pool.deallocate() }

    /// Fills the place of an operation.
    func set(_ index: OperationIndex, stripe: UInt64, _ offsets: Range<UInt32>, stripes: UInt64 = 1) {
        pointer[index].stripe = stripe
        pointer[index].chunkOffset = offsets.lowerBound
        pointer[index].chunkOffsetEnd = offsets.upperBound
        pointer[index].stripeCount = stripes
    }
}

@Suite("Parts of the planner")
struct PlannerPartsTests {
    private static let geometry = ArrayGeometry(
        level: .raid5, memberCount: 3, chunkByteCount: 65536, memberDataByteCount: 4 << 20, dataByteOffset: 4096)

    @Test("requests that found no free operation are served in order, round the ring")
    func starved() {
        var table = RequestTable(geometry: Self.geometry, capacity: 3)
        defer { table.deallocate() }
        for round in 0..<4 as Range<UInt32> {
            #expect(!table.hasStarved && table.firstStarved == nil)
            let tags = [round % 3, (round + 1) % 3]
            for tag in tags {
                table.begin(ArrayRequest(.write, byteCount: 4096, tag: tag))
                table.starve(tag)
            }
            for tag in tags {
                #expect(table.firstStarved == tag)
                table[tag].pointee.endExpansion()
                table.serveFirst()
            }
        }
    }

    @Test("an operation is used by one at a time, and the one that was free longest is taken")
    func pool() {
        var pool = OperationPool(capacity: 2)
        defer { pool.deallocate() }
        let first = pool.add(StripeOperation())
        let second = pool.add(StripeOperation())
        #expect(first == 0 && second == 1 && pool.freeCount == 0)
        for phase in [.reading, .ended] as [StripeOperation.Phase] { pool.operations[0].move(to: phase) }
        pool.release(0)
        #expect(pool.freeCount == 1 && pool.all[0].phase == .free)
        var operation = StripeOperation()
        operation.stripe = 7
        let third = pool.add(operation)
        #expect(third == 0 && pool.operations[0].stripe == 7)
    }

    @Test("scratch memory goes to those who wait first, by size")
    func scratch() {
        let count = ScratchPool.smallCount + ScratchPool.largeCount + 4
        let operations = Operations(count: count)
        let base = UnsafeMutableRawPointer(bitPattern: 4096)!
        let memory = ScratchMemory(base: base, memberCount: 3)
        var pool = ScratchPool()
        defer { pool.deallocate() }
        var addresses: Set<UnsafeMutableRawPointer> = []
        for index in (0..<Int32(ScratchPool.smallCount)).map(OperationIndex.init(rawValue:)) {
            operations.set(index, stripe: 0, 0..<4096)
            let isClaimed = pool.claim(for: &operations.pointer[index])
            #expect(isClaimed)
            for member in Roles(count: 3) {
                addresses.insert(memory.block(operations.pointer[index].scratch, member: member))
            }
        }
        #expect(addresses.count == 3 * ScratchPool.smallCount)
        // None of the small blocks are left; large ones are.
        let indices = (1...3).map { OperationIndex(rawValue: Int32(count - $0)) }
        let (small, other, large) = (indices[0], indices[1], indices[2])
        operations.set(small, stripe: 0, 0..<512)
        operations.set(other, stripe: 0, 0..<512)
        operations.set(large, stripe: 0, 0..<8192)
        var isClaimed = pool.claim(for: &operations.pointer[small])
        #expect(!isClaimed)
        operations.pointer[small].move(to: .awaitingScratch)
        pool.append(small, in: operations.pointer)
        isClaimed = pool.claim(for: &operations.pointer[large])
        var served = pool.serveFirst(in: operations.pointer)
        #expect(isClaimed && served == nil)
        pool.release(operations.pointer[0].scratch)
        // Somebody waits, so nobody else gets what is free.
        isClaimed = pool.claim(for: &operations.pointer[other])
        #expect(!isClaimed)
        served = pool.serveFirst(in: operations.pointer)
        #expect(served == small)
        #expect(operations.pointer[small].scratch == operations.pointer[0].scratch)
    }

    @Test("operations that overlap wait for each other, in the order in which they came")
    func locks() {
        let operations = Operations(count: 5)
        var index = StripeIndex(operations: operations.pointer)
        defer { index.deallocate() }
        operations.set(0, stripe: 5, 0..<4096)
        operations.set(1, stripe: 5, 2048..<6144)
        operations.set(2, stripe: 5, 4096..<8192)
        operations.set(3, stripe: 6, 0..<4096)
        operations.set(4, stripe: 0, 0..<65536, stripes: 6)
        for number in [0, 1, 2, 3, 4] as [OperationIndex] { index.insert(number) }
        // The last one covers stripes 0 ..< 6, so it waits for all but that on stripe 6.
        #expect((0..<5).map { operations.pointer[$0].lock.blockers } == [0, 1, 1, 0, 3])
        var ready: [OperationIndex] = []
        for number in [0, 1, 2] as [OperationIndex] { index.remove(number) { ready.append($0) } }
        #expect(ready == [1, 2, 4])
        index.remove(3) { ready.append($0) }
        #expect(ready.count == 3 && !operations.pointer[3].lock.isIndexed)
    }

    @Test("operations get their stripe ranges and scratch memory in order, and give them up together")
    func schedule() {
        var schedule = OperationSchedule(capacity: 3)
        defer { schedule.deallocate() }
        let indices = (0..<3).map { _ in
            var operation = StripeOperation()
            operation.kind = .write
            operation.chunkOffsetEnd = 4096
            return schedule.add(operation)
        }
        let isAdmitted = indices.map { schedule.admit($0) }
        #expect(isAdmitted == [true, false, false] && schedule.freeCount == 0)
        #expect(schedule.operations[indices[1]].phase == .awaitingLock)
        schedule.operations[indices[0]].move(to: .reading)
        schedule.end(indices[0])
        guard case .release(let ended) = schedule.takeDue(), ended == indices[0] else {
            Issue.record("what has ended is not released")
            return
        }
        var ready = schedule.giveUp(indices[0])
        schedule.release(indices[0])
        // The third one waits for the second.
        #expect(ready.popFirst(in: schedule.operations) == indices[1] && ready.isEmpty)
        #expect(schedule.operations[indices[1]].hasStripeRange && !schedule.operations[indices[1]].scratch.isNone)
        #expect(schedule.freeCount == 1 && schedule.operations[indices[2]].lock.blockers == 1)
    }

    @Test("a request that must be durable ends with a flush of all members, and the next ones share a round")
    func flushes() {
        var table = RequestTable(geometry: Self.geometry, capacity: 3)
        defer { table.deallocate() }
        var members = PlannedMembers(geometry: Self.geometry)
        var output = PlannerOutput()
        for tag in 0..<3 as Range<UInt32> {
            table.begin(ArrayRequest(.flush, tag: tag))
            table.flush(tag, &members, into: &output)
        }
        #expect(output.memberIOs.map(\.kind) == [.flush, .flush, .flush])
        for _ in 0..<3 { table.completeFlush(.done, &members, into: &output) }
        #expect(output.finished.map(\.tag) == [0] && output.memberIOs.count == 6)
        for status in [.done, .noSpace, .done] as [MemberStatus] {
            table.completeFlush(status, &members, into: &output)
        }
        #expect(
            output.finished.map(\.tag) == [0, 1, 2] && output.finished.map(\.status) == [.done, .noSpace, .noSpace])
    }

    @Test("healing locks whole blocks")
    func blocks() {
        let operations = Operations(count: 2)
        operations.set(0, stripe: 0, 512..<1024)
        operations.set(1, stripe: 0, 2048..<2560)
        #expect(!operations.pointer[0].overlaps(operations.pointer[1]))
        operations.pointer[0].lock.coversBlocks = true
        #expect(operations.pointer[0].lockedOffsets == 0..<4096)
        #expect(operations.pointer[0].overlaps(operations.pointer[1]))
    }

    @Test("parity is in doubt until a repair that began later is done")
    func doubt() {
        var doubt = ParityDoubt()
        #expect(!doubt.isOpen)
        doubt.note()
        let start = doubt.count
        doubt.note()
        doubt.repaired(since: start)
        #expect(doubt.isOpen)
        doubt.repaired(since: doubt.count)
        #expect(!doubt.isOpen)
        doubt.repaired(since: start)
        #expect(!doubt.isOpen, "an earlier repair takes nothing back")
    }
}
