/// A number of bytes as people write it: "512", "64K", "10G", "1.5T". Units are powers of 1024; "KiB" and "KB" mean
/// the same as "K".
package struct ByteSize: Equatable, Sendable, CustomStringConvertible {
    /// The help on units, for every option that takes a size.
    package static let help = "Units are powers of 1024: K, KB and KiB are the same, and so up to P."

    /// Bytes.
    package let byteCount: UInt64

    package init(byteCount: UInt64) { self.byteCount = byteCount }

    /// Why a text is no size: the rest of a sentence that begins with the text.
    package struct Problem: Error, CustomStringConvertible {
        /// The rest of the sentence.
        package let description: String
    }

    /// Reads a size.
    ///
    /// - Throws: `Problem`.
    package init(parsing text: String) throws {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == "." || $0 == ",") }
        let unit = text.dropFirst(digits.count)
        guard !text.hasPrefix("-") else { throw Problem(description: "a size is not negative; use one such as 64M") }
        guard !digits.isEmpty else { throw Problem(description: "a size begins with a number: 512, 64K, 10G, 1.5T") }
        guard !digits.contains(",") else {
            throw Problem(description: "write a fraction with a point, such as 1.5G, and no separators")
        }
        guard let shift = Self.shifts[unit.uppercased()] else {
            throw Problem(
                description: "\(unit) is not a unit; use K, M, G, T or P, which are powers of 1024, or none for bytes")
        }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, !parts[0].isEmpty, parts.count == 1 || !parts[1].isEmpty else {
            throw Problem(description: "\(digits) is not a number; write one such as 10 or 1.5")
        }
        guard parts.count == 1 || shift > 0 else {
            throw Problem(description: "a byte has no fractions; give it a unit, such as \(digits)K")
        }
        let tooLarge = Problem(description: "that is 16 EiB or more; use a smaller size")
        guard let whole = UInt64(parts[0]) else { throw tooLarge }
        let (scaled, overflows) = whole.multipliedReportingOverflow(by: 1 << shift)
        // A fraction of very many nines is 1 as a Double.
        let fraction = parts.count == 1 ? 0 : (Double("0." + parts[1]) ?? 0) * Double(UInt64(1) << shift)
        let (sum, sumOverflows) = scaled.addingReportingOverflow(UInt64(fraction))
        guard !overflows, !sumOverflows else { throw tooLarge }
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
    package var description: String {
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
