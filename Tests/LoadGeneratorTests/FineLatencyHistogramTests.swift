import Platform
import TestTraits
import Testing

@testable import LoadGenerator

@Suite("Latency histograms", .blocks)
struct LatencyHistogramTests {
    @Test("buckets follow one another without gaps, and none is wider than a 32nd of its values")
    func buckets() {
        for index in 0..<1900 {
            let upper = FineLatencyHistogram.upperBound(of: index)
            #expect(FineLatencyHistogram.index(of: upper) == index)
            #expect(FineLatencyHistogram.index(of: upper + 1) == index + 1)
            let width = index == 0 ? 1 : upper - FineLatencyHistogram.upperBound(of: index - 1)
            #expect(width == 1 || width <= upper / 32)
        }
        #expect(FineLatencyHistogram.index(of: .max) == 1919)
        #expect(FineLatencyHistogram.upperBound(of: 1919) == .max)
    }

    @Test("small values are exact")
    func small() {
        var histogram = FineLatencyHistogram()
        for value in 1...20 { histogram.record(UInt64(value)) }
        #expect(histogram.percentiles([0, 0.5, 0.9, 0.95, 1]) == [1, 10, 18, 19, 20])
        #expect(histogram.mean == 10.5)
    }

    @Test("percentiles of known values are right to a 32nd, and never beyond the extremes", arguments: 1...5)
    func known(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var values: [UInt64] = []
        var histogram = FineLatencyHistogram()
        for _ in 0..<10_000 {
            let value = (random.next() >> 40) >> UInt64(random.below(16))
            values.append(value)
            histogram.record(value)
        }
        values.sort()
        for share in [0.01, 0.25, 0.5, 0.9, 0.99, 0.999] {
            let exact = values[Int((share * 10_000).rounded(.up)) - 1]
            let found = histogram.percentile(share)
            #expect(found >= exact && found <= exact + exact / 32, "seed \(seed), \(share): \(found), not \(exact)")
        }
        #expect(histogram.percentile(1) == values.last && histogram.maximum == values.last)
        #expect(histogram.minimum == values.first)
    }

    @Test("a merged histogram is that of all values")
    func merge() {
        var all = FineLatencyHistogram()
        var parts = [FineLatencyHistogram(), FineLatencyHistogram(), FineLatencyHistogram()]
        for value in stride(from: UInt64(5), to: 5_000_000, by: 997) {
            all.record(value)
            parts[Int(value % 2)].record(value)
        }
        var merged = FineLatencyHistogram()
        for part in parts { merged.merge(part) }
        #expect(merged == all)
    }

    @Test("nothing recorded is zero")
    func empty() {
        #expect(FineLatencyHistogram().percentiles([0.5, 0.99]) == [0, 0])
        #expect(FineLatencyHistogram().mean == 0)
    }
}
