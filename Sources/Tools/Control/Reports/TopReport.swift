import Platform
import Statistics

/// One interval of a server's statistics, for `nbdext top`.
package enum TopReport {
    /// The percentiles that are shown, by their names.
    static let percentiles = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1)]

    /// The picture: lines without the last one's end.
    package static func text(of interval: StatisticsSnapshot) -> String { lines(of: interval).joined(separator: "\n") }

    /// The picture's lines, of at most 80 columns unless names are long.
    ///
    /// - Parameters:
    ///   - interval: a difference of two snapshots.
    ///   - columns: the terminal's width. Lines get shorter down to 60 columns.
    package static func lines(of interval: StatisticsSnapshot, columns: Int = 80) -> [String] {
        let seconds = max(Double(interval.nanoseconds) / 1e9, 1e-9)
        let driver = interval.driver
        let isNarrow = columns < 73
        var lines = [
            "driver \(ForeignText(driver.mode)), \(ForeignText(driver.host)), \(driver.restartCount) restarts, has \(driver.taskCount) tasks"
                + (isNarrow ? "" : "; interval \(decimal(seconds, places: 1)) s")
        ]
        for export in interval.exports { lines += [""] + Self.lines(of: export, seconds, isNarrow: isNarrow) }
        let calls = interval.bundles.callCount
        lines += [
            "",
            "driver calls \(rate(calls, seconds))/s"
                + (calls == 0
                    ? "" : ", \(decimal(Double(interval.bundles.taskCount) / Double(calls), places: 1)) tasks each"),
            row("tasks a call", BundleCounters.names.map { ($0, 7) }, nameWidth: 14),
            row(
                "% of calls", interval.bundles.callCounts.map { (calls == 0 ? "-" : percent($0, of: calls), 7) },
                nameWidth: 14),
        ]
        for array in interval.arrays { lines += [""] + Self.lines(of: array, seconds, isNarrow: isNarrow) }
        return lines
    }

    private static func lines(of export: ExportSnapshot, _ seconds: Double, isNarrow: Bool) -> [String] {
        let percentiles = isNarrow ? percentiles.filter { $0.0 == "p50" || $0.0 == "p99" } : percentiles
        var lines = [
            "export \(ForeignText(export.name)): queue depth \(export.queueDepth)",
            row("", [("IOPS", 9), ("MB/s", 9)] + percentiles.map { ($0.0, 9) } + [("errors", 8)]),
        ]
        let kinds = export.kinds.pairs.filter { kind, counts in
            counts.operationCount > 0 || kind == .read || kind == .write
        }
        for (name, kind) in kinds.map({ ($0.name, $1) }) + [("all", export.total)] {
            lines.append(
                row(
                    name,
                    [(rate(kind.operationCount, seconds), 9), (megabytes(kind.byteCount, seconds), 9)]
                        + percentiles.map { (kind.latency.percentile($0.1).map(duration) ?? "-", 9) }
                        + [("\(kind.errorCount)", 8)]))
        }
        return lines
    }

    private static func lines(of array: ArraySnapshot, _ seconds: Double, isNarrow: Bool) -> [String] {
        var title =
            "array \(ForeignText(array.name)) (target \(array.target) LUN \(array.logicalUnit)): RAID \(array.level), "
            + array.state.rawValue
        if !array.missingMembers.isEmpty {
            title += ", without member \(array.missingMembers.map(String.init).joined(separator: ", "))"
        }
        var lines = [title]
        if let job = array.job, job.state == .running {
            let regions = job.regions.map { ", \($0.written) of \($0.total) regions" } ?? ""
            lines.append(
                "  \(ForeignText(job.kind))\(job.member.map { " of member \($0)" } ?? ""): \(job.percent) % of "
                    + "\(megabytes(job.byteCount, 1)) MB a member\(regions)")
        }
        if let writes = array.writes {
            lines.append(
                "  writes/s: \(isNarrow ? "full" : "full stripe") \(rate(writes.fullStripe, seconds)), read-modify "
                    + "\(rate(writes.readModify, seconds)), reconstruct \(rate(writes.reconstruct, seconds))")
        }
        lines.append(
            row("member", [("reads/s", 10), ("MB/s", 10), ("writes/s", 10), ("MB/s", 10), ("flushes/s", 10)]))
        for member in array.members {
            let (read, write, flush) = (member.kinds[.read], member.kinds[.write], member.kinds[.flush])
            lines.append(
                row(
                    "\(member.role)",
                    [
                        (rate(read.operationCount, seconds), 10), (megabytes(read.byteCount, seconds), 10),
                        (rate(write.operationCount, seconds), 10), (megabytes(write.byteCount, seconds), 10),
                        (rate(flush.operationCount, seconds), 10),
                    ]))
        }
        for member in array.members where member.correctedReadErrorCount > 0 {
            lines.append(
                "  member \(member.role) could not read \(member.correctedReadErrorCount) blocks; they were rewritten"
            )
        }
        return lines
    }

    /// A line of a table: a name, then columns that are aligned at the right.
    private static func row(_ name: String, _ columns: [(text: String, width: Int)], nameWidth: Int = 7) -> String {
        var line = "  " + name + String(repeating: " ", count: max(nameWidth - name.count, 0))
        for (text, width) in columns {
            line += String(repeating: " ", count: max(width - text.count, 1)) + text
        }
        return line
    }

    private static func rate(_ count: UInt64, _ seconds: Double) -> String {
        let rate = Double(count) / seconds
        return rate > 0 && rate < 10 ? decimal(rate, places: 1) : "\(whole(rate))"
    }

    private static func megabytes(_ bytes: UInt64, _ seconds: Double) -> String {
        decimal(Double(bytes) / seconds / 1e6, places: 1)
    }

    private static func percent(_ part: UInt64, of whole: UInt64) -> String {
        decimal(100 * Double(part) / Double(whole), places: 1)
    }

    /// A time with two or three digits: "85 us", "1.2 ms".
    static func duration(nanoseconds: UInt64) -> String {
        let units = [("us", 1e3), ("ms", 1e6), ("s", 1e9)]
        let value = Double(nanoseconds)
        let (unit, size) = units.last { value >= $0.1 } ?? units[0]
        let amount = value / size
        return (amount < 10 ? decimal(amount, places: 1) : "\(whole(amount))") + " " + unit
    }

    /// The nearest whole number. Another process says these values, so any is possible.
    static func whole(_ value: Double) -> UInt64 { UInt64(exactly: value.rounded()) ?? .max }

    private static func decimal(_ value: Double, places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = whole(value * scale)
        let digits = String(scaled % UInt64(scale))
        return "\(scaled / UInt64(scale))." + String(repeating: "0", count: places - digits.count) + digits
    }
}
