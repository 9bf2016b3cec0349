import Foundation
import Platform
import Statistics
import TestTraits
import Testing

@testable import ArrayStore
@testable import Control

@Suite("Reports of a server's statistics", .blocks)
struct ReportTests {
    static let evilName = "a\"b\\c\nd\u{1}é😀,x=\"{}\u{1B}[2J\u{9B}\u{202E}\u{E0041}\u{7F}"

    static var snapshot: StatisticsSnapshot {
        var snapshot = StatisticsSnapshot()
        snapshot.nanoseconds = .max
        for name in ["array", evilName] {
            let counters = ExportCounters(laneCount: 1)
            counters.submit(7, lane: 0)
            let requests: [(RequestKind, UInt64)] = [
                (.read, 1), (.write, 30_000), (.write, 1 << 35), (.zero, 1 << 20),
            ]
            for (kind, nanoseconds) in requests {
                counters.complete(
                    kind: kind, byteCount: 4096, failed: kind == .zero, nanoseconds: nanoseconds, lane: 0)
            }
            counters.end(4, lane: 0)
            snapshot.exports.append(counters.snapshot(name: name))
            var array = ArraySnapshot(name: name, level: 5)
            (array.target, array.logicalUnit) = (3, 1)
            array.state = .degraded
            array.missingMembers = [1]
            array.writes = WriteSnapshot(fullStripe: 1, readModify: 2, reconstruct: 3)
            array.members = [MemberSnapshot(role: 0), MemberSnapshot(role: 1)]
            array.members[1].kinds[.flush].operationCount = 9
            array.members[0].kinds[.write].byteCount = 1 << 60
            snapshot.arrays.append(array)
        }
        snapshot.arrays.append(ArraySnapshot(name: "zero", level: 0))
        snapshot.bundles.callCounts = [6, 5, 4, 3, 2, 1]
        snapshot.bundles.taskCount = 99
        snapshot.driver.mode = "bundled"
        snapshot.driver.host = "process"
        snapshot.driver.restartCount = 2
        snapshot.driver.taskCount = 3
        return snapshot
    }

    @Test("a snapshot comes back from its JSON as it was")
    func roundTrip() throws {
        let bytes = try JSONText.encode(Self.snapshot)
        #expect(try JSONText.decode(StatisticsSnapshot.self, from: bytes) == Self.snapshot)
        let line = try JSONText.line(Self.snapshot)
        #expect(try JSONText.decode(StatisticsSnapshot.self, from: line.utf8) == Self.snapshot)
    }

    @Test("JSON for users has a space behind colons and commas that are not in a string, and one line")
    func line() throws {
        let value = ["a:,\"b\\": [1, 2], "c": []]
        #expect(try JSONText.line(value) == #"{"a:,\"b\\": [1, 2], "c": []}"#)
        #expect(try JSONText.line(["/": "\n\u{1B}"]) == ##"{"/": "\n\u001b"}"##)
    }

    @Test("nothing in JSON or metrics acts on a terminal")
    func terminal() throws {
        let snapshot = Self.snapshot
        for text in [try JSONText.line(snapshot), try JSONText.page(snapshot), snapshot.prometheus] {
            #expect(text.unicodeScalars.allSatisfy { ForeignText.isFit($0) || $0 == "\n" })
        }
        #expect(try JSONText.line(["\u{1B}\n\u{E0041}"]) == #"["\u001b\n\udb40\udc41"]"#)
        #expect(try !JSONText.line(Self.evilName).contains("\n"))
        #expect(snapshot.prometheus.contains(#"\\u{1b}[2J"#))
    }

