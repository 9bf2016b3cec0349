/// A text that somebody else wrote, or that holds such a text, as one line that is fit to be shown: a name from a superblock
/// or a directory, what a driver or a server says.
///
/// What a terminal takes for a command, and what a reader cannot see, is written as its number (`\u{1b}`): control characters
/// with the ends of lines, marks that turn the direction of writing, and others without a shape. Texts for people are made of
/// this; JSON and Prometheus have escapes of their own.
package struct ForeignText: Sendable, Hashable, CustomStringConvertible {
    /// What is left of a longer text ends with "...".
    package static let byteCountMax = 8192

    package let description: String

    /// - Parameter byteCountMax: what the line may have, but for the "..." at its end.
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

    /// - Parameter bytes: UTF-8; what is not is replaced by U+FFFD.
    package init(bytes: some Collection<UInt8>, byteCountMax: Int = Self.byteCountMax) {
        self.init(String(decoding: bytes.prefix(byteCountMax + 1), as: UTF8.self), byteCountMax: byteCountMax)
    }

    /// Several lines, fit to be shown. For what prints texts whose lines were made by this program.
    package static func lines(_ text: String) -> String {
        if isPlain(text, endsOfLines: true) { return text }
        var shown = ""
        for scalar in text.unicodeScalars { shown += isFit(scalar) || scalar == "\n" ? String(scalar) : number(scalar) }
        return shown
    }

    /// Several lines that somebody else wrote, so many at most.
    package static func lines(bytes: some Collection<UInt8>, countMax: Int) -> [String] {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        return lines.prefix(countMax).map { Self(String($0), byteCountMax: 1024).description }
    }

    /// Writes what is not fit to be shown as JSON does it. In a JSON text that stands only in strings.
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

    /// Whether a character has a shape, or is a space.
    package static func isFit(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7F }
        return switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
        default: true
        }
    }

    /// A character as its number.
    package static func number(_ scalar: Unicode.Scalar) -> String { "\\u{\(String(scalar.value, radix: 16))}" }

    private static func isPlain(_ text: String, endsOfLines: Bool) -> Bool {
        text.utf8.allSatisfy { (0x20..<0x7F).contains($0) || (endsOfLines && $0 == 0x0A) }
    }
}
