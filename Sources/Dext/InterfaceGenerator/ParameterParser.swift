/// Reads the parameters of a method.
struct ParameterParser {
    let tokens: [Token]
    let reader: AttributeReader

    /// The parameters at a place, without the parentheses.
    func parse(_ range: Range<Int>) throws(Failure) -> [Parameter] {
        if let directive = tokens[range].first(where: { $0.kind == .directive }) {
            throw Failure(
                "a line of the preprocessor cannot be inside of a declaration; put it around the whole method",
                at: directive.range.lowerBound)
        }
        if range.isEmpty || range.count == 1 && tokens[range.lowerBound] == "void" { return [] }
        var parameters: [Parameter] = []
        var start = range.lowerBound
        while start <= range.upperBound {
            let end = parameterEnd(start..<range.upperBound)
            guard start < end else { throw Failure("expected a parameter", at: tokens[end].range.lowerBound) }
            parameters.append(try parseParameter(start..<end))
            start = end + 1
        }
        return parameters
    }

    /// Where the comma behind a parameter is, or the end of all.
    private func parameterEnd(_ range: Range<Int>) -> Int {
        var place = range.lowerBound
        while place < range.upperBound, tokens[place] != "," {
            if ["(", "[", "{"].contains(where: { tokens[place] == $0 }) {
                place = tokens.matchingEnd(from: place).end ?? place
            } else if tokens[place] == "<", let end = tokens[..<range.upperBound].angleEnd(from: place) {
                place = end
            }
            place += 1
        }
        return place
    }

    private func parseParameter(_ range: Range<Int>) throws(Failure) -> Parameter {
        var attributes: [Attribute] = []
        var words: [Token] = []
        var defaultValue: [Token] = []
        var place = range.lowerBound
        while place < range.upperBound {
            if let (found, end) = try reader.attributes(at: place), end <= range.upperBound {
                attributes += found
                place = end
            } else if tokens[place] == "=" {
                defaultValue = Array(tokens[(place + 1)..<range.upperBound])
                if defaultValue.isEmpty {
                    throw Failure("expected a value", at: tokens[range.upperBound].range.lowerBound)
                }
                break
            } else if let end = ["(", "["].contains(where: { tokens[place] == $0 })
                ? tokens.matchingEnd(from: place).end : nil
            {
                // [[maybe_unused]] and the like are of no use to the generated declarations.
                let isAttribute = words.isEmpty && tokens[place] == "["
                words += isAttribute ? [] : tokens[place...end]
                place = end + 1
            } else {
                words.append(tokens[place])
                place += 1
            }
        }
        guard let first = words.first, first.kind == .identifier || first == "::" || first == "..." else {
            throw Failure("expected a type", at: tokens[range.lowerBound].range.lowerBound)
        }
        if let sign = words.first(where: { $0 == ";" || $0 == "{" || $0.kind == .literal }) {
            throw Failure("expected ',' or ')', not '\(sign.text)'", at: sign.range.lowerBound)
        }
        let (before, name, after) = Self.declarator(words)
        return Parameter(
            name: name?.text, attributes: attributes, before: before, after: after,
            hasSpaceBeforeName: name?.hasSpaceBefore ?? false, defaultValue: defaultValue,
            offset: (name ?? first).range.lowerBound)
    }

    private static let builtIn: Set = [
        "auto", "bool", "char", "char16_t", "char32_t", "char8_t", "double", "float", "int", "long", "short", "signed",
        "unsigned", "void", "wchar_t",
    ]

    /// Finds the name among a parameter's tokens, or where it would stand.
    private static func declarator(_ words: [Token]) -> (before: [Token], name: Token?, after: [Token]) {
        for place in words.indices.dropLast() where words[place] == "(" {
            guard words[place + 1] == "*" || words[place + 1] == "^" || words[place + 1] == "&" else { continue }
            var end = place + 1
            var name: Int?
            while end < words.count, words[end].kind == .identifier || ["*", "^", "&"].contains(words[end].text) {
                if words[end].isName && !words[end].text.hasPrefix("_") { name = end }
                end += 1
            }
            return split(words, at: name ?? end, isNamed: name != nil)
        }
        var end = words.count
        while end > 1, words[end - 1] == "]" || words[end - 1] == ")" {
            var depth = 0
            repeat {
                end -= 1
                if words[end] == "]" || words[end] == ")" { depth += 1 }
                if words[end] == "[" || words[end] == "(" { depth -= 1 }
            } while depth > 0 && end > 0
            if end > 0, words[end - 1] == "__attribute__" { end -= 1 }
        }
        guard end > 1, words[end - 1].isName, words[end - 2] != "::" else {
            return split(words, at: end, isNamed: false)
        }
        let hasType = words[..<(end - 1)].contains { $0.isName || builtIn.contains($0.text) }
        return split(words, at: hasType ? end - 1 : end, isNamed: hasType)
    }

    private static func split(
        _ words: [Token], at place: Int, isNamed: Bool
    ) -> (before: [Token], name: Token?, after: [Token]) {
        (Array(words[..<place]), isNamed ? words[place] : nil, Array(words[(isNamed ? place + 1 : place)...]))
    }
}
