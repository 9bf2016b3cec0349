/// Everything that a server counts, at one moment.
package struct StatisticsSnapshot: Sendable, Equatable {
    /// The time of the server's monotonic clock; of a difference, its length.
    package var nanoseconds: UInt64 = 0
    /// The requests of each export: the raw ones, then the buffered ones.
    package var exports: [ExportSnapshot] = []
    /// The calls of the driver.
    package var bundles = BundleSnapshot()
    /// The arrays, in the order of their exports.
    package var arrays: [ArraySnapshot] = []
    /// The driver.
    package var driver = DriverSnapshot()

    package init() {}

    /// The difference from an earlier snapshot. States, queue depths and the driver are those of this snapshot.
    package func since(_ earlier: StatisticsSnapshot) -> StatisticsSnapshot {
        var difference = self
        difference.nanoseconds = nanoseconds.since(earlier.nanoseconds)
        for index in exports.indices {
            guard let before = earlier.exports.first(where: { $0.name == exports[index].name }) else { continue }
            for kind in RequestKind.allCases {
                difference.exports[index].kinds[kind] = exports[index].kinds[kind].since(before.kinds[kind])
            }
        }
        difference.bundles = bundles.since(earlier.bundles)
        for index in arrays.indices {
            guard let before = earlier.arrays.first(where: { $0.name == arrays[index].name }) else { continue }
            difference.arrays[index] = arrays[index].since(before)
        }
        return difference
    }
}

/// The requests of an export.
package struct ExportSnapshot: Sendable, Equatable {
    /// The export's name.
    package var name: String
    /// What was counted of each kind.
    package var kinds = KindTable<RequestKind, _> { _ in RequestKindSnapshot() }
    /// Requests under way.
    package var queueDepth: UInt64 = 0

    package init(name: String) { self.name = name }

    /// All kinds as one.
    package var total: RequestKindSnapshot {
        kinds.values.reduce(into: RequestKindSnapshot()) { total, kind in
            total.byteCount &+= kind.byteCount
            total.errorCount &+= kind.errorCount
            total.latency += kind.latency
        }
    }
}

/// The requests of one kind.
package struct RequestKindSnapshot: Sendable, Equatable {
    /// Bytes that the requests moved.
    package var byteCount: UInt64 = 0
    /// Requests that failed; they are among `operationCount`.
    package var errorCount: UInt64 = 0
    /// From each request's arrival to its end.
    package var latency = LatencyHistogram()
    /// Requests that ended.
    package var operationCount: UInt64 { latency.count }

    package init() {}

    func since(_ earlier: RequestKindSnapshot) -> RequestKindSnapshot {
        var difference = RequestKindSnapshot()
        difference.byteCount = byteCount.since(earlier.byteCount)
        difference.errorCount = errorCount.since(earlier.errorCount)
        difference.latency = latency.since(earlier.latency)
        return difference
    }
}

/// The calls of the driver, by how many tasks they carried.
package struct BundleSnapshot: Sendable, Equatable {
    /// By `BundleCounters.ranges`.
    package var callCounts = [UInt64](repeating: 0, count: BundleCounters.ranges.count)
    /// Tasks in all calls.
    package var taskCount: UInt64 = 0
    /// Calls.
    package var callCount: UInt64 { callCounts.reduce(0, &+) }
    /// The share of calls in each bucket, 0 to 1; zeros without calls.
    package var shares: [Double] {
        let count = callCount
        return callCounts.map { count == 0 ? 0 : Double($0) / Double(count) }
    }

    package init() {}

    /// The difference from an earlier snapshot.
    package func since(_ earlier: BundleSnapshot) -> BundleSnapshot {
        var difference = BundleSnapshot()
        for index in callCounts.indices {
            difference.callCounts[index] = callCounts[index].since(earlier.callCounts[index])
        }
        difference.taskCount = taskCount.since(earlier.taskCount)
        return difference
    }

    /// Adds the counts of another snapshot.
    package static func += (left: inout BundleSnapshot, right: BundleSnapshot) {
        for index in left.callCounts.indices { left.callCounts[index] += right.callCounts[index] }
        left.taskCount += right.taskCount
    }
}

/// The driver.
package struct DriverSnapshot: Sendable, Equatable, Codable {
    /// "bundled", "legacy" or "kext".
    package var mode = ""
    /// "in-process", "process", or "kernel" for a KEXT.
    package var host = ""
    /// How often the driver was started again.
    package var restartCount: UInt64 = 0
    /// Tasks that the driver has.
    package var taskCount: UInt64 = 0

    package init() {}

    private enum CodingKeys: String, CodingKey {
        case mode, host
        case restartCount = "restarts"
        case taskCount = "tasks"
    }
}
