/// Reads one declaration in a class: a method, a data member, or a macro that stands for something.
struct DeclarationParser: TokenConsumer {
    var cursor: Cursor
    /// The conditionals around the declaration.
    let path: [Branch]

    /// What has been read of a declaration before its parameters.
    private struct Beginning {
        /// The words up to the name, with it.
        var head: [Token] = []
        var attributes: [Attribute] = []
        let start: Int
    }

    /// Reads it, in a class of this name.
    mutating func parse(in name: Token) throws(Failure) -> [Member] {
        var beginning = Beginning(start: current.range.lowerBound)
        while true {
            try checkLiteral()
            if let (attributes, end) = try reader.attributes(at: index) {
                beginning.attributes += attributes
                index = end
            } else if current == "[" && next == "[" && beginning.head.isEmpty {
                try skipBrackets()
                index += 1
            } else if current == "operator" {
                return [try parseOperator(beginning)]
            } else if current == "(" {
                if let members = try parseParenthesis(&beginning, in: name) { return members }
            } else if ["=", "{", "[", ":", ",", ";"].contains(where: { current == $0 }) {
                return try parseField(beginning)
            } else if current == "~" {
                throw Failure("a class of DriverKit has no destructor; write free()", at: current.range.lowerBound)
            } else if current == "<" {
                guard let end = tokens.angleEnd(from: index) else {
                    throw expected("'>'", "to end the template's arguments")
                }
                beginning.head += tokens[index...end]
                index = end + 1
            } else {
                try checkWord(beginning)
                beginning.head.append(current)
                index += 1
            }
        }
    }

    /// Refuses what cannot stand in a declaration.
    private func checkWord(_ beginning: Beginning) throws(Failure) {
        let isOver = current.kind == .end || current.kind == .directive || current == "}"
        if isOver || current.isFirstOnLine && beginsMember && !beginning.head.isEmpty {
            throw expected("';'", "after '\(beginning.head.last?.text ?? previous.text)'")
        }
        let signs = ["*", "&", "&&", "^", "::", "..."]
        guard current.kind == .identifier || current.kind == .punctuator && signs.contains(current.text) else {
            throw Failure("expected a method or a data member, not '\(current.text)'", at: current.range.lowerBound)
        }
    }

    /// Decides what a parenthesis is. Nil: part of the type, and the declaration goes on.
    private mutating func parseParenthesis(
        _ beginning: inout Beginning, in name: Token
    ) throws(Failure) -> [Member]? {
        let open = current
        guard let word = beginning.head.last else {
            throw Failure("expected a method or a data member, not '('", at: open.range.lowerBound)
        }
        if ["__attribute__", "alignas", "decltype", "explicit"].contains(word.text) {
            let start = index
            try skipBrackets()
            beginning.head += tokens[start...index]
            index += 1
            return nil
        }
        if next == "*" || next == "^" { return try parseFunctionPointer(beginning) }
        guard word.isName else {
            throw Failure("expected the name of a method before '('", at: open.range.lowerBound)
        }
        guard beginning.head.count == 1 else { return [try parseMethod(beginning, name: word.text)] }
        if word.text == name.text {
            throw Failure("a class of DriverKit has no constructor; write init()", at: word.range.lowerBound)
        }
        try skipBrackets()
        index += 1
        if current == ";" {
            index += 1
            return [.kept(beginning.start..<previous.range.upperBound)]
        }
        guard current.kind == .identifier, try reader.attributes(at: index) == nil, current != "const" else {
            throw Failure("expected what '\(word.text)' returns", at: word.range.lowerBound)
        }
        // A macro with arguments in front of the declaration: the compiler's business.
        beginning.head = []
        return nil
    }

    /// A data member whose type is written around its name.
    private mutating func parseFunctionPointer(_ beginning: Beginning) throws(Failure) -> [Member] {
        let end = tokens.matchingEnd(from: index).end ?? index
        let inner = tokens[index..<end]
        let name = inner.first { $0.isName } ?? current
        if let nested = inner.dropFirst().firstIndex(where: { $0 == "(" }), tokens[nested - 1].isName {
            throw Failure(
                "'\(name.text)' returns a pointer to a function; give its type a name by typedef",
                at: name.range.lowerBound)
        }
        _ = try parseStatement(after: name.text)
        return [field(beginning, name: name)]
    }

    private func field(_ beginning: Beginning, name: Token) -> Member {
        if beginning.head.contains(where: { $0 == "static" }) {
            return .kept(beginning.start..<previous.range.upperBound)
        }
        return .field(name: name.text, offset: name.range.lowerBound)
    }

    private mutating func parseField(_ beginning: Beginning) throws(Failure) -> [Member] {
        guard let name = beginning.head.last, beginning.head.count > 1, name.isName else {
            throw Failure("expected a method or a data member before '\(current.text)'", at: current.range.lowerBound)
        }
        let start = index
        _ = try parseStatement(after: name.text)
        let members = [field(beginning, name: name)]
        if case .kept = members[0] { return members }
        var names: [Token] = []
        var depth = 0
        for (place, token) in zip(start..<index, tokens[start..<index]) where token.kind == .punctuator {
            if ["(", "[", "{"].contains(token.text) { depth += 1 }
            if [")", "]", "}"].contains(token.text) { depth -= 1 }
            if token == ",", depth == 0, let next = tokens[place..<index].first(where: \.isName) { names.append(next) }
        }
        return members + names.map { field(beginning, name: $0) }
    }

