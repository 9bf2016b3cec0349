import FoundationEssentials
import Platform

/// JSON, for users and for the control socket. Keys are in alphabetical order.
package enum JSONText {
    /// One line for users, without its end: a space behind each colon and comma, and no character that acts on a
    /// terminal.
    ///
    /// - Throws: `EncodingError`, for a number that is not finite.
    package static func line(_ value: some Encodable) throws -> String {
        ForeignText.json(spaced(try encode(value)))
    }

    /// Indented lines for users, with the last line's end and no character that acts on a terminal.
    ///
    /// - Throws: `EncodingError`, for a number that is not finite.
    package static func page(_ value: some Encodable) throws -> String {
        ForeignText.json(String(decoding: try encode(value, .prettyPrinted), as: UTF8.self)) + "\n"
    }

    /// One line for programs, in UTF-8 and without its end.
    ///
    /// - Throws: `EncodingError`, for a number that is not finite.
    package static func encode(_ value: some Encodable) throws -> [UInt8] { try encode(value, []) }

    private static func encode(_ value: some Encodable, _ format: JSONEncoder.OutputFormatting) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, format]
        return Array(try encoder.encode(value))
    }

    /// Reads a value from bytes that anybody may have written.
    ///
    /// - Throws: `DecodingError`.
    package static func decode<Value: Decodable>(_ type: Value.Type, from bytes: some Sequence<UInt8>) throws -> Value {
        try JSONDecoder().decode(type, from: Data(bytes))
    }

    private static func spaced(_ json: [UInt8]) -> String {
        var text: [UInt8] = []
        var isInString = false
        var isEscaped = false
        for byte in json {
            text.append(byte)
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\"") {
                isInString.toggle()
            } else if isInString {
                isEscaped = byte == UInt8(ascii: "\\")
            } else if byte == UInt8(ascii: ":") || byte == UInt8(ascii: ",") {
                text.append(UInt8(ascii: " "))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
