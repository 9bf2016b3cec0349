import Glibc
import LoadGenerator

/// The latencies of one load: a curve for each configuration, over the share of requests that were at least as fast.
/// Both axes are logarithmic, so that the slowest of ten thousand have as much room as the faster half.
struct LatencyChart {
    private static let width = 390.0
    private static let height = 220.0
    private static let left = 52.0
    private static let right = 376.0
    private static let top = 10.0
    private static let bottom = 190.0
    /// The axis ends at one request in ten thousand.
    private static let nines = 4.0
    private static let step = 0.05

    let results: BenchResults
    let row: BenchRow

    var image: SVGImage {
        let curves = row.cells.map { Self.points($0.latency) }
        var image = SVGImage(width: Self.width, height: Self.height, label: "Latency distribution of \(row.name)")
        let values = curves.flatMap { $0.map(\.nanoseconds) }.filter { $0 > 0 }
        guard let lowest = values.min(), let highest = values.max() else { return image }
        let low = floor(log10(lowest))
        let high = max(ceil(log10(highest)), low + 1)
        func y(_ nanoseconds: Double) -> Double {
            Self.bottom - (Self.bottom - Self.top) * (log10(nanoseconds) - low) / (high - low)
        }
        for exponent in stride(from: low, through: high, by: 1) {
            let value = pow(10, exponent)
            image.line(Self.left, y(value), Self.right, y(value), style: "rule")
            image.text(Self.tick(value), x: Self.left - 6, y: y(value) + 4, anchor: .end, style: "tick")
        }
        for (nine, label) in ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"].enumerated() {
            let x = Self.x(Double(nine))
            image.line(x, Self.top, x, Self.bottom, style: "rule")
            let anchor: SVGImage.Anchor = nine == 4 ? .end : .middle
            image.text(label, x: nine == 4 ? x + 12 : x, y: Self.bottom + 16, anchor: anchor, style: "tick")
        }
        for (configuration, curve) in zip(results.configurations, curves) {
            image.curve(
                curve.map { (Self.x($0.nines), y(max($0.nanoseconds, 1))) }, style: configuration.styleClass,
                title: configuration.name)
        }
        return image
    }

    /// The latency at each share, in nines, as far as there are enough requests.
    private static func points(_ histogram: FineLatencyHistogram) -> [(nines: Double, nanoseconds: Double)] {
        guard histogram.count > 0 else { return [] }
        let end = min(nines, log10(Double(histogram.count)))
        let places = Array(stride(from: 0, through: end, by: step))
        let values = histogram.percentiles(places.map { 1 - pow(10, -$0) })
        return zip(places, values).map { ($0, Double($1)) }
    }

    private static func x(_ place: Double) -> Double { left + (right - left) * place / nines }

    /// A power of ten of nanoseconds.
    private static func tick(_ nanoseconds: Double) -> String {
        nanoseconds < 1e3
            ? "\(Format.number(nanoseconds)) ns"
            : nanoseconds < 1e6
                ? "\(Format.number(nanoseconds / 1e3)) µs"
                : nanoseconds < 1e9
                    ? "\(Format.number(nanoseconds / 1e6)) ms" : "\(Format.number(nanoseconds / 1e9)) s"
    }
}
