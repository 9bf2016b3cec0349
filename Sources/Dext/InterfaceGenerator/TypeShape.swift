/// A type, as far as it can be told without a compiler.
struct TypeShape: Equatable {
    /// The word that it is made of, with one name for all that mean the same.
    let word: String
    /// The whole type. The same type has the same text, unless a typedef is in between.
    let text: String
    /// Whether the word is one of C's own or of stdint.h.
    let isBuiltIn: Bool

    init(_ tokens: [Token]) {
        let tokens = tokens.filter { !["struct", "class", "enum", "union", "typename"].contains($0.text) }
        let bracket = tokens.firstIndex { $0 == "[" } ?? tokens.endIndex
        let base = tokens.prefix { $0 != "*" && $0 != "&" && $0 != "[" }
        let words = base.filter { $0 != "const" && $0 != "volatile" }.map(\.text).joined(separator: " ")
        let stars = tokens[..<bracket].count { $0 == "*" } + (bracket < tokens.endIndex ? 1 : 0)
        let references = tokens.count { $0 == "&" }
        let isConst = base.contains { $0 == "const" } && stars + references > 0
        let isPlain = tokens.allSatisfy { token in
            ["*", "&", "[", "]"].contains(token.text) || token.kind == .identifier || token.kind == .number
        }
        word = Self.same[words] ?? words
        isBuiltIn = isPlain && Self.same[words] != nil
        let signs = String(repeating: "*", count: stars) + String(repeating: "&", count: references)
        text = isPlain ? (isConst ? "const " : "") + word + signs : tokens.map(\.text).joined(separator: " ")
    }

    private static let same: [String: String] = [
        "void": "void", "bool": "bool", "float": "float", "double": "double", "char": "char",
        "int8_t": "int8_t", "SInt8": "int8_t", "signed char": "int8_t",
        "uint8_t": "uint8_t", "UInt8": "uint8_t", "unsigned char": "uint8_t",
        "int16_t": "int16_t", "SInt16": "int16_t", "short": "int16_t",
        "uint16_t": "uint16_t", "UInt16": "uint16_t", "unsigned short": "uint16_t",
        "int32_t": "int32_t", "SInt32": "int32_t", "int": "int32_t", "kern_return_t": "int32_t", "IOReturn": "int32_t",
        "uint32_t": "uint32_t", "UInt32": "uint32_t", "unsigned": "uint32_t", "unsigned int": "uint32_t",
        "int64_t": "int64_t", "SInt64": "int64_t", "long": "int64_t", "long long": "int64_t",
        "uint64_t": "uint64_t", "UInt64": "uint64_t", "unsigned long": "uint64_t", "unsigned long long": "uint64_t",
        "size_t": "uint64_t",
    ]
}

extension Parameter {
    var shape: TypeShape { TypeShape(before + after) }

    /// The type without a name. An array without a bound is a pointer, as in C.
    var type: String {
        if after.first?.text == "[", after.count > 1, after[1] == "]" {
            let rest = after.dropFirst(2)
            return before.joined + (rest.isEmpty ? " *" : " (*)" + rest.joined)
        }
        return type(of: after)
    }

    private func type(of after: [Token]) -> String {
        before.joined + (after.first.map { $0 == "[" } == true ? " " : "") + after.joined
    }

    /// The parameter without attributes and default value, under its own name or, if it has none, under another.
    func declaration(named other: String? = nil) -> String {
        guard let name = name ?? other else { return type(of: after) }
        let needsSpace = hasSpaceBeforeName || before.last.map { $0.kind == .identifier || $0 == ">" } ?? false
        return before.joined + (needsSpace ? " " : "") + name + after.joined
    }

    var isVariadic: Bool { before.first?.text == "..." }
    var isReference: Bool { before.last.map { $0 == "&" || $0 == "&&" } ?? false }
}