    private mutating func parseOperator(_ beginning: Beginning) throws(Failure) -> Member {
        var beginning = beginning
        let start = index
        index += 1
        if current == "(" && next == ")" { index += 2 }
        while current != "(" {
            guard current.kind == .punctuator || current.kind == .identifier, current != ";", current != "}" else {
                throw expected("'('", "after the operator")
            }
            index += 1
        }
        beginning.head += tokens[start..<index]
        return try parseMethod(beginning, name: tokens[start..<index].map(\.text).joined())
    }

    // MARK: Methods

    private static let specifiers: Set<String> = ["virtual", "static", "inline", "constexpr", "explicit", "extern"]

    /// A method, from its parameters on.
    private mutating func parseMethod(_ beginning: Beginning, name: String) throws(Failure) -> Member {
        let open = index
        let (end, stop) = tokens.matchingEnd(from: index)
        guard let end else {
            index = min(stop, tokens.count - 1)
            try checkLiteral()
            throw Failure(
                "expected ')' to end the parameters of '\(name)'",
                at: current.isFirstOnLine ? previous.range.upperBound : current.range.lowerBound,
                note: ("to match this '('", tokens[open].range.lowerBound))
        }
        // If a parameter is wrong, the next member is looked for behind all of them.
        index = end + 1
        let parameters = try ParameterParser(tokens: tokens, reader: reader).parse((open + 1)..<end)
        let ending = try parseEnding(of: name)
        let head = beginning.head
        let nameCount = name.hasPrefix("operator") ? head.drop { $0 != "operator" }.count : 1
        let result = head.dropLast(nameCount).filter { !Self.specifiers.contains($0.text) }
        guard !result.isEmpty || name.hasPrefix("operator") else {
            throw Failure("expected what '\(name)' returns", at: head[head.count - nameCount].range.lowerBound)
        }
        let attributes = beginning.attributes + ending.attributes
        let declarationEnd = ending.bodyStart ?? index
        let declaration = tokens.within(beginning.start..<tokens[declarationEnd - 1].range.upperBound)
        let cut = attributes.map(\.range) + parameters.flatMap { $0.attributes.map(\.range) }
        return .method(
            Method(
                name: name, result: Array(result), parameters: parameters, attributes: attributes,
                words: Self.specifiers.intersection(head.dropLast(nameCount).map(\.text)).union(ending.words),
                isPure: ending.isPure,
                declaration: declaration.filter { token in
                    token != ";" && !cut.contains { $0.contains(token.range.lowerBound) }
                },
                suffix: ending.suffix, range: beginning.start..<previous.range.upperBound,
                hasBody: ending.bodyStart != nil, offset: head[head.count - nameCount].range.lowerBound, path: path))
    }

    private struct Ending {
        var attributes: [Attribute] = []
        var words: Set<String> = []
        var suffix: [Token] = []
        var isPure = false
        /// The place of the brace.
        var bodyStart: Int?
    }

    /// What follows the parameters, up to the semicolon or the body's end.
    private mutating func parseEnding(of name: String) throws(Failure) -> Ending {
        var ending = Ending()
        while true {
            try checkLiteral()
            if let (attributes, end) = try reader.attributes(at: index) {
                ending.attributes += attributes
                index = end
                continue
            }
            switch current.text {
            case ";":
                index += 1
                return ending
            case "{":
                ending.bodyStart = index
                try skipBrackets()
                index += 1
                if current == ";" { index += 1 }
                return ending
            case "=":
                try parseAssignment(&ending, of: name)
            case "override", "final":
                ending.words.insert(current.text)
                index += 1
            case "->":
                throw Failure("write what '\(name)' returns before its name", at: current.range.lowerBound)
            default:
                guard
                    current.kind == .identifier && !beginsMember && !isNextDeclaration || current == "&"
                        || current == "&&"
                        || current == "["
                else { throw expected("';'", "after the declaration of '\(name)'") }
                try parseSuffix(&ending)
            }
        }
    }

    /// Whether a word on a new line begins another declaration, since the semicolon of this one is missing.
    private var isNextDeclaration: Bool {
        guard current.kind == .identifier && current.isFirstOnLine else { return false }
        if ["*", "<", "::"].contains(where: { next == $0 }) { return true }
        return next.isName && !AttributeReader.isAttribute(next.text) && next != "override" && next != "final"
    }

    private mutating func parseAssignment(_ ending: inout Ending, of name: String) throws(Failure) {
        let value = next
        guard value == "0" || value == "default" || value == "delete" else {
            throw Failure("expected '= 0' after the declaration of '\(name)'", at: value.range.lowerBound)
        }
        ending.isPure = value == "0"
        index += 2
    }

    /// `const`, `noexcept`, and words of the developer's own.
    private mutating func parseSuffix(_ ending: inout Ending) throws(Failure) {
        ending.words.insert(current.text)
        let start = index
        if current == "[" {
            try skipBrackets()
        } else if next == "(" {
            index += 1
            try skipBrackets()
        }
        index += 1
        ending.suffix += tokens[start..<index]
    }
}

extension [Token] {
    /// Those in a place of the source.
    func within(_ range: Range<Int>) -> [Token] {
        filter { range.contains($0.range.lowerBound) && $0.range.upperBound <= range.upperBound }
    }
}
