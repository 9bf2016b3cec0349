import SCSIControllerDriverKit

/// One object of the registry, with the objects below it.
package struct RegistryNode: Codable, Equatable, Sendable {
    /// The object's name as IORegistryExplorer shows it, with "@" and the unit address where there is one.
    package var name: String
    /// The object's class.
    package var className: String
    /// The superclass, if the class is a driver's own.
    package var superclassName: String?
    /// The properties, by their keys.
    package var properties: [String: RegistryValue]
    /// The objects directly below.
    package var children: [RegistryNode] = []

    /// The object's line: "RAIDDriver  <class IOUserSCSIParallelInterfaceController>".
    var title: String {
        "\(name)  <class \(superclassName.map { "\($0):" } ?? "")\(className)>"
    }
}

/// A property's value.
package enum RegistryValue: Equatable, Sendable {
    case number(UInt64)
    case boolean(Bool)
    case string(String)
    case data([UInt8])
    case array([RegistryValue])
    case dictionary([String: RegistryValue])

    /// The value on one line: numbers in decimal and hexadecimal, Yes and No, data in angle brackets, arrays in
    /// parentheses, dictionaries in braces.
    var text: String {
        switch self {
        case .number(let value): "\(value) (0x\(String(value, radix: 16)))"
        case .boolean(let value): value ? "Yes" : "No"
        case .string(let value): "\"\(value)\""
        case .data(let bytes): Self.text(of: bytes)
        case .array(let values): "(" + values.map(\.text).joined(separator: ",") + ")"
        case .dictionary(let values):
            "{" + values.keys.sorted().map { "\"\($0)\"=\(values[$0]!.text)" }.joined(separator: ", ") + "}"
        }
    }
}

extension RegistryValue {
    /// Data as ioreg shows it: "<00a1>".
    private static func text(of bytes: [UInt8]) -> String {
        "<" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + ">"
    }

    /// The bytes of such a text; nil for another one.
    private static func bytes(of text: String) -> [UInt8]? {
        guard text.hasPrefix("<"), text.hasSuffix(">"), text.utf8.count.isMultiple(of: 2) else { return nil }
        let digits = text.dropFirst().dropLast().compactMap(\.hexDigitValue)
        guard digits.count == text.utf8.count - 2 else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

/// In JSON, data is a text in angle brackets.
extension RegistryValue: Codable {
    /// Decodes a bare JSON value.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(UInt64.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = Self.bytes(of: value).map { .data($0) } ?? .string(value)
        } else if let value = try? container.decode([RegistryValue].self) {
            self = .array(value)
        } else {
            self = .dictionary(try container.decode([String: RegistryValue].self))
        }
    }

    /// Encodes the bare value.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let value): try container.encode(value)
        case .boolean(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .data(let bytes): try container.encode(Self.text(of: bytes))
        case .array(let values): try container.encode(values)
        case .dictionary(let values): try container.encode(values)
        }
    }
}
