/// A key of a JSON object whose keys are data: the names of kinds, or of buckets.
package struct NameKey: CodingKey, ExpressibleByStringLiteral {
    /// The name.
    package let stringValue: String
    /// Nil: no key is a number.
    package var intValue: Int? { nil }

    /// - Parameter name: the key.
    package init(_ name: String) { stringValue = name }
    /// The same, for a literal.
    package init(stringLiteral name: String) { stringValue = name }
    /// Never nil.
    package init?(stringValue: String) { self.stringValue = stringValue }
    /// Always nil.
    package init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer<NameKey> {
    /// The values of some keys, in the order of the names.
    ///
    /// - Throws: `DecodingError` when a key is missing.
    package func decode<Value: Decodable>(by names: [String]) throws -> [Value] {
        try names.map { try decode(Value.self, forKey: NameKey($0)) }
    }

    /// The values under the names of the kinds.
    ///
    /// - Throws: `DecodingError` when a kind is missing.
    func decodeKinds<Kind, Value: Decodable>() throws -> KindTable<Kind, Value> {
        try KindTable { try decode(Value.self, forKey: NameKey($0.name)) }
    }
}

extension KeyedEncodingContainer<NameKey> {
    /// Writes each value under its name: the first one under the first name, and so on.
    package mutating func encode(_ values: [some Encodable], by names: [String]) throws {
        for (name, value) in zip(names, values) { try encode(value, forKey: NameKey(name)) }
    }

    /// Writes each value under the name of its kind.
    mutating func encode(_ table: KindTable<some CountedKind, some Encodable>) throws {
        for (kind, value) in table.pairs { try encode(value, forKey: NameKey(kind.name)) }
    }
}
