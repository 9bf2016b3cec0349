import LoadGenerator
import Statistics

/// Published figures of bundled and legacy calls on real hardware: a RAID 5 of 4 hard disks behind a real DEXT. The
/// number of requests under way was not published.
package enum PublishedFigures {
    /// A pair of measurements, MiB/s.
    struct Line: Sendable {
        var name: String
        var bundled: Double
        var legacy: Double
        /// The workload of this comparison that comes nearest.
        var workload: String
        /// The part of the workload that was measured.
        var side: Side
    }

    /// The part of a mixed load that a figure counts.
    enum Side: Sendable {
        case reads, writes
    }

    static let lines = [
        Line(name: "4 KiB random read", bundled: 131, legacy: 94.7, workload: "4 KiB random read", side: .reads),
        Line(name: "4 KiB random read, again", bundled: 142, legacy: 121, workload: "4 KiB random read", side: .reads),
        Line(name: "4 KiB random write", bundled: 35.5, legacy: 33.1, workload: "4 KiB random write", side: .writes),
        Line(name: "16 KiB random read", bundled: 222, legacy: 198, workload: "16 KiB random read", side: .reads),
        Line(name: "70/30 mix, read", bundled: 536, legacy: 278, workload: "16 KiB 70/30 mix", side: .reads),
        Line(name: "70/30 mix, write", bundled: 231, legacy: 120, workload: "16 KiB 70/30 mix", side: .writes),
    ]

    /// The number of calls that carried so many slots.
    static let calls: [(label: String, count: UInt64)] = [("1", 5654), ("2", 628), ("3-4", 75), ("5+", 6)]
    static let largestCall = 11

    static let explanation =
        "The published figures come from a physical array, 4 hard disks as RAID 5 behind a real DEXT, whose disks set "
        + "the pace; here the members are files in the page cache, so processors do. Compare the ratios of bundled to "
        + "legacy, not MiB/s. How many requests were under way there is not known, nor the block size of the mix; "
        + "16 KiB is set beside it. With sequential requests of 1 MiB there was no difference, and every call carried "
        + "1 slot."

    /// The load of this comparison that is shown beside them.
    package static let load = LoadDepth(connectionCount: 1, depth: 32)

    /// What was measured here for a line, MiB/s; nil if it was not measured.
    static func measured(_ line: Line, _ results: BenchResults, _ mode: String, hasDriverProcess: Bool) -> Double? {
        guard let row = results.row(line.workload, load),
            let index = results.index(mode, hasDriverProcess: hasDriverProcess)
        else { return nil }
        let cell = row.cells[index]
        return (line.side == .reads ? cell.readBytesPerSecond : cell.writeBytesPerSecond) / 1_048_576
    }

    /// A line's texts: published bundled, legacy and their ratio, then the same as measured here in this process and
    /// with a driver in its own.
    static func texts(_ line: Line, _ results: BenchResults) -> [String] {
        var texts = [Format.amount(line.bundled), Format.amount(line.legacy), Format.ratio(line.bundled / line.legacy)]
        for hasDriverProcess in [false, true] {
            let bundled = measured(line, results, "bundled", hasDriverProcess: hasDriverProcess)
            let legacy = measured(line, results, "legacy", hasDriverProcess: hasDriverProcess)
            texts += [bundled, legacy].map { $0.map(Format.amount) ?? "-" }
            texts.append(bundled.flatMap { bundled in legacy.map { Format.ratio(bundled / $0) } } ?? "-")
        }
        return texts
    }

    /// The bundles of this comparison that are shown beside the published ones, with the names of configuration and
    /// load.
    static func bundleSamples(_ results: BenchResults) -> [(name: String, bundles: BundleSnapshot)] {
        let indices = results.configurations.indices.filter { results.configurations[$0].mode == "bundled" }
        let rows = results.rows.filter { $0.workload.name == "4 KiB random read" }
        return indices.flatMap { index in
            rows.map { ("\(results.configurations[index].name), \($0.load.name)", $0.cells[index].bundles) }
        }
    }
}
