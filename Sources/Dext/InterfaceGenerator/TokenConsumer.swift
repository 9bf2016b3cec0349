/// A place among a file's tokens.
struct Cursor {
    let source: InterfaceSource
    let tokens: [Token]
    var macros: AttributeMacros
    var index = 0
}

/// Goes from token to token.
protocol TokenConsumer {
    var cursor: Cursor { get set }
}

extension TokenConsumer {
    var tokens: [Token] { cursor.tokens }
    var index: Int {
        get { cursor.index }
        set { cursor.index = newValue }
    }
    var current: Token { tokens[index] }
    var next: Token { tokens[min(index + 1, tokens.count - 1)] }
    var previous: Token { tokens[max(0, index - 1)] }
    var reader: AttributeReader { AttributeReader(tokens: tokens, macros: cursor.macros) }

    /// Something is missing: where the token before ended if the line does, or else at the current one.
    func expected(_ what: String, _ purpose: String) -> Failure {
        let offset =
            current.isFirstOnLine || current.kind == .end ? previous.range.upperBound : current.range.lowerBound
        return Failure("expected \(what) \(purpose)", at: offset)
    }

    /// Whether the current word can only be a member's first.
    var beginsMember: Bool {
        ["virtual", "static", "public", "protected", "private", "friend", "using", "typedef", "template"]
            .contains { current == $0 }
    }

    /// Something up to the semicolon, with it. Returns its place in the source.
    mutating func parseStatement(after what: String? = nil) throws(Failure) -> Range<Int> {
        let start = current.range.lowerBound
        let word = what ?? current.text
        while current != ";" {
            let isOver = current.kind == .end || current.kind == .directive || current == "}"
            guard !isOver, !(current.isFirstOnLine && beginsMember && (what != nil || current.range.lowerBound > start))
            else {
                throw expected("';'", "after '\(word)'")
            }
            try checkLiteral()
            if ["(", "[", "{"].contains(where: { current == $0 }) { try skipBrackets() }
            index += 1
        }
        index += 1
        return start..<previous.range.upperBound
    }

    /// Stops at the bracket that ends the current one.
    mutating func skipBrackets() throws(Failure) {
        let open = current
        let (end, stop) = tokens.matchingEnd(from: index)
        guard let end else {
            let closing = ["(": ")", "[": "]", "{": "}"][open.text] ?? ""
            index = min(stop, tokens.count - 1)
            try checkLiteral()
            throw Failure(
                "expected '\(closing)'",
                at: current.kind == .end ? previous.range.upperBound : current.range.lowerBound,
                note: ("to match this '\(open.text)'", open.range.lowerBound))
        }
        index = end
    }

    func checkLiteral() throws(Failure) {
        if current.kind == .unfinished {
            throw Failure("the literal does not end on its line", at: current.range.lowerBound)
        }
    }
}
