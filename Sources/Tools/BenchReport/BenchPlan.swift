import LoadGenerator

/// A driver that is measured in the place of the reference driver.
package struct BenchDriver: Sendable, Equatable {
    /// The option of `nbdext serve` that takes it: `--driver` or `--dext`.
    package var option: String
    /// The path of its program or bundle.
    package var path: String

    package init(option: String, path: String) {
        self.option = option
        self.path = path
    }

    /// The last part of the path.
    package var name: String { String(path.split(separator: "/").last ?? "driver") }
}

/// One way to run the stack: the options with which a server is started.
package struct BenchConfiguration: Sendable, Equatable {
    /// `kext`, `legacy` or `bundled`.
    package var mode: String
    /// Whether the driver has a process of its own.
    package var hasDriverProcess: Bool
    /// The driver; nil for the reference driver.
    package var driver: BenchDriver?

    package init(mode: String, hasDriverProcess: Bool, driver: BenchDriver? = nil) {
        self.mode = mode
        self.hasDriverProcess = hasDriverProcess
        self.driver = driver
    }

    /// "bundled", "bundled, process", "bundled, MyDriver.dext".
    package var name: String {
        if let driver { return "\(mode), \(driver.name)" }
        return hasDriverProcess ? "\(mode), process" : mode
    }

    /// The configurations that are compared, in the order of every table.
    package static let all = [
        BenchConfiguration(mode: "kext", hasDriverProcess: false),
        BenchConfiguration(mode: "legacy", hasDriverProcess: false),
        BenchConfiguration(mode: "bundled", hasDriverProcess: false),
        BenchConfiguration(mode: "legacy", hasDriverProcess: true),
        BenchConfiguration(mode: "bundled", hasDriverProcess: true),
    ]

    /// The routes to other drivers, which have processes of their own.
    package static func routes(to drivers: [BenchDriver]) -> [BenchConfiguration] {
        ["legacy", "bundled"].flatMap { mode in
            drivers.map { BenchConfiguration(mode: mode, hasDriverProcess: true, driver: $0) }
        }
    }
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
