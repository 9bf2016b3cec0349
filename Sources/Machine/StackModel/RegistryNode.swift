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
    case dictionary([String: RegistryValue])

    /// The value on one line: numbers in decimal and hexadecimal, Yes and No, dictionaries in braces.
    var text: String {
        switch self {
        case .number(let value): "\(value) (0x\(String(value, radix: 16)))"
        case .boolean(let value): value ? "Yes" : "No"
        case .string(let value): "\"\(value)\""
        case .dictionary(let values):
            "{" + values.keys.sorted().map { "\"\($0)\"=\(values[$0]!.text)" }.joined(separator: ", ") + "}"
        }
    }
}

extension RegistryValue: Codable {
    /// Decodes a bare JSON value.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(UInt64.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
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
        case .dictionary(let values): try container.encode(values)
        }
    }
}
