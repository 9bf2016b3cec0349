import Platform

/// Writes metrics in Prometheus' text exposition format, version 0.0.4.
struct PrometheusText {
    /// The labels of a sample, in order.
    typealias Labels = [(String, String)]

    /// Everything that was written so far.
    private(set) var text = ""

    /// Begins a metric: its samples follow.
    ///
    /// - Parameters:
    ///   - name: as Prometheus names it, with the unit, and `_total` for a counter.
    ///   - type: "counter", "gauge" or "histogram".
    ///   - help: one line for people.
    mutating func begin(_ name: String, type: String, help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func sample(_ name: String, _ labels: Labels, _ value: UInt64) {
        write(name, labels, "\(value)")
    }

    /// A histogram's samples.
    ///
    /// - Parameters:
    ///   - name: without `_bucket`.
    ///   - labels: of all its samples.
    ///   - buckets: the end of each, as text, and the values in it and in no earlier one. The last bucket has no end.
    ///   - sum: of all values, as text.
    mutating func histogram(
        _ name: String, _ labels: Labels = [], buckets: [(end: String?, count: UInt64)], sum: String
    ) {
        var count: UInt64 = 0
        for bucket in buckets {
            // Counts that another process sent may be any, and their sum may wrap.
            count &+= bucket.count
            if let end = bucket.end { write("\(name)_bucket", labels + [("le", end)], "\(count)") }
        }
        write("\(name)_bucket", labels + [("le", "+Inf")], "\(count)")
        write("\(name)_sum", labels, sum)
        write("\(name)_count", labels, "\(count)")
    }

    private mutating func write(_ name: String, _ labels: Labels, _ value: String) {
        text += name
        if !labels.isEmpty {
            text += "{"
            for (index, label) in labels.enumerated() {
                text += (index > 0 ? "," : "") + "\(label.0)=\"\(Self.escape(label.1))\""
            }
            text += "}"
        }
        text += " \(value)\n"
    }

    private static func escape(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\", "\"": escaped += "\\\(scalar)"
            case "\n": escaped += "\\n"
            // The format takes it as it is, but people print the text.
            default: escaped += ForeignText.isFit(scalar) ? String(scalar) : "\\" + ForeignText.number(scalar)
            }
        }
        return escaped
    }

    /// Nanoseconds as seconds, exactly.
    static func seconds(nanoseconds: UInt64) -> String {
        let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        let digits = String(rest)
        var text = "\(whole)." + String(repeating: "0", count: 9 - digits.count) + digits
        while text.hasSuffix("0") && !text.hasSuffix(".0") { text.removeLast() }
        return text
    }
}
