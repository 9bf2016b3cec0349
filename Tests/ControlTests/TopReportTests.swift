import Statistics
import TestTraits
import Testing

@testable import Control

@Suite("Pictures of an interval", .blocks)
struct TopReportTests {
    /// What a server with one array of four members says under load.
    private var snapshot: StatisticsSnapshot {
        var snapshot = StatisticsSnapshot()
        snapshot.nanoseconds = 1_000_000_000
        var export = ExportSnapshot(name: "a")
        for kind in [RequestKind.read, .write] {
            export.kinds[kind].byteCount = 987_654_321
            export.kinds[kind].latency.counts[20] = 123_456
        }
        snapshot.exports = [export]
        var array = ArraySnapshot(name: "a", level: 5)
        array.writes = WriteSnapshot(fullStripe: 12_345, readModify: 0, reconstruct: 7)
        array.members = (0..<4).map { MemberSnapshot(role: $0) }
        snapshot.arrays = [array]
        return snapshot
    }

    @Test("the whole picture of an array of four members fits 60 columns and 20 rows")
    func small() {
        let lines = TopReport.lines(of: snapshot, columns: 60)
        #expect(lines.allSatisfy { $0.count <= 60 }, "\(lines)")
        #expect(TerminalPicture.fit(lines, columns: 60, rows: 20) == lines)
        #expect(TopReport.lines(of: snapshot).allSatisfy { $0.count <= 80 })
    }

    @Test("what does not fit is cut, and the last line says so")
    func cut() {
        let lines = ["a", "", "b", "", "c"]
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 5) == lines)
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 4) == ["a", "b", "c"])
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 2) == ["a", "(2 more l"])
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 1).count == 1)
        #expect(TerminalPicture.fit(["abcdef"], columns: 3, rows: 1) == ["abc"])
    }

    @Test("numbers that no server counts to are shown all the same")
    func extremes() {
        var snapshot = snapshot
        snapshot.nanoseconds = 0
        snapshot.exports[0].kinds[.read].byteCount = .max
        snapshot.exports[0].kinds[.read].latency.counts = Array(repeating: .max, count: LatencyBuckets.count)
        snapshot.bundles.callCounts[0] = .max
        snapshot.bundles.taskCount = .max
        snapshot.arrays[0].members[0].kinds[.read].byteCount = .max
        #expect(!TopReport.text(of: snapshot).isEmpty)
    }
}
