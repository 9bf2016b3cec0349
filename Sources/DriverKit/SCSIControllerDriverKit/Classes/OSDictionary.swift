/// A property value of the registry, as far as storage drivers use them.
public enum OSPropertyValue: Sendable, Equatable {
    /// A number of any size that fits 64 bits (OSNumber).
    case number(UInt64)
    /// Yes or no (OSBoolean).
    case boolean(Bool)
    /// A text (OSString).
    case string(String)
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

extension OSPropertyValue: ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByStringLiteral {
    /// A number, where a value is written as one.
    public init(integerLiteral value: UInt64) { self = .number(value) }
    /// Yes or no, where a value is written as `true` or `false`.
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
    /// A text, where a value is written as one.
    public init(stringLiteral value: String) { self = .string(value) }
}

/// A dictionary of registry properties.
public typealias OSDictionary = [String: OSPropertyValue]
