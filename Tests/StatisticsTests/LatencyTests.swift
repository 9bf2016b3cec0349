import Platform
import Testing

@testable import Statistics

@Suite("Latencies")
struct LatencyTests {
    @Test("every bucket holds what lies between its bounds, its end included")
    func bounds() {
        for index in 0..<LatencyBuckets.count {
            let lower = LatencyBuckets.lowerBound(index)
            #expect(LatencyBuckets.index(nanoseconds: lower + 1) == index)
            guard let upper = LatencyBuckets.upperBound(index) else {
                #expect(LatencyBuckets.index(nanoseconds: .max) == index)
                continue
            }
            #expect(upper > lower)
            #expect(LatencyBuckets.index(nanoseconds: upper) == index)
            #expect(LatencyBuckets.index(nanoseconds: upper + 1) == index + 1)
            if index > 0 { #expect(upper - lower <= lower / 4 + 1, "a quarter at most") }
        }
        #expect(LatencyBuckets.index(nanoseconds: 0) == 0)
        #expect(LatencyBuckets.upperBound(0) == 1024)
        #expect(LatencyBuckets.upperBound(LatencyBuckets.count - 2) == 1 << 34)
        #expect(LatencyBuckets.count == 98)
    }

    @Test("percentiles are right to a quarter", arguments: [1, 2, 10, 999, 10_000])
    func percentiles(count: Int) {
        var generator = SeededGenerator(seed: UInt64(count))
        var histogram = LatencyHistogram()
        var values: [UInt64] = []
        for _ in 0..<count {
            let value = UInt64.random(in: 1500...1 << UInt64.random(in: 11...33, using: &generator), using: &generator)
            values.append(value)
            histogram.add(nanoseconds: value)
        }
        values.sort()
        for fraction in [0.01, 0.5, 0.95, 0.99, 1] {
            let exact = Double(values[max(Int((fraction * Double(count)).rounded(.up)) - 1, 0)])
            let found = Double(histogram.percentile(fraction)!)
            #expect(found >= exact * 0.79 && found <= exact * 1.26, "\(fraction): \(found), exactly \(exact)")
        }
        #expect(histogram.count == UInt64(count))
        #expect(histogram.sumNanoseconds == values.reduce(0, +))
    }

    @Test("no request has no percentile, and one beyond the last bound has that bound")
    func edges() {
        #expect(LatencyHistogram().percentile(0.5) == nil)
        var histogram = LatencyHistogram()
        histogram.add(nanoseconds: 1 << 40)
        #expect(histogram.percentile(0.5) == 1 << 34)
    }

    @Test("a difference has what came between, and a counter that began anew counts from there")
    func difference() {
        var first = LatencyHistogram()
        first.add(nanoseconds: 5000)
        var second = first
        second.add(nanoseconds: 7000)
        var expected = LatencyHistogram()
        expected.add(nanoseconds: 7000)
        #expect(second.since(first) == expected)
        #expect(UInt64(3).since(10) == 3)
    }
}
