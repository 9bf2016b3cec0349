import FoundationEssentials
import Platform

/// Encodes a value as indented JSON with sorted keys.
func prettyJSON(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return ForeignText.json(String(decoding: try encoder.encode(value), as: UTF8.self)) + "\n"
}
