/// The counters of one block device's requests.
///
/// A request is counted in on the lane that submits it and out on the lane whose thread ends it. These may differ, so
/// only totals over all lanes mean something.
///
/// Threads: as `LaneCounters`.
package final class ExportCounters: Sendable {
    private static let submitted = 0
    private static let ended = 1
    private static let firstKind = 4
    private static let kindWordCount = 4 + LatencyBuckets.count
    private let counters: LaneCounters

    /// - Parameter laneCount: lanes at most.
    package init(laneCount: Int) {
        counters = LaneCounters(
            laneCount: laneCount, wordCount: Self.firstKind + RequestKind.allCases.count * Self.kindWordCount)
    }

    /// Counts a batch of requests in.
    package func submit(_ count: Int, lane: Int) { counters.add(UInt64(count), to: Self.submitted, lane: lane) }

    /// Counts a batch of requests out. Each of them goes to `complete` as well.
    package func end(_ count: Int, lane: Int) { counters.add(UInt64(count), to: Self.ended, lane: lane) }

    /// Counts the work of a request that ended.
    ///
    /// - Parameters:
    ///   - kind: what the request asked for.
    ///   - byteCount: bytes that it moved.
    ///   - failed: whether it ended with an error.
    ///   - nanoseconds: the time since it was submitted.
    ///   - lane: of the calling thread.
    package func complete(kind: RequestKind, byteCount: UInt32, failed: Bool, nanoseconds: UInt64, lane: Int) {
        let base = Self.firstKind &+ kind.rawValue &* Self.kindWordCount
        counters.add(UInt64(byteCount), to: base, lane: lane)
        if failed { counters.add(1, to: base &+ 1, lane: lane) }
        counters.add(nanoseconds, to: base &+ 2, lane: lane)
        counters.add(1, to: base &+ 4 &+ LatencyBuckets.index(nanoseconds: nanoseconds), lane: lane)
    }

    /// The totals, as those of an export with a name. Any thread.
    package func snapshot(name: String) -> ExportSnapshot {
        var snapshot = ExportSnapshot(name: name)
        snapshot.kinds = KindTable(total)
        // `ended` is read first, so that no more requests have ended than were submitted; `submitted` right after it,
        // so that few come between.
        let ended = counters.total(of: Self.ended)
        let submitted = counters.total(of: Self.submitted)
        snapshot.queueDepth = submitted > ended ? submitted - ended : 0
        return snapshot
    }

    private func total(_ kind: RequestKind) -> RequestKindSnapshot {
        let base = Self.firstKind + kind.rawValue * Self.kindWordCount
        var total = RequestKindSnapshot()
        total.byteCount = counters.total(of: base)
        total.errorCount = counters.total(of: base + 1)
        total.latency.sumNanoseconds = counters.total(of: base + 2)
        for bucket in 0..<LatencyBuckets.count { total.latency.counts[bucket] = counters.total(of: base + 4 + bucket) }
        return total
    }
}
