import Statistics

/// How many calls to the driver carried how many tasks, in some span of time.
package struct BundleHistogram: Sendable, Equatable {
    /// The numbers of tasks that are counted together: "1", "2", "3-4" ...
    package static let labels = BundleCounters.names

    /// By label.
    package var counts = [UInt64](repeating: 0, count: labels.count)

    package init() {}

    /// Reads the object `bundles` of what a server answers to `statistics`.
    /// - Returns: nil when it is not there.
    package init?(statistics: String) {
        let parts = statistics.split(separator: "\"bundles\"", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let open = parts[1].firstIndex(of: "{"), let close = parts[1].firstIndex(of: "}"),
            open < close
        else { return nil }
        for field in parts[1][parts[1].index(after: open)..<close].split(separator: ",") {
            let halves = field.split(separator: ":").map { $0.filter { !"\" \n".contains($0) } }
            guard halves.count == 2, let value = UInt64(halves[1]) else { return nil }
            if let index = Self.labels.firstIndex(of: halves[0]) { counts[index] = value }
        }
    }

    package var total: UInt64 { counts.reduce(0, +) }

    /// The share of calls of each size; zeros when there were none.
    package var shares: [Double] { counts.map { total == 0 ? 0 : Double($0) / Double(total) } }

    /// What was counted since an earlier reading.
    package func since(_ earlier: BundleHistogram) -> BundleHistogram {
        var difference = self
        for index in counts.indices { difference.counts[index] &-= earlier.counts[index] }
        return difference
    }

    package mutating func merge(_ other: BundleHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
    }
}
