import LoadGenerator

/// Bars of one workload: a group for each number of requests under way, a bar for each configuration.
struct ThroughputChart {
    private static let width = 390.0
    private static let barHeight = 12.0
    private static let barStep = 16.0
    private static let groupHead = 20.0
    private static let groupGap = 8.0
    private static let barLeft = 108.0
    private static let valueWidth = 62.0

    let results: BenchResults
    /// The rows of the workload.
    let rows: [BenchRow]

    var image: SVGImage {
        let groupHeight = Self.groupHead + Self.barStep * Double(results.configurations.count) + Self.groupGap
        var image = SVGImage(
            width: Self.width, height: groupHeight * Double(rows.count),
            label: "Throughput of \(rows[0].workload.name) by configuration")
        let largest = rows.flatMap(\.cells).map(\.bytesPerSecond).max() ?? 0
        let room = Self.width - Self.barLeft - Self.valueWidth
        for (group, row) in rows.enumerated() {
            let top = Double(group) * groupHeight
            image.text("\(row.load.name) under way", x: 0, y: top + 13, style: "strong")
            image.line(0, top + Self.groupHead - 2, Self.width, top + Self.groupHead - 2, style: "rule")
            for (index, configuration) in results.configurations.enumerated() {
                let cell = row.cells[index]
                let y = top + Self.groupHead + Double(index) * Self.barStep + 3
                let length = largest > 0 ? room * cell.bytesPerSecond / largest : 0
                image.text(configuration.name, x: Self.barLeft - 8, y: y + 10, anchor: .end, style: "name")
                image.rectangle(
                    x: Self.barLeft, y: y, width: max(length, 1), height: Self.barHeight,
                    style: configuration.styleClass, title: Self.title(row, configuration, cell))
                image.text(
                    Format.mebibytes(cell.bytesPerSecond), x: Self.barLeft + length + 6, y: y + 10, style: "value")
            }
        }
        return image
    }

    private static func title(_ row: BenchRow, _ configuration: BenchConfiguration, _ cell: BenchCell) -> String {
        let parts =
            row.isMixed
            ? " (read \(Format.mebibytes(cell.readBytesPerSecond)), write \(Format.mebibytes(cell.writeBytesPerSecond)))"
            : ""
        return "\(configuration.name), \(row.name): \(Format.mebibytes(cell.bytesPerSecond)) MiB/s\(parts), "
            + "\(Format.amount(cell.operationsPerSecond)) IOPS, rounds differ by \(Format.percent(cell.spread))"
    }
}

extension BenchConfiguration {
    /// The CSS classes that give it its colour.
    var styleClass: String { hasDriverProcess ? "\(mode) process" : mode }
}
