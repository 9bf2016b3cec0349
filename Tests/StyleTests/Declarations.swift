import Foundation

/// What a Swift file declares, as far as the layout of the formatter tells.
extension Source {
    /// A function, an initialiser or an accessor with a body.
    struct Function {
        let line: Int
        let lineCount: Int
    }

    /// A type's declaration or an extension of it, at the outermost level.
    struct TypePart {
        let name: String
        let line: Int
        let lineCount: Int
    }

    private static func indent(_ line: String) -> Int { line.prefix { $0 == " " }.count }

    /// A line's words, without attributes.
    static func words(_ line: String) -> [Substring] { Array(line.split(separator: " ").drop { $0.hasPrefix("@") }) }

    private static let modifiers: Set<Substring> = [
        "package", "public", "private", "fileprivate", "open", "internal", "final", "static", "class", "mutating",
        "nonmutating", "override", "required", "convenience", "nonisolated", "consuming", "borrowing",
    ]

    var functions: [Function] {
        lines.indices.compactMap { index in
            let line = lines[index]
            let first = Self.words(line).first { !Self.modifiers.contains($0) } ?? ""
            guard first == "func" || first.hasPrefix("init(") || first.hasPrefix("init?(") || first == "deinit" else {
                return nil
            }
            guard let end = end(of: index) else { return nil }
            return Function(line: index, lineCount: end - index + 1)
        }
    }

    /// The last line of a declaration that begins on a line; nil for one without a body.
    private func end(of begin: Int) -> Int? {
        let margin = String(repeating: " ", count: Self.indent(lines[begin]))
        var index = begin
        // The signature.
        while !lines[index].hasSuffix("{"), !lines[index].hasSuffix("}") {
            guard lines[index].hasSuffix("(") || lines[index].hasSuffix(",") || index > begin else { return nil }
            index += 1
            guard index < lines.count, lines[index].hasPrefix(margin), index < begin + 30 else { return nil }
        }
        if lines[index].hasSuffix("}") { return index }
        return lines[index...].firstIndex { $0.hasPrefix(margin + "}") }
    }

    var typeParts: [TypePart] {
        lines.indices.compactMap { index in
            guard Self.indent(lines[index]) == 0 else { return nil }
            let words = Self.words(lines[index]).drop {
                Self.modifiers.contains($0) && $0 != "class" || $0 == "indirect"
            }
            guard let kind = words.first, ["struct", "class", "enum", "actor", "extension"].contains(kind),
                let name = words.dropFirst().first
            else { return nil }
            let end = lines[index].hasSuffix("}") ? index : lines[index...].firstIndex { $0.hasPrefix("}") } ?? index
            return TypePart(
                name: String(name.prefix { $0.isLetter || $0.isNumber || $0 == "." }), line: index,
                lineCount: end - index + 1)
        }
    }
}
