import Testing

@testable import Statistics

@Suite("Differences of snapshots")
struct DifferenceTests {
    private static var snapshot: StatisticsSnapshot {
        var snapshot = StatisticsSnapshot()
        let counters = ExportCounters(laneCount: 1)
        counters.submit(4, lane: 0)
        counters.complete(kind: .write, byteCount: 4096, failed: false, nanoseconds: 30_000, lane: 0)
        counters.end(1, lane: 0)
        snapshot.exports = [counters.snapshot(name: "array")]
        snapshot.arrays = [ArraySnapshot(name: "array", level: 5)]
        snapshot.arrays[0].members = [MemberSnapshot(role: 0), MemberSnapshot(role: 1)]
        snapshot.driver.restartCount = 2
        return snapshot
    }

    @Test("a difference has what came between, and the state of now")
    func difference() {
        var later = Self.snapshot
        later.exports[0].kinds[.write].byteCount += 512
        later.exports[0].kinds[.write].latency.add(nanoseconds: 2000)
        later.arrays[0].members[0].kinds[.read].operationCount += 4
        later.bundles.callCounts[2] += 8
        let interval = later.since(Self.snapshot)
        #expect(interval.exports[0].total.byteCount == 512)
        #expect(interval.exports[0].total.operationCount == 1)
        #expect(interval.exports[0].queueDepth == 3)
        #expect(interval.arrays[0].members[0].kinds[.read].operationCount == 4)
        #expect(interval.bundles.callCounts == [0, 0, 8, 0, 0, 0])
        #expect(interval.driver.restartCount == 2)
    }
}
