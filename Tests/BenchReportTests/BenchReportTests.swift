import Foundation
import LoadGenerator
import Statistics
import Testing

@testable import BenchReport

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite("Reports of a comparison")
struct BenchReportTests {
    /// Figures of every cell, made up: bundled is twice as fast as legacy.
    private static func results(
        machine: String = "A \"fast\" <processor> & more",
        _ configurations: [BenchConfiguration] = BenchConfiguration.all, byteCount: UInt64? = 512 << 20
    ) -> BenchResults {
        var results = BenchResults(
            configurations: configurations, machine: machine, loadAverage: "0.10", seconds: 1, rounds: 3,
            byteCount: byteCount, sendsSingly: false)
        for workload in BenchPlan.workloads {
            for load in BenchPlan.loads {
                let cells = configurations.map { configuration in
                    var cell = BenchCell()
                    for round in 1...3 { cell.add(result(workload, configuration, round), bundles: bundles) }
                    return cell
                }
                results.rows.append(BenchRow(workload: workload, load: load, cells: cells))
            }
        }
        return results
    }

    private static func result(_ workload: Workload, _ configuration: BenchConfiguration, _ round: Int) -> LoadResult {
        var result = LoadResult()
        let rate = (configuration.mode == "bundled" ? 200_000.0 : 100_000) * (round == 1 ? 0.9 : 1)
        func side(_ percent: Int) -> LoadResult.Side {
            var side = LoadResult.Side()
            side.operationsPerSecond = rate * Double(percent) / 100
            side.bytesPerSecond = side.operationsPerSecond * Double(workload.blockByteCount)
            side.count = percent > 0 ? 1000 : 0
            for value in 0..<side.count { side.latency.record(50_000 + value * value) }
            return side
        }
        result.reads = side(workload.readPercent)
        result.writes = side(100 - workload.readPercent)
        return result
    }

    private static var bundles: BundleSnapshot {
        var bundles = BundleSnapshot()
        bundles.callCounts = [80, 15, 4, 0, 0, 1]
        return bundles
    }

