/// The buckets of latency histograms: four for each power of two from 1 µs to 17 s, one for shorter latencies and one
/// for longer ones. A bucket ends at most a quarter above its beginning, so a percentile is right to 25 %.
@usableFromInline package enum LatencyBuckets {
    /// The end of the first bucket, as a power of two (nanoseconds): 1.024 µs.
    @usableFromInline static let lowestPower = 10
    /// The beginning of the last bucket: 17.18 s.
    @usableFromInline static let highestPower = 34
    /// Buckets of a histogram.
    package static let count = (highestPower - lowestPower) * 4 + 2

    /// The bucket of a latency. A bound belongs to the bucket that it ends.
    @inlinable package static func index(nanoseconds: UInt64) -> Int {
        let value = nanoseconds == 0 ? 0 : nanoseconds &- 1
        if value < 1 << UInt64(lowestPower) { return 0 }
        let power = 63 &- value.leadingZeroBitCount
        if power >= highestPower { return (highestPower &- lowestPower) &* 4 &+ 1 }
        let quarter = Int(truncatingIfNeeded: value >> UInt64(power &- 2)) & 3
        return (power &- lowestPower) &* 4 &+ quarter &+ 1
    }

    /// The end of a bucket, nanoseconds; nil for the last one, which has none.
    package static func upperBound(_ index: Int) -> UInt64? {
        if index == 0 { return 1 << UInt64(lowestPower) }
        if index >= count - 1 { return nil }
        let (octave, quarter) = (index - 1).quotientAndRemainder(dividingBy: 4)
        return UInt64(5 + quarter) << UInt64(lowestPower + octave - 2)
    }

    /// The beginning of a bucket, nanoseconds.
    package static func lowerBound(_ index: Int) -> UInt64 { index == 0 ? 0 : upperBound(index - 1)! }
}
