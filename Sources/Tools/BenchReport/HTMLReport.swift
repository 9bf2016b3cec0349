import LoadGenerator

/// A comparison as a self-contained page, with charts and without scripts.
package struct HTMLReport {
    private let results: BenchResults

    package init(_ results: BenchResults) { self.results = results }

    /// The page: well-formed XML.
    package var text: String {
        HTML.fill(
            String(decoding: PackageResources.report_html, as: UTF8.self),
            [
                "style": String(decoding: PackageResources.style_css, as: UTF8.self),
                "conditions": HTML.escaped(results.conditions), "failures": failures, "key": key,
                "throughput": throughput, "lineKey": lineKey,
                "latency": latency { $0.workload.blockByteCount == 4096 },
                "latencyOfLargeRequests": latency { $0.workload.blockByteCount != 4096 },
                "bundles": HTML.figure("Share of calls by number of slots", BundleChart(results: results).image),
                "explanation": HTML.escaped(PublishedFigures.explanation), "published": published, "table": table,
                "check": check,
            ])
    }

    private var failures: String {
        results.errorCount == 0 ? "" : "<p><b>\(results.errorCount) requests failed; the figures mean little.</b></p>\n"
    }

    /// The key to the routes' colours.
    private var lineKey: String {
        ["kext", "legacy", "bundled"].map { "<b class=\"mode-\($0)\">\($0)</b>" }.joined(separator: ", ")
    }

    /// The main results.
    private var key: String {
        var items: [String] = []
        for hasDriverProcess in [false, true] {
            for workload in ["4 KiB random read", "4 KiB random write"] {
                guard let row = results.row(workload, PublishedFigures.load),
                    let gain = results.gain(row, hasDriverProcess: hasDriverProcess)
                else { continue }
                let place = hasDriverProcess ? "driver in a process" : "driver in the server"
                items.append(
                    "<li><b>\(Format.fixed(gain, 2)) ×</b>\(workload)<br/><span>bundled to legacy, \(row.load.name), "
                        + "\(place)</span></li>")
            }
        }
        return items.isEmpty ? "" : "<ul class=\"key\">\n\(items.joined(separator: "\n"))\n</ul>"
    }

    private var throughput: String {
        var names: [String] = []
        for row in results.rows where !names.contains(row.workload.name) { names.append(row.workload.name) }
        return names.map { name in
            let rows = results.rows.filter { $0.workload.name == name }
            return HTML.figure(name, ThroughputChart(results: results, rows: rows).image)
        }.joined(separator: "\n")
    }

    private func latency(_ isWanted: (BenchRow) -> Bool) -> String {
        results.rows.filter(isWanted).map { HTML.figure($0.name, LatencyChart(results: results, row: $0).image) }
            .joined(separator: "\n")
    }

    private var published: String {
        let names = [("", 1)] + (0..<3).flatMap { _ in [("bundled", 1), ("legacy", 1), ("ratio", 1)] }
        return HTML.table(
            head: [
                [
                    ("MiB/s", 1), ("published", 3), ("here, \(PublishedFigures.load.name)", 3),
                    ("here, driver in a process", 3),
                ], names,
            ], rows: PublishedFigures.lines.map { [$0.name] + PublishedFigures.texts($0, results) })
    }

    private var table: String {
        HTML.table(
            head: [
                [("", 1)] + results.configurations.map { ($0.name, 3) } + [("gain", 1), ("gain, process", 1)],
                [("", 1)] + results.configurations.flatMap { _ in [("MiB/s", 1), ("p50", 1), ("p99", 1)] }
                    + [("", 1), ("", 1)],
            ],
            rows: results.rows.map { row in
                [row.name]
                    + row.cells.flatMap { cell in
                        [TextReport.rate(cell, row)]
                            + cell.latency.percentiles([0.5, 0.99]).map { Format.duration(Double($0)) }
                    } + [false, true].map { Format.ratio(results.gain(row, hasDriverProcess: $0)) }
            })
    }

    private var check: String {
        guard let check = results.check else { return "" }
        return "<h2>Checked with \(HTML.escaped(check.program))</h2>\n"
            + HTML.table(
                head: [[("\(check.row), \(check.configuration)", 1), ("IOPS", 1), ("client CPU a request", 1)]],
                rows: [
                    [
                        "this load generator", Format.amount(check.operationsPerSecond),
                        Format.duration(check.clientNanoseconds),
                    ],
                    [
                        check.program, Format.amount(check.otherOperationsPerSecond),
                        Format.duration(check.otherClientNanoseconds),
                    ],
                ])
    }
}
