import FoundationEssentials
import Platform

/// Encodes as programs and people like to read it.
func prettyJSON(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return ForeignText.json(String(decoding: try encoder.encode(value), as: UTF8.self)) + "\n"
}
