/// A property value of the registry, as far as storage drivers use them.
public enum OSPropertyValue: Sendable, Equatable {
    case number(UInt64)
    case boolean(Bool)
    case string(String)
    case dictionary([String: OSPropertyValue])

    /// The dictionary, or nil for another type.
    public var dictionaryValue: [String: OSPropertyValue]? {
        if case .dictionary(let value) = self { value } else { nil }
    }

    /// The number, or nil for another type.
    public var numberValue: UInt64? {
        if case .number(let value) = self { value } else { nil }
    }
}

extension OSPropertyValue: ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByStringLiteral {
    public init(integerLiteral value: UInt64) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
    public init(stringLiteral value: String) { self = .string(value) }
}

/// A dictionary of registry properties.
public typealias OSDictionary = [String: OSPropertyValue]
