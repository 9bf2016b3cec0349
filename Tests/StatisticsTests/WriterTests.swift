import Foundation
import Platform
import Testing

@testable import Statistics

@Suite("Statistics as text")
struct WriterTests {
    private static let evilName = "a\"b\\c\nd\u{1}é😀,x=\"{}\u{1B}[2J\u{9B}\u{202E}\u{E0041}\u{7F}"

    private static var snapshot: StatisticsSnapshot {
        var snapshot = StatisticsSnapshot()
        snapshot.nanoseconds = .max
        for name in ["array", evilName] {
            let counters = ExportCounters(laneCount: 1)
            counters.submit(7, lane: 0)
            for (kind, nanoseconds) in [(0, 1), (1, 30_000), (1, 1 << 35), (4, 1 << 20)] as [(Int, UInt64)] {
                counters.complete(kind: kind, byteCount: 4096, failed: kind == 4, nanoseconds: nanoseconds, lane: 0)
            }
            counters.end(4, lane: 0)
            snapshot.exports.append(counters.snapshot(name: name))
            var array = ArraySnapshot(name: name, level: 5)
            (array.target, array.logicalUnit) = (3, 1)
            array.state = .degraded
            array.missingMembers = [1]
            array.writes = WriteSnapshot(fullStripe: 1, readModify: 2, reconstruct: 3)
            array.members = [MemberSnapshot(role: 0), MemberSnapshot(role: 1)]
            array.members[1].kinds[4].operationCount = 9
            array.members[0].kinds[1].byteCount = 1 << 60
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
        let parsed = try #require(JSONParser.parse(Self.snapshot.json.text))
        #expect(StatisticsSnapshot(json: parsed) == Self.snapshot)
    }

    @Test("nothing in JSON or metrics acts on a terminal")
    func terminal() {
        for text in [Self.snapshot.json.text, Self.snapshot.prometheus, JSONValue.quoted(Self.evilName)] {
            #expect(text.unicodeScalars.allSatisfy { ForeignText.isFit($0) || $0 == "\n" })
        }
        #expect(JSONValue.quoted("\u{1B}\n\u{E0041}") == #""\u001b\n\udb40\udc41""#)
        #expect(!JSONValue.quoted(Self.evilName).contains("\n"))
        #expect(Self.snapshot.prometheus.contains(#"\\u{1b}[2J"#))
    }

    @Test("half of a pair is no character", arguments: [#""\ud83d""#, #""\ud83dx""#, #""\ud83d\u0041""#, #""\ude00""#])
    func halves(text: String) { #expect(JSONParser.parse(text) == nil) }

    @Test("Foundation reads the JSON")
    func foundation() throws {
        let value = try JSONSerialization.jsonObject(with: Data(Self.snapshot.json.text.utf8))
        let object = try #require(value as? [String: Any])
        #expect((object["bundles"] as? [String: Int])?["3-4"] == 4)
        let exports = try #require(object["exports"] as? [[String: Any]])
        #expect(exports[1]["name"] as? String == Self.evilName)
        #expect((exports[0]["write"] as? [String: Any])?["bytes"] as? Int == 8192)
    }

    @Test("JSON that is none is refused", arguments: ["", "{", "[1,]", "{\"a\" 1}", "01x", "\"\u{1}\"", "nul", "1 2"])
    func refused(text: String) { #expect(JSONParser.parse(text) == nil) }

    @Test("deep nesting ends, and does not end the program")
    func deep() { #expect(JSONParser.parse(String(repeating: "[", count: 100_000)) == nil) }

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

    @Test("a difference has what came between, and the state of now")
    func difference() {
        var later = Self.snapshot
        later.exports[0].kinds[1].byteCount += 512
        later.exports[0].kinds[1].latency.add(nanoseconds: 2000)
        later.arrays[0].members[0].kinds[0].operationCount += 4
        later.bundles.callCounts[2] += 8
        let interval = later.since(Self.snapshot)
        #expect(interval.exports[0].total.byteCount == 512)
        #expect(interval.exports[0].total.operationCount == 1)
        #expect(interval.exports[0].queueDepth == 3)
        #expect(interval.arrays[0].members[0].kinds[0].operationCount == 4)
        #expect(interval.bundles.callCounts == [0, 0, 8, 0, 0, 0])
        #expect(interval.driver.restartCount == 2)
    }
}
