/// Goes through a file, reads its classes, and leaves the rest as text.
struct Parser: TokenConsumer {
    var cursor: Cursor
    var diagnostics: [InterfaceDiagnostic]
    var classes: [InterfaceClass] = []
    var inclusions: [InterfaceFile.Inclusion] = []
    var renamed: [Range<Int>] = []
    var dropped: [Range<Int>] = []
    /// Classes that are text, and have a base class.
    var passed: [PassedClass] = []
    /// The conditionals around the current token.
    var path: [Branch] = []
    /// The braces around the text, and whether they hold the same as the file does: `extern "C" {`.
    private var braces: [Bool] = []
    /// The number of braces where each of `path` begins: alternatives begin with the same.
    private var bracesAtBranch: [[Bool]] = []
    private var parentheses = 0
    /// The words since the last statement ended.
    private var statement: [String] = []

    init(_ source: InterfaceSource, macros: AttributeMacros) {
        let (tokens, diagnostics) = Lexer.tokens(of: source)
        cursor = Cursor(source: source, tokens: tokens, macros: macros)
        self.diagnostics = diagnostics
    }

    mutating func report(_ failure: Failure) {
        diagnostics.append(InterfaceDiagnostic(.error, failure.message, at: failure.offset, of: cursor.source))
        guard let note = failure.note else { return }
        diagnostics.append(InterfaceDiagnostic(.note, note.message, at: note.offset, of: cursor.source))
    }

    mutating func parseFile() {
        while current.kind != .end {
            if let directive = Directive(current) {
                take(directive)
                index += 1
            } else if isClassDefinition {
                do {
                    classes.append(try parseClass())
                } catch {
                    report(error)
                    skipClass()
                }
                statement = []
            } else {
                passText()
            }
        }
        foldExtensions()
    }

    // MARK: Text

    /// Takes a line of the preprocessor, in a class or outside.
    mutating func take(_ directive: Directive) {
        switch directive.kind {
        case .opens:
            path.append(Branch(group: directive.offset, offset: directive.offset, directives: [directive]))
            bracesAtBranch.append(braces)
        case .turns:
            guard let branch = path.popLast(), let before = bracesAtBranch.last else { return }
            let directives = branch.directives + [directive]
            path.append(Branch(group: branch.group, offset: directive.offset, directives: directives))
            braces = before
        case .closes:
            _ = path.popLast()
            _ = bracesAtBranch.popLast()
        case .define:
            cursor.macros.define(directive)
            if let branch = path.last, branch.isOpened(by: "ifndef", with: directive.rest) {
                path[path.count - 1].isGuard = true
            }
        case .include:
            guard let (path, isAngled) = directive.includedFile else { return }
            inclusions.append(
                InterfaceFile.Inclusion(path: String(path), isAngled: isAngled, offset: directive.offset))
            if path.hasSuffix(".iig"), let range = directive.pathRange(in: cursor.source) {
                renamed.append((range.upperBound - 3)..<range.upperBound)
            }
        case .other: break
        }
    }

    private mutating func passText() {
        let token = current
        notePassedClass()
        index += 1
        switch token.kind == .punctuator ? token.text : "" {
        case "(", "[": parentheses += 1
        case ")", "]": parentheses = max(0, parentheses - 1)
        case "{":
            braces.append(statement.first == "extern" && statement.count == 2)
            statement = []
            parentheses = 0
            return
        case "}":
            _ = braces.popLast()
            statement = []
            parentheses = 0
            return
        case ";" where parentheses == 0:
            statement = []
            return
        default: break
        }
        statement.append(token.text)
    }

    /// Remembers a structure, or a class in a namespace, that has a base class: the checker refuses those of DriverKit.
    private mutating func notePassedClass() {
        guard current == "class" || current == "struct", next.isName, index + 2 < tokens.count, tokens[index + 2] == ":"
        else { return }
        let base = tokens[(index + 3)...].first { !["public", "protected", "private", "virtual"].contains($0.text) }
        guard let base, base.isName else { return }
        passed.append(
            PassedClass(
                name: next.text, base: base.text, isStructure: current == "struct", offset: next.range.lowerBound))
    }

    /// Whether a class with a body begins here, and not one in a namespace, a template or an `enum class`.
    private var isClassDefinition: Bool {
        let others: Set = ["template", "typedef", "enum", "friend", "using", "struct", "union", "="]
        guard current == "class", parentheses == 0, braces.allSatisfy({ $0 }), others.isDisjoint(with: statement) else {
            return false
        }
        var place = index + 1
        while true {
            switch tokens[place].kind {
            case .identifier: place += 1
            case .punctuator where tokens[place] == ":" || tokens[place] == "{": return place > index + 1
            case .punctuator where tokens[place] == "(" || tokens[place] == "[":
                guard let end = tokens.matchingEnd(from: place).end else { return false }
                place = end + 1
            default: return false
            }
        }
    }

    /// Leaves a class that could not be parsed.
    private mutating func skipClass() {
        while current.kind != .end, current != "{", current != ";" { index += 1 }
        if current == "{" {
            index = tokens.matchingEnd(from: index).end ?? tokens.count - 1
        }
        if current.kind != .end { index += 1 }
    }

    /// Gives the methods of `EXTENDS` classes to those that they extend.
    private mutating func foldExtensions() {
        for addition in classes {
            guard let name = addition.extended else { continue }
            dropped.append(addition.range)
            guard let place = classes.firstIndex(where: { $0.name == name && $0.extended == nil }) else {
                report(
                    Failure(
                        "'\(addition.name)' extends '\(name)', which has to be a class of the same file",
                        at: addition.nameOffset))
                continue
            }
            let outer = classes[place].path
            let branches = addition.path.filter { branch in !outer.contains { $0.group == branch.group } }
            classes[place].members += branches.flatMap { $0.directives.map { .directive($0) } }
            classes[place].members += addition.members
            classes[place].members += branches.map { .directive(Directive.end(at: $0.offset)) }
        }
        classes.removeAll { $0.extended != nil }
    }
}
