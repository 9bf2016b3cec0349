/// How latencies are counted: four buckets for each power of two, from 1 µs to 17 s, one for what is shorter and one for
/// what is longer. A bucket ends a quarter above its beginning at most, so a percentile is right to 25 %.
package enum LatencyBuckets {
    /// The end of the first bucket, as a power of two (nanoseconds): 1.024 µs.
    @usableFromInline static let lowestPower = 10
    /// The beginning of the last bucket: 17.18 s.
    @usableFromInline static let highestPower = 34
    package static let count = (highestPower - lowestPower) * 4 + 2

    /// The bucket of a latency. Bounds belong to the bucket that they end.
    @inlinable package static func index(nanoseconds: UInt64) -> Int {
        let value = nanoseconds == 0 ? 0 : nanoseconds &- 1
        if value < 1 << UInt64(lowestPower) { return 0 }
        let power = 63 &- value.leadingZeroBitCount
        if power >= highestPower { return (highestPower &- lowestPower) &* 4 &+ 1 }
        let quarter = Int(truncatingIfNeeded: value >> UInt64(power &- 2)) & 3
        return (power &- lowestPower) &* 4 &+ quarter &+ 1
    }

    /// Where a bucket ends, nanoseconds; nil for the last one, which does not.
    package static func upperBound(_ index: Int) -> UInt64? {
        if index == 0 { return 1 << UInt64(lowestPower) }
        if index >= count - 1 { return nil }
        let (octave, quarter) = (index - 1).quotientAndRemainder(dividingBy: 4)
        return UInt64(5 + quarter) << UInt64(lowestPower + octave - 2)
    }

    /// Where a bucket begins, nanoseconds.
    package static func lowerBound(_ index: Int) -> UInt64 { index == 0 ? 0 : upperBound(index - 1)! }
}
