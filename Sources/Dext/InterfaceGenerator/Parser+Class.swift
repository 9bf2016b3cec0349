extension Parser {
    /// A class, from `class` to the semicolon behind it.
    mutating func parseClass() throws(Failure) -> InterfaceClass {
        let start = current.range.lowerBound
        let path = path
        index += 1
        let head = try parseHead()
        var base: Token?
        if current == ":" {
            index += 1
            base = try parseBase(of: head.name)
        }
        guard current == "{" else { throw expected("'{'", "to begin the class '\(head.name.text)'") }
        let isPlain = base == nil && head.extended == nil
        let known = diagnostics.count
        let end = tokens.matchingEnd(from: index).end
        let members = parseMembers(of: head.name)
        if isPlain, let end {
            // It is the compiler's.
            diagnostics.removeSubrange(known...)
            index = end + 1
            self.path = path
        }
        if current == ";" {
            index += 1
        } else if !isPlain && previous == "}" {
            report(Failure("expected ';' after the class '\(head.name.text)'", at: previous.range.upperBound))
        }
        return InterfaceClass(
            name: head.name.text, base: base?.text, attributes: head.attributes, members: members, macros: head.macros,
            isFinal: head.isFinal, extended: head.extended, range: start..<previous.range.upperBound,
            nameOffset: head.name.range.lowerBound, baseOffset: (base ?? head.name).range.lowerBound, path: path)
    }

    private struct Head {
        var name: Token
        var attributes: [Attribute] = []
        var macros: [Token] = []
        var isFinal = false
        var extended: String? { attributes.first { $0.name == "EXTENDS" }?.argument }
    }

    /// What stands between `class` and the base class or the body: attributes, macros, the name.
    private mutating func parseHead() throws(Failure) -> Head {
        var head = Head(name: current)
        var words: [Range<Int>] = []
        while current != ":" && current != "{" {
            if let (attributes, end) = try reader.attributes(at: index) {
                head.attributes += attributes
                index = end
            } else if current == "final" {
                head.isFinal = true
                index += 1
            } else {
                let start = index
                index += 1
                if current == "(" || current == "[", let end = tokens.matchingEnd(from: index).end { index = end + 1 }
                words.append(start..<index)
            }
        }
        guard let last = words.last, last.count == 1, tokens[last.lowerBound].isName else {
            throw Failure("expected the name of the class", at: current.range.lowerBound)
        }
        head.name = tokens[last.lowerBound]
        head.macros = words.dropLast().flatMap { tokens[$0] }
        return head
    }

    private mutating func parseBase(of name: Token) throws(Failure) -> Token {
        while ["public", "protected", "private", "virtual"].contains(current.text) { index += 1 }
        let base = current
        guard base.isName else { throw expected("the base class", "of '\(name.text)'") }
        index += 1
        if current == "," {
            throw Failure(
                "'\(name.text)' has more than one base class; a class of DriverKit has one",
                at: current.range.lowerBound)
        }
        return base
    }

    // MARK: Members

    /// The members of a class, from its brace to behind the other one. Errors leave out a member each.
    private mutating func parseMembers(of name: Token) -> [Member] {
        let brace = current
        let outer = path
        var members: [Member] = []
        index += 1
        while current != "}" {
            guard current.kind != .end else {
                report(
                    Failure(
                        "expected '}' to end the class '\(name.text)'", at: previous.range.upperBound,
                        note: ("the class begins here", brace.range.lowerBound)))
                return members
            }
            let start = index
            do {
                members += try parseMember(of: name)
            } catch {
                report(error)
                recover(from: start)
            }
            if path.count < outer.count {
                report(
                    Failure(
                        "a conditional that begins before the class '\(name.text)' has to end behind it",
                        at: tokens[start].range.lowerBound))
                path = outer
            }
        }
        if path.count > outer.count {
            report(
                Failure(
                    "expected '#endif' before the end of the class '\(name.text)'", at: current.range.lowerBound,
                    note: ("the conditional begins here", path[outer.count].group)))
        }
        index += 1
        return members
    }

    /// Goes on where the next member may begin.
    private mutating func recover(from start: Int) {
        index = max(index, start + 1)
        var depth = 0
        while current.kind != .end {
            if depth == 0 {
                if current == "}" || current.isFirstOnLine && (current.kind == .directive || beginsMember) { return }
                if current == ";" {
                    index += 1
                    return
                }
            }
            if current == "{" { depth += 1 }
            if current == "}" { depth -= 1 }
            index += 1
        }
    }

    private mutating func parseMember(of name: Token) throws(Failure) -> [Member] {
        if let directive = Directive(current) {
            take(directive)
            index += 1
            return [.directive(directive)]
        }
        switch current.kind == .literal ? "" : current.text {
        case ";":
            index += 1
            return []
        case "public", "protected", "private":
            let word = current.text
            index += 1
            guard current == ":" else { throw expected("':'", "after '\(word)'") }
            index += 1
            return [.access(word)]
        case "friend", "using", "typedef", "static_assert", "_Static_assert": return [.kept(try parseStatement())]
        case "template": return [.kept(try parseTemplate())]
        case "struct", "class", "union", "enum":
            if let members = try parseType() { return members }
        default: break
        }
        var declaration = DeclarationParser(cursor: cursor, path: path)
        defer { cursor = declaration.cursor }
        return try declaration.parse(in: name)
    }

    /// A template, with its body or semicolon.
    private mutating func parseTemplate() throws(Failure) -> Range<Int> {
        let start = current.range.lowerBound
        index += 1
        if current == "<" {
            guard let end = tokens.angleEnd(from: index) else {
                throw expected("'>'", "to end the template's parameters")
            }
            index = end + 1
        }
        while current != ";" && current != "{" {
            if current.kind == .end || current == "}" || current.kind == .directive {
                throw expected("';'", "after the template")
            }
            try checkLiteral()
            if current == "(" || current == "[" { try skipBrackets() }
            index += 1
        }
        if current == "{" { try skipBrackets() }
        index += 1
        if current == ";" { index += 1 }
        return start..<previous.range.upperBound
    }

    /// A type in the class; nil if the word only begins another declaration: `struct State *Current();`
    private mutating func parseType() throws(Failure) -> [Member]? {
        let start = index
        let isEnum = current == "enum"
        var place = index + 1
        var isNamed = false
        while tokens[place] != "{" {
            if tokens[place] == ";" { return [.kept(try parseStatement())] }
            if tokens[place] == "(" || tokens[place] == "[" {
                let isAttribute = ["alignas", "__attribute__", "["].contains { tokens[place - 1] == $0 }
                guard isAttribute || tokens[place] == "[", let end = tokens.matchingEnd(from: place).end else {
                    return nil
                }
                place = end
            } else {
                guard tokens[place].kind == .identifier || ["::", ":", "<", ">", ","].contains(tokens[place].text)
                else {
                    return nil
                }
                isNamed = isNamed || tokens[place].isName
            }
            place += 1
        }
        index = place
        try skipBrackets()
        index += 1
        let range = tokens[start].range.lowerBound..<previous.range.upperBound
        let bodyEnd = index
        let whole = tokens[start].range.lowerBound..<(try parseStatement(after: "}")).upperBound
        if tokens[bodyEnd] == ";" && (isNamed || isEnum) { return [.kept(whole)] }
        let names = tokens[bodyEnd..<index].filter(\.isName)
        let field = names.first ?? tokens[start]
        return (isNamed || isEnum ? [.kept(range, isCut: true)] : []) + [
            .field(name: field.text, offset: field.range.lowerBound)
        ]
    }
}
