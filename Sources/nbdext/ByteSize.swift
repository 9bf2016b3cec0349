import ArgumentParser

/// A number of bytes as people write it: "512", "64K", "10G", "1.5T". Units are powers of 1024; "KiB" and "KB" mean
/// the same as "K".
struct ByteSize: Equatable, ExpressibleByArgument, CustomStringConvertible {
    let byteCount: UInt64

    init(byteCount: UInt64) { self.byteCount = byteCount }

    init?(argument: String) {
        let text = argument.uppercased()
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let shift = Self.shifts[String(text.dropFirst(digits.count))] else { return nil }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first.flatMap({ UInt64($0) }) else { return nil }
        let (scaled, overflow) = whole.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        if parts.count == 1 {
            byteCount = scaled
            return
        }
        guard shift > 0, let fraction = Double("0." + parts[1]) else { return nil }
        // A fraction of very many nines is 1 as a Double.
        let (sum, sumOverflows) = scaled.addingReportingOverflow(UInt64(fraction * Double(UInt64(1) << shift)))
        guard !sumOverflows else { return nil }
        byteCount = sum
    }

    private static let shifts: [String: UInt64] = {
        var shifts: [String: UInt64] = ["": 0, "B": 0]
        for (index, unit) in ["K", "M", "G", "T", "P"].enumerated() {
            for suffix in ["", "B", "IB"] { shifts[unit + suffix] = UInt64(10 * (index + 1)) }
        }
        return shifts
    }()

    /// The shortest exact form, or a rounded one: "64 KiB", "9.3 GiB".
    var description: String {
        var value = byteCount
        var unit = 0
        while value >= 1024 && value % 1024 == 0 && unit < 5 {
            value /= 1024
            unit += 1
        }
        if value < 10_000 || unit == 5 { return "\(value) \(Self.units[unit])" }
        while value >= 1 << 20 && unit < 4 {
            value /= 1024
            unit += 1
        }
        let tenths = value * 10 / 1024
        return "\(tenths / 10).\(tenths % 10) \(Self.units[unit + 1])"
    }

    private static let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
}
