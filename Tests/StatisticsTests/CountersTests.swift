import Testing

@testable import Statistics

@Suite("Counters")
struct CountersTests {
    @Test("lanes count side by side, and totals have all of it")
    func lanes() async {
        let counters = LaneCounters(laneCount: 5, wordCount: 17)
        #expect(counters.stride == 32)
        #expect(UInt(bitPattern: counters.words) % 128 == 0)
        await withTaskGroup(of: Void.self) { group in
            for lane in 0..<5 {
                group.addTask { for word in 0..<1700 { counters.add(UInt64(lane + 1), to: word % 17, lane: lane) } }
            }
        }
        for word in 0..<17 { #expect(counters.total(of: word) == 1500) }
    }

    @Test("a request that ends on another lane than it began on is counted once")
    func acrossLanes() {
        let counters = ExportCounters(laneCount: 2)
        counters.submit(3, lane: 0)
        #expect(counters.snapshot(name: "a").queueDepth == 3)
        counters.complete(kind: .read, byteCount: 4096, failed: false, nanoseconds: 9000, lane: 1)
        counters.complete(kind: .write, byteCount: 512, failed: true, nanoseconds: 9000, lane: 0)
        counters.end(2, lane: 1)
        let snapshot = counters.snapshot(name: "a")
        #expect(snapshot.queueDepth == 1)
        #expect(snapshot.kinds.values.map(\.operationCount) == [1, 1, 0, 0, 0])
        #expect(snapshot.kinds.values.map(\.byteCount) == [4096, 512, 0, 0, 0])
        #expect(snapshot.kinds.values.map(\.errorCount) == [0, 1, 0, 0, 0])
        #expect(snapshot.total.operationCount == 2)
        #expect(snapshot.total.byteCount == 4608)
    }

    @Test("bundles of every size are counted in their bucket")
    func bundles() {
        let counters = BundleCounters()
        #expect(BundleCounters.names == ["1", "2", "3-4", "5-8", "9-16", "17-32"])
        for size in 1...32 { counters.note(taskCount: size) }
        counters.note(taskCount: 1, callCount: 7)
        let snapshot = counters.snapshot()
        #expect(snapshot.callCounts == [8, 1, 2, 4, 8, 16])
        #expect(snapshot.taskCount == 32 * 33 / 2 + 7)
    }

    @Test("members are counted by file and kind")
    func members() {
        let counters = MemberCounters(laneCount: 2, fileCount: 3)
        counters.note(file: 2, kind: .write, byteCount: 100, lane: 0)
        counters.note(file: 2, kind: .write, byteCount: 11, lane: 1)
        counters.note(file: 1, kind: .flush, byteCount: 0, lane: 1)
        #expect(counters.snapshot(file: 2, role: 2).kinds.values.map(\.byteCount) == [0, 111, 0, 0, 0, 0, 0])
        #expect(counters.snapshot(file: 2, role: 2).kinds.values.map(\.operationCount) == [0, 2, 0, 0, 0, 0, 0])
        #expect(counters.snapshot(file: 1, role: 1).kinds.values.map(\.operationCount) == [0, 0, 0, 0, 1, 0, 0])
    }
}
