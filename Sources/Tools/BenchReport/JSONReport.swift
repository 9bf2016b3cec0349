import LoadGenerator
import Statistics

/// A comparison for programs: the object that `bench --json` shows.
package struct JSONReport: Encodable {
    private let results: BenchResults

    package init(_ results: BenchResults) { self.results = results }

    /// Writes the conditions, and an object for each configuration under each load.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: NameKey.self)
        try values.encode(results.machine, forKey: "machine")
        try values.encode(results.loadAverage, forKey: "load_average")
        try values.encode(Format.rounded(results.seconds, 2), forKey: "seconds")
        try values.encode(results.rounds, forKey: "rounds")
        if let byteCount = results.byteCount { try values.encode(byteCount, forKey: "size") }
        try values.encode(results.sendsSingly, forKey: "one_by_one")
        try values.encode(Format.rounded(results.largestSpread, 4), forKey: "largest_spread")
        try values.encode(results.errorCount, forKey: "errors")
        if let check = results.check { try values.encode(Check(check: check), forKey: "check") }
        let cells = results.rows.flatMap { row in
            zip(results.configurations, row.cells).map { Cell(row: row, configuration: $0, cell: $1) }
        }
        try values.encode(cells, forKey: "results")
    }
}

/// One configuration under one load.
private struct Cell: Encodable {
    private static let percentiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]

    let row: BenchRow
    let configuration: BenchConfiguration
    let cell: BenchCell

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: NameKey.self)
        try values.encode(row.workload.name, forKey: "workload")
        try values.encode(row.load.connectionCount, forKey: "connections")
        try values.encode(row.load.depth, forKey: "depth")
        try values.encode(configuration.mode, forKey: "mode")
        try values.encode(configuration.hasDriverProcess ? "process" : "in-process", forKey: "driver_host")
        if let driver = configuration.driver { try values.encode(driver.name, forKey: "driver") }
        try values.encode(Format.rounded(cell.operationsPerSecond, 1), forKey: "iops")
        try values.encode(Format.rounded(cell.readBytesPerSecond, 0), forKey: "read_bytes_per_second")
        try values.encode(Format.rounded(cell.writeBytesPerSecond, 0), forKey: "write_bytes_per_second")
        var latency = values.nestedContainer(keyedBy: NameKey.self, forKey: "latency_ns")
        try latency.encode(cell.latency.percentiles(Self.percentiles.map(\.1)), by: Self.percentiles.map(\.0))
        try values.encode(Format.rounded(cell.clientNanosecondsPerRequest, 0), forKey: "client_ns_per_request")
        try values.encode(Format.rounded(cell.spread, 4), forKey: "spread")
        var bundles = values.nestedContainer(keyedBy: NameKey.self, forKey: "bundles")
        try bundles.encode(cell.bundles.callCounts, by: BundleCounters.names)
    }
}

/// The check against another load generator.
private struct Check: Encodable {
    let check: ReferenceCheck

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: NameKey.self)
        try values.encode(check.program, forKey: "program")
        try values.encode(check.row, forKey: "row")
        try values.encode(check.configuration, forKey: "configuration")
        try values.encode(Format.rounded(check.operationsPerSecond, 1), forKey: "iops")
        try values.encode(Format.rounded(check.otherOperationsPerSecond, 1), forKey: "other_iops")
        try values.encode(Format.rounded(check.clientNanoseconds, 0), forKey: "client_ns_per_request")
        try values.encode(Format.rounded(check.otherClientNanoseconds, 0), forKey: "other_client_ns_per_request")
    }
}