    @Test("top's JSON has the interval's rates and percentiles, and all that was counted")
    func top() throws {
        var later = Self.snapshot
        later.nanoseconds = 3_000_000_000
        var earlier = Self.snapshot
        earlier.nanoseconds = 1_000_000_000
        later.exports[0].kinds[.write].byteCount += 8192
        later.exports[0].kinds[.write].latency.add(nanoseconds: 2000)
        let text = try JSONText.line(TopReport.JSON(later.since(earlier), total: later))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(Set(object.keys) == ["interval_seconds", "interval", "total"])
        #expect(object["interval_seconds"] as? Double == 2)
        let interval = try #require(object["interval"] as? [String: Any])
        #expect(Set(interval.keys) == ["exports", "bundles", "arrays"])
        let exports = try #require(interval["exports"] as? [[String: Any]])
        #expect(Set(exports[0].keys) == ["name", "queue_depth", "read", "write", "flush", "trim", "zero", "all"])
        let write = try #require(exports[0]["write"] as? [String: Any])
        #expect(
            Set(write.keys) == [
                "operations", "bytes", "errors", "operations_per_second", "bytes_per_second", "p50_nanoseconds",
                "p95_nanoseconds", "p99_nanoseconds", "max_nanoseconds",
            ])
        #expect(write["operations"] as? Int == 1 && write["bytes_per_second"] as? Double == 4096)
        #expect((exports[0]["read"] as? [String: Any])?["p50_nanoseconds"] is NSNull)
        let total = try #require(object["total"])
        let bytes = try JSONSerialization.data(withJSONObject: total)
        #expect(try JSONText.decode(StatisticsSnapshot.self, from: bytes) == later)
    }

    @Test("every key of the statistics is there, whatever has no value")
    func keys() throws {
        var snapshot = Self.snapshot
        snapshot.arrays[0].job = JobSnapshot(number: 1, kind: "check", byteCount: 8)
        let text = try JSONText.line(snapshot)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "monotonic_nanoseconds", "exports", "bundles", "bundled_tasks", "arrays", "driver",
            ])
        #expect((object["bundles"] as? [String: Int])?["3-4"] == 4)
        let exports = try #require(object["exports"] as? [[String: Any]])
        #expect(exports[1]["name"] as? String == Self.evilName)
        let write = try #require(exports[0]["write"] as? [String: Any])
        #expect(write["bytes"] as? Int == 8192 && write["operations"] as? Int == 2)
        let buckets = try #require(write["latency_buckets"] as? [[Any]])
        #expect(buckets.count == 2 && buckets[1][0] is NSNull && buckets[1][1] as? Int == 1)
        let arrays = try #require(object["arrays"] as? [[String: Any]])
        let common: Set = ["name", "level", "target", "lun", "state", "missing", "members", "pending_rebuild"]
        #expect(Set(arrays[0].keys) == common.union(["writes", "job"]))
        #expect(Set(arrays[2].keys) == common)
        let job = try #require(arrays[0]["job"] as? [String: Any])
        #expect(
            Set(job.keys) == [
                "number", "kind", "state", "member", "done_bytes", "bytes", "rebuilt_bytes", "regions", "reason",
                "wrong_bytes", "wrong_places",
            ])
        #expect(job["member"] is NSNull && job["regions"] is NSNull && job["reason"] is NSNull)
        let members = try #require(arrays[0]["members"] as? [[String: Any]])
        #expect(members[1]["member"] as? Int == 1)
        #expect((members[0]["write"] as? [String: Any])?["bytes"] as? UInt64 == 1 << 60)
        let driver = try #require(object["driver"] as? [String: Any])
        #expect(driver["mode"] as? String == "bundled" && driver["restarts"] as? Int == 2)
    }

    @Test("status' JSON has every key, whatever has no value")
    func status() throws {
        let member = ArrayDescription.Member(role: nil, path: nil, state: "spare")
        let array = ArrayDescription(
            name: "a", uuid: "u", level: 5, memberCount: 3, chunkByteCount: 65536, byteCount: 1 << 30, events: 7,
            consistency: "bitmap", state: .degraded, isDirty: true, service: .possible, members: [member], job: nil)
        let expected =
            ##"{"chunk": 65536, "consistency": "bitmap", "events": 7, "job": null, "level": 5, "member_list": "##
            + ##"[{"corrected_read_errors": 0, "path": null, "role": null, "state": "spare"}], "members": 3, "##
            + ##""name": "a", "process": null, "reason": null, "service": "possible", "size": 1073741824, "##
            + ##""state": "degraded, dirty", "uuid": "u"}"##
        #expect(try JSONText.line(array) == expected)
    }

    @Test("the Prometheus text is well formed and has the numbers")
    func prometheus() throws {
        let parsed = try ExpositionParser(Self.snapshot.prometheus)
        let write = ["export": "array", "kind": "write"]
        #expect(parsed["nbdext_export_operations_total", write] == 2)
        #expect(parsed["nbdext_export_bytes_total", write] == 8192)
        #expect(parsed["nbdext_export_latency_seconds_count", write] == 2)
        #expect(parsed["nbdext_export_latency_seconds_bucket", write.merging(["le": "0.000032768"]) { $1 }] == 1)
        #expect(parsed["nbdext_export_errors_total", ["export": "array", "kind": "zero"]] == 1)
        #expect(parsed["nbdext_export_queue_depth", ["export": "array"]] == 3)
        #expect(parsed["nbdext_driver_call_tasks_bucket", ["le": "4"]] == 15)
        #expect(parsed["nbdext_driver_call_tasks_sum", [:]] == 99)
        #expect(parsed["nbdext_member_missing", ["export": "array", "member": "1"]] == 1)
        #expect(parsed["nbdext_array_state", ["export": "array", "state": "degraded"]] == 1)
        #expect(parsed["nbdext_raid5_updates_total", ["export": "array", "kind": "reconstruct"]] == 3)
        #expect(parsed["nbdext_driver_restarts_total", [:]] == 2)
    }

    @Test("seconds are exact")
    func seconds() {
        #expect(PrometheusText.seconds(nanoseconds: 1024) == "0.000001024")
        #expect(PrometheusText.seconds(nanoseconds: 0) == "0.0")
        #expect(PrometheusText.seconds(nanoseconds: 2_500_000_000) == "2.5")
    }
}
