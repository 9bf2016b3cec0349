/// The latencies of some requests.
package struct LatencyHistogram: Sendable, Equatable {
    /// Requests in each of the `LatencyBuckets`.
    package var counts = [UInt64](repeating: 0, count: LatencyBuckets.count)
    /// The sum of all latencies, nanoseconds.
    package var sumNanoseconds: UInt64 = 0

    package init() {}

    /// Requests in all buckets.
    package var count: UInt64 { counts.reduce(0, &+) }

    /// Counts a request.
    package mutating func add(nanoseconds: UInt64) {
        counts[LatencyBuckets.index(nanoseconds: nanoseconds)] += 1
        sumNanoseconds &+= nanoseconds
    }

    /// The latency that a fraction of the requests did not exceed, nanoseconds; nil without requests. Requests are
    /// taken to lie evenly within a bucket.
    ///
    /// - Parameter fraction: 0.5 for the median; 1 gives the end of the longest request's bucket.
    package func percentile(_ fraction: Double) -> UInt64? {
        let count = count
        guard count > 0 else { return nil }
        let rank = max(fraction * Double(count), 1)
        var below: UInt64 = 0
        for (index, own) in counts.enumerated() where own > 0 {
            // Counts that another process sent may be any, and their sum may wrap.
            if Double(below &+ own) >= rank || below &+ own == count {
                let lower = LatencyBuckets.lowerBound(index)
                guard let upper = LatencyBuckets.upperBound(index) else { return lower }
                let share = min(max((rank - Double(below)) / Double(own), 0), 1)
                return lower + UInt64(Double(upper - lower) * share)
            }
            below &+= own
        }
        return nil
    }

    /// The requests since an earlier state.
    package func since(_ earlier: LatencyHistogram) -> LatencyHistogram {
        var difference = LatencyHistogram()
        for index in counts.indices { difference.counts[index] = counts[index].since(earlier.counts[index]) }
        difference.sumNanoseconds = sumNanoseconds.since(earlier.sumNanoseconds)
        return difference
    }

    /// Adds the requests of another histogram.
    package static func += (left: inout LatencyHistogram, right: LatencyHistogram) {
        for index in left.counts.indices { left.counts[index] &+= right.counts[index] }
        left.sumNanoseconds &+= right.sumNanoseconds
    }
}

extension UInt64 {
    /// How far a counter has gone on from an earlier state. A counter that is lower now belongs to a server that was
    /// started again, and counts from 0.
    package func since(_ earlier: UInt64) -> UInt64 { self >= earlier ? self - earlier : self }
}
