import LoadGenerator
import Statistics

/// The results of one configuration under one load, over all rounds.
package struct BenchCell: Sendable {
    private var rounds: [LoadResult] = []
    /// The latencies of the reads of all rounds.
    package private(set) var reads = FineLatencyHistogram()
    /// The latencies of the writes of all rounds.
    package private(set) var writes = FineLatencyHistogram()
    /// The bundles of all rounds.
    package private(set) var bundles = BundleSnapshot()

    package init() {}

    /// Adds a round.
    package mutating func add(_ result: LoadResult, bundles: BundleSnapshot) {
        rounds.append(result)
        reads.merge(result.reads.latency)
        writes.merge(result.writes.latency)
        self.bundles += bundles
    }

    /// Bytes read per second: the rounds' median, as all rates here.
    package var readBytesPerSecond: Double { median { $0.reads.bytesPerSecond } }
    /// Bytes written per second.
    package var writeBytesPerSecond: Double { median { $0.writes.bytesPerSecond } }
    /// Bytes read and written per second.
    package var bytesPerSecond: Double { median { $0.reads.bytesPerSecond + $0.writes.bytesPerSecond } }
    /// Requests per second.
    package var operationsPerSecond: Double { median(\.operationsPerSecond) }
    /// The client's processor time for a request, nanoseconds.
    package var clientNanosecondsPerRequest: Double { median(\.clientNanosecondsPerRequest) }
    /// Requests of all rounds that failed.
    package var errorCount: UInt64 { rounds.reduce(0) { $0 + $1.errorCount } }

    /// The latencies of reads and writes together.
    package var latency: FineLatencyHistogram {
        var all = reads
        all.merge(writes)
        return all
    }

    /// How far the rounds are apart: the difference between the best and the worst as a share of the median.
    package var spread: Double {
        let values = rounds.map(\.operationsPerSecond)
        let middle = operationsPerSecond
        guard middle > 0, let best = values.max(), let worst = values.min() else { return 0 }
        return (best - worst) / middle
    }

    private func median(_ value: (LoadResult) -> Double) -> Double {
        let values = rounds.map(value).sorted()
        guard !values.isEmpty else { return 0 }
        let middle = values.count / 2
        return values.count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2
    }
}

/// One load, and the results of each configuration under it.
package struct BenchRow: Sendable {
    /// The kind of requests.
    package var workload: Workload
    /// The number of requests under way.
    package var load: LoadDepth
    /// The results, in the order of the configurations.
    package var cells: [BenchCell]

    package init(workload: Workload, load: LoadDepth, cells: [BenchCell]) {
        self.workload = workload
        self.load = load
        self.cells = cells
    }

    package var name: String { "\(workload.name), \(load.name)" }
    /// Whether it both reads and writes.
    package var isMixed: Bool { workload.readPercent > 0 && workload.readPercent < 100 }
}

/// One load that another program has run as well, for comparison.
package struct ReferenceCheck: Sendable {
    /// The other program: "fio 3.33".
    package var program: String
    /// The row's name.
    package var row: String
    /// The configuration's name.
    package var configuration: String
    /// Requests per second by this program's client.
    package var operationsPerSecond: Double
    /// Requests per second by the other program.
    package var otherOperationsPerSecond: Double
    /// This program's processor time for a request, nanoseconds.
    package var clientNanoseconds: Double
    /// The other program's processor time for a request, nanoseconds.
    package var otherClientNanoseconds: Double

    package init(
        program: String, row: String, configuration: String, operationsPerSecond: Double,
        otherOperationsPerSecond: Double, clientNanoseconds: Double, otherClientNanoseconds: Double
    ) {
        self.program = program
        self.row = row
        self.configuration = configuration
        self.operationsPerSecond = operationsPerSecond
        self.otherOperationsPerSecond = otherOperationsPerSecond
        self.clientNanoseconds = clientNanoseconds
        self.otherClientNanoseconds = otherClientNanoseconds
    }
}

/// The results of a comparison, and its conditions.
package struct BenchResults: Sendable {
    /// The configurations, in the order of every table.
    package var configurations: [BenchConfiguration]
    /// The results, one row for each load.
    package var rows: [BenchRow] = []
    /// A comparison with another program, if one was made.
    package var check: ReferenceCheck?
    /// The processor's name, the number of processors, and the system.
    package var machine: String
    /// The load average of the last minute when the comparison began.
    package var loadAverage: String
    /// The duration of a round.
    package var seconds: Double
    /// Rounds of each load and configuration.
    package var rounds: Int
    /// The size of each array, bytes; nil for drivers that bring their own targets.
    package var byteCount: UInt64?
    /// Whether each request was sent by itself.
    package var sendsSingly: Bool

    package init(
        configurations: [BenchConfiguration], machine: String, loadAverage: String, seconds: Double, rounds: Int,
        byteCount: UInt64?, sendsSingly: Bool
    ) {
        self.sendsSingly = sendsSingly
        self.configurations = configurations
        self.machine = machine
        self.loadAverage = loadAverage
        self.seconds = seconds
        self.rounds = rounds
        self.byteCount = byteCount
    }

    /// The largest spread between the rounds of any cell.
    var largestSpread: Double { rows.flatMap(\.cells).map(\.spread).max() ?? 0 }

    var errorCount: UInt64 { rows.flatMap(\.cells).reduce(0) { $0 + $1.errorCount } }

    /// Whether drivers of the user's are compared, not the routes to the reference driver.
    var comparesDrivers: Bool { configurations.contains { $0.driver != nil } }

    /// The index of a configuration's cell in each row.
    func index(_ mode: String, hasDriverProcess: Bool) -> Int? {
        configurations.firstIndex(of: BenchConfiguration(mode: mode, hasDriverProcess: hasDriverProcess))
    }

    func row(_ workload: String, _ load: LoadDepth) -> BenchRow? {
        rows.first { $0.workload.name == workload && $0.load == load }
    }

    /// How many times as fast as legacy bundled is in a row; nil if one of them was not measured.
    func gain(_ row: BenchRow, hasDriverProcess: Bool) -> Double? {
        guard let bundled = index("bundled", hasDriverProcess: hasDriverProcess),
            let legacy = index("legacy", hasDriverProcess: hasDriverProcess),
            row.cells[legacy].operationsPerSecond > 0
        else { return nil }
        return row.cells[bundled].operationsPerSecond / row.cells[legacy].operationsPerSecond
    }

    /// The conditions of the measurement, as text.
    package var conditions: String {
        let storage =
            byteCount.map { "RAID 5 of 4 members, \($0 >> 20) MiB, all of it in the page cache" }
            ?? "The drivers' own targets"
        let steadiness =
            rounds > 1
            ? "the rounds of a cell differ by up to \(Format.percent(largestSpread))"
            : "one round says nothing of how steady they are"
        return
            "\(machine); load average \(loadAverage) at the start. \(storage); "
            + "medians of \(rounds) x \(Format.number(seconds)) s, interleaved; \(steadiness). "
            + (sendsSingly
                ? "The client sends each request by itself."
                : "The client sends all requests that are due in one call, so the server finds many at once; clients "
                    + "that send them one by one may make smaller bundles (--one-by-one).")
    }
}
