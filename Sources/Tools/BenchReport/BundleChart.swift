import Statistics

/// The shares of calls by the number of slots that they carried: a bar for the published measurement, and one for each
/// measurement here.
struct BundleChart {
    private static let width = 880.0
    private static let barHeight = 20.0
    private static let step = 28.0
    private static let left = 150.0
    private static let right = 700.0
    private static let top = 30.0

    let results: BenchResults

    var image: SVGImage {
        let samples = PublishedFigures.bundleSamples(results)
        var image = SVGImage(
            width: Self.width, height: Self.top + Self.step * Double(samples.count + 1),
            label: "Calls to the driver by number of slots")
        drawKey(&image)
        let total = PublishedFigures.calls.reduce(0) { $0 + $1.count }
        draw(
            "published", PublishedFigures.calls.map { ($0.label, Double($0.count) / Double(total)) },
            "\(total) calls, largest \(PublishedFigures.largestCall)", 0, &image)
        for (index, sample) in samples.enumerated() {
            let parts = Array(zip(BundleCounters.names, sample.bundles.shares))
            draw(sample.name, parts, "\(sample.bundles.callCount) calls", index + 1, &image)
        }
        return image
    }

    private func drawKey(_ image: inout SVGImage) {
        image.text("slots in a call", x: Self.left - 8, y: 14, anchor: .end, style: "name")
        for (index, label) in BundleCounters.names.enumerated() {
            let x = Self.left + Double(index) * 66
            image.rectangle(x: x, y: 4, width: 12, height: 12, style: "size\(index)")
            image.text(label, x: x + 18, y: 14, style: "value")
        }
    }

    private func draw(
        _ name: String, _ parts: [(label: String, share: Double)], _ note: String, _ line: Int, _ image: inout SVGImage
    ) {
        let y = Self.top + Double(line) * Self.step
        image.text(name, x: Self.left - 8, y: y + 14, anchor: .end, style: "value")
        var x = Self.left
        for (index, part) in parts.enumerated() where part.share > 0 {
            let width = (Self.right - Self.left) * part.share
            image.rectangle(
                x: x, y: y, width: width, height: Self.barHeight, style: "size\(index)",
                title: "\(name): \(part.label) slots in \(Format.percent(part.share)) of calls")
            if width > 44 {
                image.text(
                    Format.percent(part.share), x: x + width / 2, y: y + 14, anchor: .middle, style: "label\(index)")
            }
            x += width
        }
        image.text(note, x: Self.right + 8, y: y + 14, style: "name")
    }
}
