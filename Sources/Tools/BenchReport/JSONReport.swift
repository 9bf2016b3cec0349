import LoadGenerator
import Statistics

/// A comparison for programs. All text in it is this program's own, or the name of a processor.
package struct JSONReport {
    private let results: BenchResults

    package init(_ results: BenchResults) { self.results = results }

    /// The JSON object.
    package var text: String {
        var fields = [
            "\"machine\": \(JSONValue.quoted(results.machine))",
            "\"load_average\": \(JSONValue.quoted(results.loadAverage))",
            "\"seconds\": \(Format.number(results.seconds))",
            "\"rounds\": \(results.rounds)",
            "\"size\": \(results.byteCount)",
            "\"one_by_one\": \(results.sendsSingly)",
            "\"largest_spread\": \(Format.fixed(results.largestSpread, 4))",
            "\"errors\": \(results.errorCount)",
        ]
        if let check = results.check { fields.append("\"check\": \(Self.object(check))") }
        let rows = results.rows.flatMap { row in
            zip(results.configurations, row.cells).map { "    " + Self.object(row, $0, $1) }
        }
        fields.append("\"results\": [\n\(rows.joined(separator: ",\n"))\n  ]")
        return "{\n  \(fields.joined(separator: ",\n  "))\n}\n"
    }

    private static func object(_ row: BenchRow, _ configuration: BenchConfiguration, _ cell: BenchCell) -> String {
        let shares = [0.5, 0.9, 0.99, 0.999]
        let latency = zip(["p50", "p90", "p99", "p99.9"], cell.latency.percentiles(shares)).map { "\"\($0)\": \($1)" }
        let bundles = zip(BundleCounters.names, cell.bundles.callCounts).map { "\"\($0)\": \($1)" }
        let fields = [
            "\"workload\": \(JSONValue.quoted(row.workload.name))",
            "\"connections\": \(row.load.connectionCount)",
            "\"depth\": \(row.load.depth)",
            "\"mode\": \(JSONValue.quoted(configuration.mode))",
            "\"driver_host\": \"\(configuration.hasDriverProcess ? "process" : "in-process")\"",
            "\"iops\": \(Format.fixed(cell.operationsPerSecond, 1))",
            "\"read_bytes_per_second\": \(Format.fixed(cell.readBytesPerSecond, 0))",
            "\"write_bytes_per_second\": \(Format.fixed(cell.writeBytesPerSecond, 0))",
            "\"latency_ns\": {\(latency.joined(separator: ", "))}",
            "\"client_ns_per_request\": \(Format.fixed(cell.clientNanosecondsPerRequest, 0))",
            "\"spread\": \(Format.fixed(cell.spread, 4))",
            "\"bundles\": {\(bundles.joined(separator: ", "))}",
        ]
        return "{\(fields.joined(separator: ", "))}"
    }

    private static func object(_ check: ReferenceCheck) -> String {
        let fields = [
            "\"program\": \(JSONValue.quoted(check.program))", "\"row\": \(JSONValue.quoted(check.row))",
            "\"configuration\": \(JSONValue.quoted(check.configuration))",
            "\"iops\": \(Format.fixed(check.operationsPerSecond, 1))",
            "\"other_iops\": \(Format.fixed(check.otherOperationsPerSecond, 1))",
            "\"client_ns_per_request\": \(Format.fixed(check.clientNanoseconds, 0))",
            "\"other_client_ns_per_request\": \(Format.fixed(check.otherClientNanoseconds, 0))",
        ]
        return "{\(fields.joined(separator: ", "))}"
    }
}
