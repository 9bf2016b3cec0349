/// A syntax error, on its way to whoever can go on after it.
struct Failure: Error {
    let message: String
    let offset: Int
    /// What explains it: a text and its place.
    var note: (message: String, offset: Int)?

    init(_ message: String, at offset: Int, note: (message: String, offset: Int)? = nil) {
        self.message = message
        self.offset = offset
        self.note = note
    }
}

/// Finds attributes among tokens, in a class's head, behind a method or in a parameter.
struct AttributeReader {
    let tokens: [Token]
    let macros: AttributeMacros
    /// How many macros led here. Three do, so that those that stand for themselves several times come to an end.
    var depth = 0

    /// The attributes for which the word at a place stands, and where they end; nil if it is another word.
    func attributes(at index: Int) throws(Failure) -> (attributes: [Attribute], end: Int)? {
        let token = tokens[index]
        guard token.kind == .identifier else { return nil }
        let name = Self.name(token.text)
        if Attribute.plain.contains(name) {
            return ([Attribute(name: name, argument: nil, range: token.range)], index + 1)
        }
        guard Attribute.withArgument.contains(name) else { return macro(at: index) }
        guard let end = argumentsEnd(after: index) else {
            throw Failure(
                "expected '(' after '\(token.text)', and what it names in parentheses", at: token.range.upperBound)
        }
        var argument = tokens[(index + 2)..<end].map(\.text).joined()
        if argument.count > 1, argument.hasPrefix("\""), argument.hasSuffix("\"") {
            argument = String(argument.dropFirst().dropLast())
        }
        guard !argument.isEmpty else {
            throw Failure("'\(token.text)' has to name something", at: tokens[end].range.lowerBound)
        }
        let range = token.range.lowerBound..<tokens[end].range.upperBound
        return ([Attribute(name: name, argument: argument, range: range)], end + 1)
    }

    private static func name(_ word: String) -> String { word.hasPrefix("IIG_") ? String(word.dropFirst(4)) : word }

    /// Whether a word is an attribute of iig.
    static func isAttribute(_ word: String) -> Bool {
        Attribute.plain.contains(name(word)) || Attribute.withArgument.contains(name(word))
    }

    /// The place of the parenthesis that ends a word's arguments; nil if it has none.
    private func argumentsEnd(after index: Int) -> Int? {
        guard index + 1 < tokens.count, tokens[index + 1] == "(" else { return nil }
        return tokens.matchingEnd(from: index + 1).end
    }

    /// A macro counts if it stands for attributes alone.
    private func macro(at index: Int) -> (attributes: [Attribute], end: Int)? {
        let name = tokens[index].text
        guard depth < 3, let takesArguments = macros.takesArguments(name) else { return nil }
        var end = index
        var arguments: [[Token]] = []
        if takesArguments {
            guard let close = argumentsEnd(after: index) else { return nil }
            arguments = tokens[(index + 2)..<close].split(whereSeparator: { $0 == "," }).map(Array.init)
            end = close
        }
        let body = macros.expansion(of: name, arguments: arguments)
        guard body.count <= 16 else { return nil }
        let range = tokens[index].range.lowerBound..<tokens[end].range.upperBound
        let reader = AttributeReader(tokens: body, macros: macros, depth: depth + 1)
        var found: [Attribute] = []
        var place = 0
        while place < body.count {
            guard let (attributes, next) = try? reader.attributes(at: place) else { return nil }
            found += attributes.map { Attribute(name: $0.name, argument: $0.argument, range: range) }
            place = next
        }
        return found.isEmpty ? nil : (found, end + 1)
    }
}

extension Collection where Element == Token, Index == Int {
    /// Where the bracket at a place ends, of any kind but `<`. If it does not, where that shows.
    func matchingEnd(from index: Int) -> (end: Int?, stop: Int) {
        var open: [String] = []
        var place = index
        while place < endIndex {
            let token = self[place]
            switch token.kind == .punctuator ? token.text : "" {
            case "(": open.append(")")
            case "[": open.append("]")
            case "{": open.append("}")
            case ")", "]", "}":
                guard open.popLast() == token.text else { return (nil, place) }
                if open.isEmpty { return (place, place) }
            case ";" where open.last != "}": return (nil, place)
            default: if token.kind == .end || token.kind == .unfinished { return (nil, place) }
            }
            place += 1
        }
        return (nil, endIndex)
    }

    /// Where the angle bracket at a place ends; nil if it does not before the declaration does.
    func angleEnd(from index: Int) -> Int? {
        var depth = 0
        var place = index
        while place < endIndex {
            switch self[place].kind == .punctuator ? self[place].text : "" {
            case "<": depth += 1
            case ">":
                depth -= 1
                if depth == 0 { return place }
            case "(", "[", "{":
                guard let end = matchingEnd(from: place).end else { return nil }
                place = end
            case ")", "]", "}", ";": return nil
            default: if self[place].kind == .end { return nil }
            }
            place += 1
        }
        return nil
    }
}
