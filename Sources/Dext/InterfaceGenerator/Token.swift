/// A piece of the source: a word, a number, a sign, or a whole line of the preprocessor.
package struct Token: Sendable, Equatable {
    enum Kind: Sendable {
        case identifier, number, literal, punctuator
        /// From `#` to the end of the line, with the lines that it continues on.
        case directive
        /// A literal that does not end on its line.
        case unfinished
        case end
    }

    let kind: Kind
    /// As in the source.
    let text: String
    let range: Range<Int>
    let isFirstOnLine: Bool
    let hasSpaceBefore: Bool

    static func == (token: Token, text: String) -> Bool { token.kind != .literal && token.text == text }
    static func != (token: Token, text: String) -> Bool { !(token == text) }

    /// Whether it is a word that names something: neither C++'s own words nor signs.
    var isName: Bool { kind == .identifier && !Self.keywords.contains(text) }

    private static let keywords: Set = [
        "alignas", "auto", "bool", "case", "char", "char16_t", "char32_t", "char8_t", "class", "const", "constexpr",
        "consteval", "constinit", "decltype", "default", "delete", "double", "else", "enum", "explicit", "extern",
        "false", "float", "for", "friend", "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept",
        "nullptr", "operator", "private", "protected", "public", "return", "short", "signed", "sizeof", "static",
        "static_assert", "struct", "switch", "template", "this", "throw", "true", "typedef", "typename", "union",
        "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "__attribute__", "__block",
    ]
}

extension Sequence where Element == Token {
    /// The tokens in one line: comments and breaks between them are single spaces.
    var joined: String {
        var text = ""
        for token in self {
            if token.hasSpaceBefore && !text.isEmpty { text += " " }
            text += token.text
        }
        return text
    }
}