    @Test("the page is well-formed XML, whatever the processor is called, and asks nothing of a network")
    func page() throws {
        let text = HTMLReport(Self.results()).text
        let parser = XMLParser(data: Data(text.utf8))
        #expect(parser.parse(), "\(String(describing: parser.parserError)) in line \(parser.lineNumber)")
        #expect(!text.contains("<script") && !text.contains("src=") && !text.contains("<link"))
        #expect(!text.contains("url(") && !text.contains("@import"))
        let addresses = text.matches(of: /https?:\/\/[^"]*/).map { String($0.output) }
        #expect(Set(addresses) == ["http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"])
    }

    @Test("a part of a template stays as it is, whatever is in it")
    func template() {
        #expect(HTML.fill("{{a}}, {{b}}{{a}} }}{", ["a": "1", "b": "{{a}}", "c": "3"]) == "1, {{a}}1 }}{")
        #expect(HTML.fill("", [:]) == "" && HTML.fill("{{a}}", ["a": "b"]) == "b")
        let text = HTMLReport(Self.results()).text
        #expect(!text.contains("{{") && text.contains("color-scheme: light dark;") && text.hasSuffix("</html>\n"))
    }

    @Test("the page has a bar for each cell, a curve for each cell, the published figures, and both colour schemes")
    func contents() {
        let text = HTMLReport(Self.results()).text
        let cellCount = BenchPlan.workloads.count * BenchPlan.loads.count * BenchConfiguration.all.count
        #expect(text.components(separatedBy: "<polyline ").count - 1 == cellCount)
        #expect(text.matches(of: /class="(?:kext|legacy|bundled)[a-z ]*"><title>[^<]*MiB/).count == cellCount)
        for workload in BenchPlan.workloads { #expect(text.contains("<figcaption>\(workload.name)</figcaption>")) }
        for figure in ["131", "94.7", "35.5", "536", "1.93x", "physical array"] { #expect(text.contains(figure)) }
        #expect(text.contains("prefers-color-scheme: dark"))
        #expect(text.contains("<b>2.00 ×</b>4 KiB random read"))
        #expect(text.contains("5-8 slots") == false || text.contains("17-32 slots"))
        #expect(!text.contains("nan") && !text.contains("inf "))
    }

    @Test("what is drawn lies inside its image")
    func geometry() throws {
        let text = HTMLReport(Self.results()).text
        for part in text.components(separatedBy: "<svg ").dropFirst() {
            let image = part.components(separatedBy: "</svg>")[0]
            let box = try #require(image.firstMatch(of: /viewBox="0 0 ([0-9.]+) ([0-9.]+)"/))
            let (width, height) = (try #require(Double(box.1)), try #require(Double(box.2)))
            for match in image.matches(of: /<rect x="([0-9.-]+)" y="([0-9.-]+)" width="([0-9.]+)" height="([0-9.]+)"/) {
                let (x, y) = (Double(match.1)!, Double(match.2)!)
                #expect(x >= 0 && y >= 0 && x + Double(match.3)! <= width + 0.1 && y + Double(match.4)! <= height)
            }
            for match in image.matches(of: /points="([^"]+)"/) {
                for point in match.1.split(separator: " ") {
                    let place = point.split(separator: ",").compactMap { Double($0) }
                    #expect(place.count == 2 && (0...width).contains(place[0]) && (0...height).contains(place[1]))
                }
            }
        }
    }

    @Test("the table says medians, gains, published figures and the conditions")
    func table() {
        let text = TextReport(Self.results()).text
        #expect(text.contains("4 KiB random read, 1 x 32"))
        // 100000 and 200000 blocks of 4 KiB.
        #expect(text.contains("391 ") && text.contains("781 "))
        #expect(text.contains("2.00x"))
        #expect(text.contains("80 %") && text.contains("physical array") && text.contains("load average 0.10"))
        #expect(text.contains("differ by up to 10 %"))
        for line in text.split(separator: "\n") { #expect(!line.hasSuffix(" ")) }
    }

    @Test("other drivers have columns of their own, and nothing that is about the reference driver")
    func drivers() throws {
        let drivers = [
            BenchDriver(option: "--driver", path: "/a/MyDriver"), BenchDriver(option: "--dext", path: "Other.dext"),
        ]
        let results = Self.results(BenchConfiguration.routes(to: drivers), byteCount: nil)
        let text = TextReport(results).text
        for name in ["legacy, MyDriver", "legacy, Other.dext", "bundled, MyDriver", "bundled, Other.dext"] {
            #expect(text.contains("  \(name)"), "\(text)")
        }
        #expect(!text.contains("published") && !text.contains("bundled/legacy") && !text.contains("RAID 5"))
        #expect(text.contains("The drivers' own targets"))
        let json = try JSONEncoder().encode(JSONReport(results))
        let object = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
        let cells = try #require(object["results"] as? [[String: Any]])
        let names = cells.compactMap { $0["driver"] as? String }
        #expect(names.count == cells.count && names.prefix(2) == ["MyDriver", "Other.dext"] && object["size"] == nil)
    }

    @Test("the JSON is JSON, with an object for each cell")
    func json() throws {
        let json = try JSONEncoder().encode(JSONReport(Self.results()))
        let object = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
        let cells = try #require(object["results"] as? [[String: Any]])
        #expect(cells.count == 120)
        #expect(cells[0]["workload"] as? String == "4 KiB random read")
        #expect(cells[0]["iops"] as? Double == 100_000)
        #expect((cells[2]["bundles"] as? [String: Int])?["1"] == 240)
        #expect(
            Set(object.keys) == [
                "machine", "load_average", "seconds", "rounds", "size", "one_by_one", "largest_spread", "errors",
                "results",
            ])
        #expect(
            Set(cells[0].keys) == [
                "workload", "connections", "depth", "mode", "driver_host", "iops", "read_bytes_per_second",
                "write_bytes_per_second", "latency_ns", "client_ns_per_request", "spread", "bundles",
            ])
        #expect(Set((cells[0]["latency_ns"] as? [String: Int] ?? [:]).keys) == ["p50", "p90", "p99", "p99.9"])
        #expect(object["machine"] as? String == "A \"fast\" <processor> & more")
    }

    @Test("a comparison of few workloads has reports too")
    func few() {
        var results = Self.results()
        results.rows = results.rows.filter { $0.workload.name == "1 MiB sequential read" }
        #expect(XMLParser(data: Data(HTMLReport(results).text.utf8)).parse())
        #expect(TextReport(results).text.contains("-"))
        results.rows = []
        #expect(XMLParser(data: Data(HTMLReport(results).text.utf8)).parse())
    }

    @Test("bundles are counted by difference, and in shares")
    func bundles() {
        var more = Self.bundles
        more.callCounts[0] += 10
        #expect(more.since(Self.bundles).callCounts == [10, 0, 0, 0, 0, 0])
        #expect(Self.bundles.callCount == 100)
        #expect(Self.bundles.shares == [0.8, 0.15, 0.04, 0, 0, 0.01])
        #expect(BundleSnapshot().shares == [0, 0, 0, 0, 0, 0])
        var sum = Self.bundles
        sum += Self.bundles
        #expect(sum.callCounts == [160, 30, 8, 0, 0, 2])
    }

    @Test("numbers are written as people read them")
    func numbers() {
        #expect(Format.fixed(1.005, 1) == "1.0" && Format.fixed(-0.04, 1) == "0.0" && Format.fixed(12.96, 1) == "13.0")
        #expect(
            [0, 0.5124, 5.126, 51.26, 512.6, 99.96].map(Format.amount) == ["0", "0.512", "5.13", "51.3", "513", "100"])
        #expect(
            Format.rounded(12.345, 1) == 12.3 && Format.rounded(.infinity, 1) == nil && Format.rounded(.nan, 0) == nil)
        #expect(Format.number(1) == "1" && Format.number(0.2) == "0.2" && Format.number(0.255) == "0.26")
        #expect(Format.duration(1500) == "1.50 µs" && Format.duration(2.5e6) == "2.50 ms")
    }
}
