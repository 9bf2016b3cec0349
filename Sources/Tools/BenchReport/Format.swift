/// Numbers and columns as people read them.
enum Format {
    /// A number for JSON, rounded to some digits behind the point; nil, which is null there, when it is not finite.
    static func rounded(_ value: Double, _ digits: Int) -> Double? { Double(fixed(value, digits)) }

    /// A number with the given count of decimals; "-" when it is not finite.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "-" }
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(scaled)" }
        let fraction = String(scaled % scale)
        return "\(sign)\(scaled / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// Three digits, or as many as there are before the point: "0.512", "5.12", "51.2", "5120".
    static func amount(_ value: Double) -> String {
        if value == 0 { return "0" }
        return fixed(value, abs(value) >= 99.95 ? 0 : abs(value) >= 9.995 ? 1 : abs(value) >= 0.9995 ? 2 : 3)
    }

    /// As few digits as are exact to a hundredth: "1", "0.2".
    static func number(_ value: Double) -> String {
        var text = fixed(value, 2)
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    static func mebibytes(_ bytesPerSecond: Double) -> String { amount(bytesPerSecond / 1_048_576) }

    /// A share: "38 %", "0.4 %".
    static func percent(_ share: Double) -> String {
        let percent = share * 100
        return fixed(percent, percent > 0 && percent < 9.95 ? 1 : 0) + " %"
    }

    static func ratio(_ value: Double?) -> String { value.map { fixed($0, 2) + "x" } ?? "-" }

    /// Nanoseconds in the unit that fits.
    static func duration(_ nanoseconds: Double) -> String {
        if nanoseconds < 1e6 { return amount(nanoseconds / 1e3) + " µs" }
        if nanoseconds < 1e9 { return amount(nanoseconds / 1e6) + " ms" }
        return amount(nanoseconds / 1e9) + " s"
    }

    static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    static func aligned(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 0)) + text
    }
}
