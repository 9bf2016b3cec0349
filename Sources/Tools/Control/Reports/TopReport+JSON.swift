import Statistics

extension TopReport {
    /// An interval's numbers, rates and percentiles, and everything that the server has counted.
    package struct JSON: Encodable {
        private let interval: StatisticsSnapshot
        private let total: StatisticsSnapshot

        /// - Parameters:
        ///   - interval: the difference from an earlier snapshot.
        ///   - total: the snapshot at the interval's end.
        package init(_ interval: StatisticsSnapshot, total: StatisticsSnapshot) {
            self.interval = interval
            self.total = total
        }

        /// Writes the object that `top --json` shows.
        package func encode(to encoder: any Encoder) throws {
            let seconds = max(Double(interval.nanoseconds) / 1e9, 1e-9)
            var values = encoder.container(keyedBy: NameKey.self)
            try values.encode(seconds, forKey: "interval_seconds")
            var part = values.nestedContainer(keyedBy: NameKey.self, forKey: "interval")
            try part.encode(interval.exports.map { Export($0, seconds: seconds) }, forKey: "exports")
            var bundles = part.nestedContainer(keyedBy: NameKey.self, forKey: "bundles")
            try bundles.encode(interval.bundles.callCounts, by: BundleCounters.names)
            try part.encode(interval.arrays, forKey: "arrays")
            try values.encode(total, forKey: "total")
        }
    }
}

/// An export's requests in an interval, by kind and in all.
private struct Export: Encodable {
    let export: ExportSnapshot
    let seconds: Double

    init(_ export: ExportSnapshot, seconds: Double) {
        self.export = export
        self.seconds = seconds
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: NameKey.self)
        try values.encode(export.name, forKey: "name")
        try values.encode(export.queueDepth, forKey: "queue_depth")
        for (name, kind) in export.kinds.pairs.map({ ($0.name, $1) }) + [("all", export.total)] {
            var numbers = values.nestedContainer(keyedBy: NameKey.self, forKey: NameKey(name))
            try numbers.encode(kind.operationCount, forKey: "operations")
            try numbers.encode(kind.byteCount, forKey: "bytes")
            try numbers.encode(kind.errorCount, forKey: "errors")
            try numbers.encode(Double(kind.operationCount) / seconds, forKey: "operations_per_second")
            try numbers.encode(Double(kind.byteCount) / seconds, forKey: "bytes_per_second")
            for (name, fraction) in TopReport.percentiles {
                try numbers.encode(kind.latency.percentile(fraction), forKey: NameKey("\(name)_nanoseconds"))
            }
        }
    }
}
