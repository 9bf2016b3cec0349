/// Cuts a source into tokens. Comments vanish, and so does what `#if 0` excludes.
struct Lexer {
    private let source: InterfaceSource
    private let bytes: [UInt8]
    private var position = 0
    private var isFirstOnLine = true
    private var hasSpaceBefore = false
    /// Where a comment begins that does not end.
    private var openComment: Int?

    private init(_ source: InterfaceSource) {
        self.source = source
        bytes = source.bytes
    }

    /// All tokens; the last is the end. Only a comment that does not end is reported here: what lies outside of classes
    /// is for the compiler to judge.
    static func tokens(of source: InterfaceSource) -> (tokens: [Token], diagnostics: [InterfaceDiagnostic]) {
        var lexer = Lexer(source)
        var tokens: [Token] = []
        repeat {
            tokens.append(lexer.next())
            if Directive(tokens[tokens.count - 1])?.isNever == true { lexer.skipExcluded() }
        } while tokens[tokens.count - 1].kind != .end
        let diagnostics = lexer.openComment.map {
            [InterfaceDiagnostic(.error, "the comment does not end", at: $0, of: source)]
        }
        return (tokens, diagnostics ?? [])
    }

    /// Stops before the directive that ends what `#if 0` excludes.
    private mutating func skipExcluded() {
        var depth = 0
        while true {
            let before = self
            let token = next()
            if token.kind == .end {
                self = before
                return
            }
            guard let directive = Directive(token) else { continue }
            if directive.kind == .opens { depth += 1 }
            if depth == 0 && (directive.kind == .turns || directive.kind == .closes) {
                self = before
                return
            }
            if directive.kind == .closes { depth -= 1 }
        }
    }

    private func byte(_ ahead: Int = 0) -> UInt8 {
        position + ahead < bytes.count ? bytes[position + ahead] : 0
    }

    private mutating func next() -> Token {
        skipSpace()
        let start = position
        guard start < bytes.count else { return token(.end, from: start) }
        if byte() == UInt8(ascii: "#") && isFirstOnLine {
            skipDirective()
            return token(.directive, from: start)
        }
        if isWordByte(byte()) && !isDigit(byte()) {
            while isWordByte(byte()) { position += 1 }
            if byte() == UInt8(ascii: "\""), source.text(start..<position).hasSuffix("R") {
                return token(skipRawString() ? .literal : .unfinished, from: start)
            }
            return token(.identifier, from: start)
        }
        if isDigit(byte()) || byte() == UInt8(ascii: ".") && isDigit(byte(1)) {
            skipNumber()
            return token(.number, from: start)
        }
        if byte() == UInt8(ascii: "\"") || byte() == UInt8(ascii: "'") {
            return token(skipLiteral() ? .literal : .unfinished, from: start)
        }
        position +=
            Self.longSigns.first { source.text(start..<min(start + $0.utf8.count, bytes.count)) == $0 }?
            .utf8.count ?? 1
        return token(.punctuator, from: start)
    }

    private static let longSigns = ["...", "::", "->", "&&"]

    private mutating func token(_ kind: Token.Kind, from start: Int) -> Token {
        let token = Token(
            kind: kind, text: source.text(start..<position), range: start..<position, isFirstOnLine: isFirstOnLine,
            hasSpaceBefore: hasSpaceBefore)
        isFirstOnLine = false
        hasSpaceBefore = false
        return token
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch byte() {
            case UInt8(ascii: "\n"):
                isFirstOnLine = true
                position += 1
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), 0x0B, 0x0C: position += 1
            case UInt8(ascii: "\\") where lineEndLength(1) > 0: position += 1 + lineEndLength(1)
            case UInt8(ascii: "/") where byte(1) == UInt8(ascii: "/"): skipLine()
            case UInt8(ascii: "/") where byte(1) == UInt8(ascii: "*"): skipComment()
            default: return
            }
            hasSpaceBefore = true
        }
    }

    /// The length of the end of a line so many bytes ahead, or 0.
    private func lineEndLength(_ ahead: Int) -> Int {
        if byte(ahead) == UInt8(ascii: "\n") { return 1 }
        return byte(ahead) == UInt8(ascii: "\r") && byte(ahead + 1) == UInt8(ascii: "\n") ? 2 : 0
    }

    /// Stops at the end of the line, or of the line that it continues on.
    private mutating func skipLine() {
        while position < bytes.count, byte() != UInt8(ascii: "\n") { position += 1 + continuationLength }
        stepBackOverReturn()
    }

    /// Like `skipLine`, but a comment in between may have several lines.
    private mutating func skipDirective() {
        while position < bytes.count, byte() != UInt8(ascii: "\n") {
            switch (byte(), byte(1)) {
            case (UInt8(ascii: "/"), UInt8(ascii: "/")): return skipLine()
            case (UInt8(ascii: "/"), UInt8(ascii: "*")): skipComment()
            case (UInt8(ascii: "\""), _): _ = skipLiteral()
            default: position += 1 + continuationLength
            }
        }
        stepBackOverReturn()
    }

    /// The length of the end of the line if the byte here says that the line continues on the next one, or 0.
    private var continuationLength: Int { byte() == UInt8(ascii: "\\") ? lineEndLength(1) : 0 }

    private mutating func stepBackOverReturn() {
        if position > 0, position < bytes.count, bytes[position - 1] == UInt8(ascii: "\r") { position -= 1 }
    }

    private mutating func skipComment() {
        let start = position
        position += 2
        while position < bytes.count {
            if byte() == UInt8(ascii: "*") && byte(1) == UInt8(ascii: "/") {
                position += 2
                return
            }
            position += 1
        }
        openComment = start
    }

    private mutating func skipNumber() {
        while isWordByte(byte()) || byte() == UInt8(ascii: ".") || byte() == UInt8(ascii: "'") && isWordByte(byte(1)) {
            let isExponent = [UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "p"), UInt8(ascii: "P")]
                .contains(byte())
            position += 1
            if isExponent && (byte() == UInt8(ascii: "+") || byte() == UInt8(ascii: "-")) { position += 1 }
        }
    }

    /// Whether the literal ends on its line.
    private mutating func skipLiteral() -> Bool {
        let quote = byte()
        position += 1
        while position < bytes.count, byte() != UInt8(ascii: "\n") {
            if byte() == quote {
                position += 1
                return true
            }
            position += byte() == UInt8(ascii: "\\") ? 1 + max(1, lineEndLength(1)) : 1
            position = min(position, bytes.count)
        }
        return false
    }

    /// R"mark( ... )mark"
    private mutating func skipRawString() -> Bool {
        position += 1
        let start = position
        while position < bytes.count, byte() != UInt8(ascii: "("), position - start <= 16 { position += 1 }
        let mark = [UInt8(ascii: ")")] + bytes[start..<position] + [UInt8(ascii: "\"")]
        while position + mark.count <= bytes.count {
            if bytes[position..<position + mark.count].elementsEqual(mark) {
                position += mark.count
                return true
            }
            position += 1
        }
        position = bytes.count
        return false
    }

    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
            true
        default: false
        }
    }
}
