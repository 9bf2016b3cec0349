import LoadGenerator

/// One way to run the stack: the options with which a server is started.
package struct BenchConfiguration: Sendable, Equatable {
    /// `kext`, `legacy` or `bundled`.
    package var mode: String
    /// Whether the driver has a process of its own.
    package var hasDriverProcess: Bool

    package init(mode: String, hasDriverProcess: Bool) {
        self.mode = mode
        self.hasDriverProcess = hasDriverProcess
    }

    /// "bundled", "bundled, process".
    package var name: String { hasDriverProcess ? "\(mode), process" : mode }

    /// The configurations that are compared, in the order of every table.
    package static let all = [
        BenchConfiguration(mode: "kext", hasDriverProcess: false),
        BenchConfiguration(mode: "legacy", hasDriverProcess: false),
        BenchConfiguration(mode: "bundled", hasDriverProcess: false),
        BenchConfiguration(mode: "legacy", hasDriverProcess: true),
        BenchConfiguration(mode: "bundled", hasDriverProcess: true),
    ]
}

/// The loads of a comparison.
package enum BenchPlan {
    /// Random reads of 4 KiB.
    package static let randomRead4K = Workload(
        "4 KiB random read", blockByteCount: 4096, order: .random, readPercent: 100)
    /// Sequential writes of 1 MiB.
    package static let sequentialWrite = Workload(
        "1 MiB sequential write", blockByteCount: 1 << 20, order: .sequential, readPercent: 0)

    /// The workloads, in the order of every table.
    package static let workloads = [
        randomRead4K,
        Workload("4 KiB random write", blockByteCount: 4096, order: .random, readPercent: 0),
        Workload("4 KiB 70/30 mix", blockByteCount: 4096, order: .random, readPercent: 70),
        Workload("16 KiB random read", blockByteCount: 16384, order: .random, readPercent: 100),
        Workload("16 KiB random write", blockByteCount: 16384, order: .random, readPercent: 0),
        Workload("16 KiB 70/30 mix", blockByteCount: 16384, order: .random, readPercent: 70),
        Workload("1 MiB sequential read", blockByteCount: 1 << 20, order: .sequential, readPercent: 100),
        sequentialWrite,
    ]

    /// The numbers of requests under way, in the order of every table.
    package static let loads = [
        LoadDepth(connectionCount: 1, depth: 1), LoadDepth(connectionCount: 1, depth: 32),
        LoadDepth(connectionCount: 4, depth: 32),
    ]
}
