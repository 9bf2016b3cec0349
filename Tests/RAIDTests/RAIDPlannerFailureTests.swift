import MemberIO
import RAID
import Testing

@Suite("The RAID planner when more fails than it survives")
struct RAIDPlannerFailureTests {
    private func degradedArray(stripes: Int, chunkByteCount: Int = 16384) -> SimulatedArray {
        SimulatedArray(
            level: .raid5, memberCount: 4, chunkByteCount: chunkByteCount, stripes: stripes, missingMember: 0)
    }

    @Test("a reconstructing read whose array fails meanwhile does not pretend to have data")
    func reconstructionOfFailedArray() {
        let array = degradedArray(stripes: 1)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        array.submit(ArrayRequest(.read, byteOffset: 0, byteCount: 4096, memory: memory, tag: 0))
        #expect(array.pending.count == 3)
        // The survivors answer, but by then one of them has failed somewhere else.
        array.planner.memberFailed(1)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.status) == [.failed])
    }

    @Test("a write whose array fails while it reads writes nothing")
    func writeOfFailedArray() {
        let array = degradedArray(stripes: 1)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 1, count: 4096)
        array.submit(ArrayRequest(.write, byteOffset: 0, byteCount: 4096, memory: memory, tag: 0))
        array.planner.memberFailed(1)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.writes == 0)
        #expect(array.misdirected == 0)
        #expect(array.finished.map(\.status) == [.failed])
    }

    @Test("a request ends once, when its last operations end together in a failed array")
    func endsOnce() {
        let array = degradedArray(stripes: 70, chunkByteCount: 8192)
        let stripe = array.geometry.stripeByteCount
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 63 * Int(stripe), alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 1, count: 63 * Int(stripe))
        // The first request leaves one of the 64 large scratch blocks, so that of the second one's two operations
        // one runs and the other waits for it.
        array.submit(ArrayRequest(.write, byteOffset: 0, byteCount: 63 * stripe, memory: memory, tag: 0))
        let first = array.pending.count
        array.submit(ArrayRequest(.write, byteOffset: 63 * stripe, byteCount: 2 * stripe, memory: memory, tag: 1))
        let second = array.pending.count
        #expect(second > first && second - first <= 3)
        array.planner.memberFailed(1)
        while array.pending.count > first { array.complete(at: first) }
        #expect(array.finished.map(\.tag) == [1])
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.tag) == [1, 0])
        #expect(array.finished.allSatisfy { $0.status == .failed })
    }

    @Test("a RAID 0 array that could not be flushed once accepts no more writes and flushes")
    func failedFlush() {
        let array = SimulatedArray(level: .raid0, memberCount: 2, chunkByteCount: 4096, stripes: 2)
        array.failingMembers = [1]
        array.submit(ArrayRequest(.flush, tag: 0))
        while !array.pending.isEmpty { array.complete(at: 0) }
        array.failingMembers = []
        array.submit(ArrayRequest(.flush, tag: 1))
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.status) == [.failed, .failed])
    }

    @Test("a flush that comes while another one is under way is answered after a later round, and fails with the first")
    func concurrentFlushes() {
        let array = SimulatedArray(level: .raid0, memberCount: 2, chunkByteCount: 4096, stripes: 2)
        array.submit(ArrayRequest(.flush, tag: 0))
        array.submit(ArrayRequest(.flush, tag: 1))
        array.submit(ArrayRequest(.flush, tag: 2))
        // Were a second round under way, a member's one failure would be told to only one of the two.
        #expect(array.pending.map(\.kind) == [.flush, .flush])
        array.failingMembers = [1]
        array.complete(at: 1)
        array.failingMembers = []
        #expect(array.finished.isEmpty)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.tag) == [0, 1, 2])
        #expect(array.finished.allSatisfy { $0.status == .failed })
    }

    @Test("flushes that wait share one round")
    func sharedFlush() {
        let array = SimulatedArray(level: .raid5, memberCount: 4, chunkByteCount: 4096, stripes: 2)
        for tag in 0..<4 { array.submit(ArrayRequest(.flush, tag: UInt32(tag))) }
        for _ in 0..<4 { array.complete(at: 0) }
        #expect(array.finished.map(\.tag) == [0])
        #expect(array.pending.count == 4)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.tag) == [0, 1, 2, 3])
        #expect(array.finished.allSatisfy { $0.status == .done })
    }
}
