/// The byte format in which registry properties cross the driver boundary.
///
/// A value is a letter and its content: `n` 8 bytes, `N` a number of bits (8, 16 or 32) and 8 bytes, `b` 1 byte, `s` a
/// length and UTF-8, `x` a length and bytes, `a` a count and as many values, `d` a count and as many pairs of a string
/// and a value. Lengths and counts are 4 bytes. All numbers are little-endian. Numbers are always written as `n`.
package enum PropertyCoder {
    /// The bytes of a dictionary.
    package static func encode(_ dictionary: OSDictionary) -> [UInt8] {
        var bytes: [UInt8] = []
        append(.dictionary(dictionary), to: &bytes)
        return bytes
    }

    /// The bytes of any value.
    package static func encode(_ value: OSPropertyValue) -> [UInt8] {
        var bytes: [UInt8] = []
        append(value, to: &bytes)
        return bytes
    }

    /// The dictionary in these bytes; nil when they are malformed.
    package static func decode(_ bytes: [UInt8]) -> OSDictionary? { decodeValue(bytes)?.dictionaryValue }

    /// The value in these bytes; nil when they are malformed.
    package static func decodeValue(_ bytes: [UInt8]) -> OSPropertyValue? {
        var reader = Reader(bytes: bytes[...])
        guard let value = reader.value(depth: 0), reader.bytes.isEmpty else { return nil }
        return value
    }

    private static func append(_ value: OSPropertyValue, to bytes: inout [UInt8]) {
        switch value {
        case .number(let number):
            bytes.append(UInt8(ascii: "n"))
            append(number, to: &bytes)
        case .boolean(let flag): bytes += [UInt8(ascii: "b"), flag ? 1 : 0]
        case .string(let text):
            bytes.append(UInt8(ascii: "s"))
            append(text, to: &bytes)
        case .data(let data):
            bytes.append(UInt8(ascii: "x"))
            append(UInt32(data.count), to: &bytes)
            bytes += data
        case .array(let values):
            bytes.append(UInt8(ascii: "a"))
            append(UInt32(values.count), to: &bytes)
            for value in values { append(value, to: &bytes) }
        case .dictionary(let dictionary):
            bytes.append(UInt8(ascii: "d"))
            append(UInt32(dictionary.count), to: &bytes)
            for (key, value) in dictionary.sorted(by: { $0.key < $1.key }) {
                append(key, to: &bytes)
                append(value, to: &bytes)
            }
        }
    }

    private static func append(_ text: String, to bytes: inout [UInt8]) {
        append(UInt32(text.utf8.count), to: &bytes)
        bytes += text.utf8
    }

    private static func append<Integer: FixedWidthInteger>(_ value: Integer, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    private struct Reader {
        static let depthMax = 8
        static let memberCountMax: UInt32 = 4096
        var bytes: ArraySlice<UInt8>

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard count <= bytes.count else { return nil }
            defer { bytes = bytes.dropFirst(count) }
            return bytes.prefix(count)
        }

        mutating func integer<Integer: FixedWidthInteger & UnsignedInteger>(_ type: Integer.Type) -> Integer? {
            take(MemoryLayout<Integer>.size)?.reversed().reduce(0) { $0 << 8 | Integer($1) }
        }

        mutating func text() -> String? {
            guard let count = integer(UInt32.self), let bytes = take(Int(count)) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }

        mutating func value(depth: Int) -> OSPropertyValue? {
            guard depth < Self.depthMax, let letter = take(1)?.first else { return nil }
            switch letter {
            case UInt8(ascii: "n"): return integer(UInt64.self).map { .number($0) }
            case UInt8(ascii: "N"):
                guard let bits = take(1)?.first, [8, 16, 32].contains(bits) else { return nil }
                return integer(UInt64.self).map { .number($0) }
            case UInt8(ascii: "b"): return take(1)?.first.map { .boolean($0 != 0) }
            case UInt8(ascii: "s"): return text().map { .string($0) }
            case UInt8(ascii: "x"):
                return integer(UInt32.self).flatMap { take(Int($0)) }.map { .data(Array($0)) }
            case UInt8(ascii: "a"): return array(depth: depth).map { .array($0) }
            case UInt8(ascii: "d"): return dictionary(depth: depth).map { .dictionary($0) }
            default: return nil
            }
        }

        private mutating func array(depth: Int) -> OSArray? {
            guard let count = integer(UInt32.self), count <= Self.memberCountMax else { return nil }
            var values: OSArray = []
            for _ in 0..<count {
                guard let value = value(depth: depth + 1) else { return nil }
                values.append(value)
            }
            return values
        }

        private mutating func dictionary(depth: Int) -> OSDictionary? {
            guard let count = integer(UInt32.self), count <= Self.memberCountMax else { return nil }
            var dictionary: OSDictionary = [:]
            for _ in 0..<count {
                guard let key = text(), let value = value(depth: depth + 1) else { return nil }
                dictionary[key] = value
            }
            return dictionary
        }
    }
}
