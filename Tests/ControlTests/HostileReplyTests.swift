import Platform
import Statistics
import TestTraits
import Testing

@testable import Control

/// What listens on a control socket may say anything. Commands show it, or refuse it.
@Suite("Replies with any numbers", .blocks)
struct HostileReplyTests {
    /// Statistics with every kind of value.
    private static var snapshot: StatisticsSnapshot {
        var snapshot = ReportTests.snapshot
        for index in snapshot.arrays.indices {
            var job = JobSnapshot(number: 1, kind: "rebuild", byteCount: 1 << 20)
            job.member = 1
            job.regions = JobSnapshot.Regions(written: 1, total: 2)
            job.wrongPlaces = [JobSnapshot.Place(member: 0, memberByteOffset: 1, arrayByteOffset: 2)]
            snapshot.arrays[index].job = job
        }
        return snapshot
    }

    /// Numbers that every field takes.
    private static let fit = ["0", "1", "7", "9223372036854775807"]
    private static let extremes = ["-1", "1.5", "1e300", "18446744073709551615", "null"]

    /// JSON with other numbers.
    ///
    /// - Parameter period: one number in so many is changed.
    private func changed(
        _ json: [UInt8], period: Int, to numbers: [String], _ random: inout SeededGenerator
    ) -> [UInt8] {
        var result: [UInt8] = []
        var isInString = false
        var rest = json[...]
        while let byte = rest.first {
            if byte == UInt8(ascii: "\"") { isInString.toggle() }
            // An escaped quotation mark does not end a string.
            if byte == UInt8(ascii: "\\") {
                result += rest.prefix(2)
                rest = rest.dropFirst(2)
                continue
            }
            let number = isInString ? [] : rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard !number.isEmpty else {
                result.append(byte)
                rest = rest.dropFirst()
                continue
            }
            let isChanged = random.below(period) == 0
            result += isChanged ? Array(numbers[random.below(numbers.count)].utf8) : Array(number)
            rest = rest.dropFirst(number.count)
        }
        return result
    }

    @Test("are shown in every way, or refused")
    func numbers() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let json = try JSONText.encode(ControlReply.statistics(total: Self.snapshot))
        var earlier = Self.snapshot
        var shown = 0
        for round in 0..<200 {
            let bytes =
                round % 2 == 0
                ? changed(json, period: 1 + random.below(8), to: Self.fit, &random)
                : changed(json, period: 100, to: Self.extremes, &random)
            guard case .statistics(let total)? = try? JSONText.decode(ControlReply.self, from: bytes) else { continue }
            shown += 1
            for interval in [total, total.since(earlier)] {
                #expect(!TopReport.lines(of: interval, columns: 60).isEmpty)
                #expect(interval.prometheus.hasSuffix("\n"))
                #expect(try !JSONText.line(TopReport.JSON(interval, total: total)).isEmpty)
                for job in interval.arrays.compactMap(\.job) {
                    #expect((0...100).contains(job.percent))
                    for seconds in [0, 1e-9, 1, 1e9] {
                        #expect(!ProgressBar.text(job, from: 1 << 19, seconds: seconds).isEmpty)
                    }
                }
            }
            earlier = total
        }
        #expect(shown >= 100, "seed \(seed)")
    }

    @Test("the bar of a job has its share, the rate, and the time that is left")
    func bar() {
        var job = JobSnapshot(number: 1, kind: "check", byteCount: 100_000_000)
        job.doneByteCount = 50_000_000
        let bar = String(repeating: "#", count: 15) + String(repeating: ".", count: 15)
        #expect(ProgressBar.text(job, from: 30_000_000, seconds: 2) == "check [\(bar)] 50 %, 10 MB/s, 5 s left")
        #expect(ProgressBar.text(job, from: 50_000_000, seconds: 2) == "check [\(bar)] 50 %, 0 MB/s")
    }
}
