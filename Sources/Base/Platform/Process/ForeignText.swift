/// A text from outside this program, or one that contains such a text, as one line that is safe to display. Examples: a
/// name from a superblock or a directory, a driver's or a server's message.
///
/// Characters that a terminal obeys or a reader cannot see are written as numbers (`\u{1b}`): control characters, line
/// ends, marks that change the writing direction, and others without a shape. Texts for people are made of this type;
/// JSON and Prometheus have escapes of their own.
package struct ForeignText: Sendable, Hashable, CustomStringConvertible {
    /// The most bytes of UTF-8 that are kept. A cut text ends with "...".
    package static let byteCountMax = 8192

    /// The escaped line.
    package let description: String

    /// - Parameter byteCountMax: the line's limit in bytes of UTF-8, without the "..." at its end.
    package init(_ text: String, byteCountMax: Int = Self.byteCountMax) {
        if text.utf8.count <= byteCountMax && Self.isPlain(text, endsOfLines: false) {
            description = text
            return
        }
        var line = ""
        for scalar in text.unicodeScalars {
            let shown = Self.isFit(scalar) ? String(scalar) : Self.number(scalar)
            guard line.utf8.count + shown.utf8.count <= byteCountMax else {
                line += "..."
                break
            }
            line += shown
        }
        description = line
    }

    /// - Parameter bytes: UTF-8; invalid parts become U+FFFD.
    package init(bytes: some Collection<UInt8>, byteCountMax: Int = Self.byteCountMax) {
        self.init(String(decoding: bytes.prefix(byteCountMax + 1), as: UTF8.self), byteCountMax: byteCountMax)
    }

    /// Escapes several lines, and keeps their ends. For texts that this program divided into lines.
    package static func lines(_ text: String) -> String {
        if isPlain(text, endsOfLines: true) { return text }
        var shown = ""
        for scalar in text.unicodeScalars { shown += isFit(scalar) || scalar == "\n" ? String(scalar) : number(scalar) }
        return shown
    }

    /// Escapes the lines of a text from outside, `countMax` at most.
    package static func lines(bytes: some Collection<UInt8>, countMax: Int) -> [String] {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        return lines.prefix(countMax).map { Self(String($0), byteCountMax: 1024).description }
    }

    /// Replaces the unsafe characters of a JSON text by JSON's escapes. They can stand in its strings only.
    package static func json(_ text: String) -> String {
        if isPlain(text, endsOfLines: true) { return text }
        var escaped = ""
        for scalar in text.unicodeScalars {
            guard !isFit(scalar), scalar != "\n" else {
                escaped.unicodeScalars.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                escaped += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return escaped
    }

    /// Whether a character is a space or has a shape.
    package static func isFit(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7F }
        return switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
        default: true
        }
    }

    /// A character as its number: `\u{1b}`.
    package static func number(_ scalar: Unicode.Scalar) -> String { "\\u{\(String(scalar.value, radix: 16))}" }

    private static func isPlain(_ text: String, endsOfLines: Bool) -> Bool {
        text.utf8.allSatisfy { (0x20..<0x7F).contains($0) || (endsOfLines && $0 == 0x0A) }
    }
}
