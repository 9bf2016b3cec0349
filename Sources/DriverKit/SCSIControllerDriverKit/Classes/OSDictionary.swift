/// A property value of the registry, of a type that storage drivers use.
public enum OSPropertyValue: Sendable, Equatable {
    /// A number of at most 64 bits (OSNumber).
    case number(UInt64)
    /// Yes or no (OSBoolean).
    case boolean(Bool)
    /// A text (OSString).
    case string(String)
    /// Bytes (OSData).
    case data([UInt8])
    /// Values in order (OSArray).
    case array([OSPropertyValue])
    /// Values by name (OSDictionary).
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

extension OSPropertyValue {
    /// The text, or nil for another type.
    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }
}

extension OSPropertyValue: ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByStringLiteral {
    /// A number from a literal.
    public init(integerLiteral value: UInt64) { self = .number(value) }
    /// A boolean from a literal.
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
    /// A text from a literal.
    public init(stringLiteral value: String) { self = .string(value) }
}

/// A dictionary of registry properties.
public typealias OSDictionary = [String: OSPropertyValue]

/// An array of registry properties.
public typealias OSArray = [OSPropertyValue]
