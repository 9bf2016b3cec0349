import LoadGenerator
import Statistics

/// A comparison as tables for a terminal.
package struct TextReport {
    private let results: BenchResults

    package init(_ results: BenchResults) { self.results = results }

    /// The tables.
    package var text: String {
        var parts = results.comparesDrivers ? [throughput, bundles] : [throughput, published, bundles]
        if let check = results.check { parts.append(Self.text(check)) }
        if results.errorCount > 0 { parts.append("\(results.errorCount) requests FAILED; the figures mean little") }
        parts.append(Self.wrapped(results.conditions, 116).joined(separator: "\n"))
        let lines = parts.joined(separator: "\n\n").split(separator: "\n", omittingEmptySubsequences: false)
        return lines.map { line in line.reversed().drop { $0 == " " }.reversed().map(String.init).joined() + "\n" }
            .joined()
    }

    /// One line for each load: MiB/s, the median latency, and the gain by bundles.
    private var throughput: String {
        let width = max(19, (results.configurations.map(\.name.count).max() ?? 0) + 2)
        var lines = ["MiB/s (mixes: read + write) and median latency"]
        lines.append(
            Format.padded("", 30) + results.configurations.map { Format.aligned($0.name, width) }.joined()
                + (results.comparesDrivers
                    ? "" : Format.aligned("bundled/legacy", 17) + Format.aligned("in a process", 14)))
        for row in results.rows {
            let cells = row.cells.map { cell in
                let latency = Format.duration(Double(cell.latency.percentile(0.5)))
                return Format.aligned("\(Self.rate(cell, row)) \(Format.aligned(latency, 8))", width)
            }
            lines.append(Format.padded(row.name, 30) + cells.joined() + gains(row))
        }
        return lines.joined(separator: "\n")
    }

    private func gains(_ row: BenchRow) -> String {
        if results.comparesDrivers { return "" }
        return Format.aligned(Format.ratio(results.gain(row, hasDriverProcess: false)), 17)
            + Format.aligned(Format.ratio(results.gain(row, hasDriverProcess: true)), 14)
    }

    static func rate(_ cell: BenchCell, _ row: BenchRow) -> String {
        guard row.isMixed else { return Format.mebibytes(cell.bytesPerSecond) }
        return Format.mebibytes(cell.readBytesPerSecond) + "+" + Format.mebibytes(cell.writeBytesPerSecond)
    }

    private var published: String {
        var lines = ["Beside published figures, MiB/s; here with \(PublishedFigures.load.name) requests under way"]
        lines.append(
            Format.padded("", 26)
                + ["published", "here", "driver in a process"].map { Format.padded("  | " + $0, 27 + 1) }.joined())
        lines.append(
            Format.padded("", 26)
                + String(
                    repeating: "  |" + ["bundled", "legacy", "ratio"].map { Format.aligned($0, 8) }.joined() + " ",
                    count: 3))
        for line in PublishedFigures.lines {
            let texts = PublishedFigures.texts(line, results)
            let groups = stride(from: 0, to: texts.count, by: 3).map { start in
                "  |" + texts[start..<start + 3].map { Format.aligned($0, 8) }.joined() + " "
            }
            lines.append(Format.padded(line.name, 26) + groups.joined())
        }
        lines += Self.wrapped(PublishedFigures.explanation, 116)
        return lines.joined(separator: "\n")
    }

    private var bundles: String {
        var lines = ["Calls to the driver by number of slots, 4 KiB random read"]
        lines.append(Format.padded("", 26) + BundleCounters.names.map { Format.aligned($0, 9) }.joined())
        let total = Double(PublishedFigures.calls.reduce(0) { $0 + $1.count })
        let shares = PublishedFigures.calls.map { Format.aligned(Format.percent(Double($0.count) / total), 9) }
        if !results.comparesDrivers {
            lines.append(
                Format.padded("published", 26) + shares.joined()
                    + "  (5 and more; largest \(PublishedFigures.largestCall))")
        }
        for (name, sample) in PublishedFigures.bundleSamples(results) {
            let shares = sample.shares.map { Format.aligned(Format.percent($0), 9) }
            lines.append(Format.padded(name, 26) + shares.joined() + Format.aligned("\(sample.callCount) calls", 18))
        }
        return lines.joined(separator: "\n")
    }

    private static func text(_ check: ReferenceCheck) -> String {
        """
        Checked with \(check.program), \(check.row), \(check.configuration):
        \(Format.padded("this load generator", 26))\(Format.aligned(Format.amount(check.operationsPerSecond), 10)) IOPS, \
        \(Format.duration(check.clientNanoseconds)) of client CPU a request
        \(Format.padded(check.program, 26))\(Format.aligned(Format.amount(check.otherOperationsPerSecond), 10)) IOPS, \
        \(Format.duration(check.otherClientNanoseconds)) of client CPU a request
        """
    }

    /// Splits a text into lines of whole words.
    private static func wrapped(_ text: String, _ width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if line.count + word.count + 1 > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [line]
    }
}
