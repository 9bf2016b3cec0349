/// A line of the preprocessor.
package struct Directive: Sendable, Equatable {
    enum Kind: Sendable {
        /// `#if`, `#ifdef`, `#ifndef`
        case opens
        /// `#elif`, `#else` and the like
        case turns
        /// `#endif`
        case closes
        case include, define, other
    }

    let kind: Kind
    /// The whole line, from `#` on.
    let text: String
    /// Where it begins in the source.
    let offset: Int

    init?(_ token: Token) {
        guard token.kind == .directive else { return nil }
        text = token.text
        offset = token.range.lowerBound
        kind =
            switch Self.word(of: token.text) {
            case "if", "ifdef", "ifndef": .opens
            case "elif", "elifdef", "elifndef", "else": .turns
            case "endif": .closes
            case "include", "include_next", "import": .include
            case "define": .define
            default: .other
            }
    }

    /// Ends what copies of other lines have begun.
    static func end(at offset: Int) -> Directive { Directive(kind: .closes, text: "#endif", offset: offset) }

    private init(kind: Kind, text: String, offset: Int) {
        self.kind = kind
        self.text = text
        self.offset = offset
    }

    private static func word(of text: String) -> Substring {
        text.dropFirst().drop { $0 == " " || $0 == "\t" }.prefix { $0.isLetter || $0 == "_" }
    }

    /// What follows the directive's word.
    var rest: Substring { text[Self.word(of: text).endIndex...].drop { $0 == " " || $0 == "\t" } }

    /// Whether it is `#if 0`.
    var isNever: Bool {
        guard kind == .opens, Self.word(of: text) == "if", rest.first == "0" else { return false }
        let tail = rest.dropFirst().drop { $0 == " " || $0 == "\t" || $0 == "\r" }
        return tail.isEmpty || tail.hasPrefix("//") || tail.hasPrefix("/*")
    }

    /// The file that it includes, and whether that stands in angle brackets.
    var includedFile: (path: Substring, isAngled: Bool)? {
        guard kind == .include, let quote = rest.first, quote == "<" || quote == "\"" else { return nil }
        let path = rest.dropFirst().prefix { $0 != (quote == "<" ? ">" : "\"") && $0 != "\n" }
        return path.endIndex < rest.endIndex ? (path, quote == "<") : nil
    }

    /// Where the path of the included file is. Counted in the source's bytes, which need not be those of `text`.
    func pathRange(in source: InterfaceSource) -> Range<Int>? {
        let quotes = [UInt8(ascii: "<"), UInt8(ascii: "\"")]
        guard let open = source.bytes[offset...].firstIndex(where: { quotes.contains($0) }) else { return nil }
        let closing = source.bytes[open] == quotes[0] ? UInt8(ascii: ">") : quotes[1]
        return source.bytes[(open + 1)...].firstIndex(of: closing).map { (open + 1)..<$0 }
    }
}

/// One way through a conditional of the preprocessor.
struct Branch: Sendable, Equatable {
    /// Where the conditional begins in the source.
    let group: Int
    /// Where this branch begins.
    let offset: Int
    /// The lines from the conditional's first to the one that begins this branch.
    let directives: [Directive]
    /// Whether it only keeps the file from being read twice.
    var isGuard = false

    /// Whether it began with such a line: `#ifndef NAME`.
    func isOpened(by word: String, with rest: Substring) -> Bool {
        directives.count == 1 && directives[0].text.contains(word)
            && directives[0].rest.prefix { !$0.isWhitespace } == rest.prefix { !$0.isWhitespace }
    }

    /// Whether no text can be in both.
    func excludes(_ other: Branch) -> Bool { group == other.group && offset != other.offset }
}
