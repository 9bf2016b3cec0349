/// Counts the driver's calls by the number of tasks that each one carried.
///
/// Threads: a sender counts in the section of the queue that sends; any thread reads.
package final class BundleCounters: Sendable {
    /// The task counts of each bucket.
    package static let ranges = [1...1, 2...2, 3...4, 5...8, 9...16, 17...32]
    /// The buckets' names: "1", "2", "3-4", ...
    package static let names = ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }

    private let counters: LaneCounters

    /// - Parameter senderCount: queues that send tasks to the driver.
    package init(senderCount: Int = 1) {
        counters = LaneCounters(laneCount: senderCount, wordCount: Self.ranges.count + 1)
    }

    /// Counts calls.
    ///
    /// - Parameters:
    ///   - taskCount: tasks in each call, from 1 to 32.
    ///   - callCount: calls.
    ///   - sender: the queue that sends them.
    package func note(taskCount: Int, callCount: Int = 1, sender: Int = 0) {
        guard taskCount > 0 else { return }
        let bucket = Int.bitWidth - (taskCount - 1).leadingZeroBitCount
        counters.add(UInt64(callCount), to: min(bucket, Self.ranges.count - 1), lane: sender)
        counters.add(UInt64(taskCount * callCount), to: Self.ranges.count, lane: sender)
    }

    /// The totals. Any thread.
    package func snapshot() -> BundleSnapshot {
        var snapshot = BundleSnapshot()
        snapshot.taskCount = counters.total(of: Self.ranges.count)
        for bucket in Self.ranges.indices { snapshot.callCounts[bucket] = counters.total(of: bucket) }
        return snapshot
    }
}
