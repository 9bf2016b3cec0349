/// Macros of the developer's own that stand for attributes: `#define ON_IO_QUEUE QUEUENAME(IOQueue)`.
package struct AttributeMacros: Sendable {
    private struct Definition: Sendable {
        /// Nil for a macro without parentheses.
        let parameters: [String]?
        let body: [Token]
    }

    private var definitions: [String: Definition] = [:]

    package init() {}

    /// Adds those of another file, which count if both define one.
    package mutating func merge(_ other: AttributeMacros) { definitions.merge(other.definitions) { $1 } }

    /// Takes a `#define` line.
    mutating func define(_ directive: Directive) {
        let source = InterfaceSource(name: "", header: "", bytes: Array(directive.rest.utf8))
        var tokens = Lexer.tokens(of: source).tokens.dropLast()[...]
        guard let name = tokens.popFirst(), name.kind == .identifier else { return }
        var parameters: [String]?
        if let first = tokens.first, first == "(", !first.hasSpaceBefore {
            guard let end = tokens.firstIndex(where: { $0 == ")" }) else { return }
            parameters = tokens[tokens.startIndex..<end].filter { $0.kind == .identifier }.map(\.text)
            tokens = tokens[(end + 1)...]
        }
        definitions[name.text] = Definition(parameters: parameters, body: Array(tokens))
    }

    /// Whether a macro of this name needs parentheses; nil if there is none.
    func takesArguments(_ name: String) -> Bool? { definitions[name].map { $0.parameters != nil } }

    /// What a macro stands for, with its arguments in place.
    func expansion(of name: String, arguments: [[Token]]) -> [Token] {
        guard let definition = definitions[name] else { return [] }
        return definition.body.flatMap { token -> [Token] in
            guard let index = definition.parameters?.firstIndex(of: token.text), index < arguments.count else {
                return [token]
            }
            return arguments[index]
        }
    }
}
