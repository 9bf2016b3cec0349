/// A histogram of latencies in nanoseconds. Each power of two has 32 buckets, so that a value is known to about 3 %. A
/// server counts into the coarser and far smaller `LatencyHistogram` of Statistics, for each lane.
package struct FineLatencyHistogram: Sendable, Equatable {
    private static let subBucketBits = 5
    private static let subBucketCount = 1 << subBucketBits

    private var counts = [UInt64](repeating: 0, count: (65 - subBucketBits) * subBucketCount)
    /// The number of recorded values.
    package private(set) var count: UInt64 = 0
    /// The smallest value, exactly; 0 when there is none.
    package private(set) var minimum: UInt64 = 0
    /// The largest value, exactly; 0 when there is none.
    package private(set) var maximum: UInt64 = 0
    private var sum: UInt64 = 0

    package init() {}

    /// The mean of the recorded values; 0 when there is none.
    package var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

    /// Records a value, nanoseconds.
    package mutating func record(_ value: UInt64) {
        counts[Self.index(of: value)] += 1
        minimum = count == 0 ? value : min(minimum, value)
        maximum = max(maximum, value)
        count += 1
        sum &+= value
    }

    /// Adds the values of another histogram.
    package mutating func merge(_ other: FineLatencyHistogram) {
        guard other.count > 0 else { return }
        for index in counts.indices { counts[index] += other.counts[index] }
        minimum = count == 0 ? other.minimum : min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
        count += other.count
        sum &+= other.sum
    }

    /// The value that a share of all values does not exceed, rounded up to the end of its bucket; 0 when there is none.
    /// - Parameter share: 0.5 for the median, 0.99 for the 99th percentile.
    package func percentile(_ share: Double) -> UInt64 { percentiles([share])[0] }

    /// Several percentiles in one pass.
    /// - Parameter shares: in ascending order.
    package func percentiles(_ shares: [Double]) -> [UInt64] {
        guard count > 0 else { return shares.map { _ in 0 } }
        var values: [UInt64] = []
        var index = 0
        var seen = counts[0]
        for share in shares {
            let rank = min(max(UInt64((share * Double(count)).rounded(.up)), 1), count)
            while seen < rank {
                index += 1
                seen += counts[index]
            }
            values.append(min(max(Self.upperBound(of: index), minimum), maximum))
        }
        return values
    }

    /// Small values have a bucket each. Larger values choose their bucket by the bits behind the leading one.
    static func index(of value: UInt64) -> Int {
        guard value >= subBucketCount else { return Int(value) }
        let exponent = UInt64.bitWidth - 1 - value.leadingZeroBitCount
        let shift = exponent - subBucketBits
        return (shift + 1) * subBucketCount + Int(value >> UInt64(shift)) - subBucketCount
    }

    /// The largest value that falls into a bucket.
    static func upperBound(of index: Int) -> UInt64 {
        guard index >= subBucketCount else { return UInt64(index) }
        let shift = UInt64(index / subBucketCount - 1)
        let lead = UInt64(index % subBucketCount + subBucketCount)
        return (lead << shift) + ((1 << shift) - 1)
    }
}
