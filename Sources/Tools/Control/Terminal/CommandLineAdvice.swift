import Platform

/// Finds the mistake in a command line that ArgumentParser has refused, where the parser's message misses the point: it
/// names the missing word instead of the misspelt one, takes a negative number for an option, and knows no similar
/// words.
package struct CommandLineAdvice {
    /// The help that `_dumpHelp` of ArgumentParser gives.
    private struct Help: Decodable {
        var command: Command
    }

    /// A subcommand, or the program itself.
    private struct Command: Decodable {
        struct Argument: Decodable {
            struct Name: Decodable {
                var kind: String
                var name: String
            }

            var kind: String
            var names: [Name]?
        }

        var commandName: String
        var subcommands: [Command]?
        var arguments: [Argument]?

        /// The names of all arguments of a kind, with their dashes.
        private func names(_ kind: String) -> [String] {
            let named = (arguments ?? []).filter { $0.kind == kind }.flatMap { $0.names ?? [] }
            return named.map { $0.kind == "long" ? "--\($0.name)" : "-\($0.name)" }
        }

        var flags: [String] { names("flag") }
        var options: [String] { names("option") }

        func subcommand(_ name: String) -> Command? { subcommands?.first { $0.commandName == name } }
    }

    /// The mistake; nil when the parser's own message says it.
    package private(set) var problem: String?
    /// The command that the arguments are for, as far as it is known: "nbdext scenario list".
    package private(set) var commandPath = ""
    /// The arguments with negative numbers tied to their options, so that the parser takes them for values.
    package private(set) var joined: [String] = []

    /// Looks for a mistake.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - help: the result of `_dumpHelp`, which is JSON.
    package init(_ arguments: [String], help: String) {
        guard var command = try? JSONText.decode(Help.self, from: help.utf8).command else { return }
        commandPath = command.commandName
        var rest = arguments[...]
        var isHelp = false
        while command.subcommands?.isEmpty == false, let word = rest.first, !word.hasPrefix("-") {
            if word == "help" && joined.isEmpty {
                isHelp = true
            } else if let next = command.subcommand(word) {
                command = next
                commandPath += " \(word)"
            } else {
                problem = unknownCommand(word, in: command)
                return
            }
            joined.append(word)
            rest = rest.dropFirst()
        }
        if !isHelp { look(at: rest, of: command) }
    }

    private func unknownCommand(_ word: String, in command: Command) -> String {
        let similar = Self.similar(to: word, in: (command.subcommands ?? []).map(\.commandName))
        let prefix = commandPath.split(separator: " ").dropFirst().map { "\($0) " }.joined()
        return "Unknown command '\(prefix)\(word)'. "
            + (similar.map { "Did you mean '\(prefix)\($0)'?" } ?? "See 'nbdext help'.")
    }

    private mutating func look(at arguments: ArraySlice<String>, of command: Command) {
        var rest = arguments
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word.count > 1 else {
                joined.append(word)
                continue
            }
            if word == "--" {
                joined += [word] + rest
                return
            }
            let name = word.prefix { $0 != "=" }
            if command.options.contains(word), let value = rest.first, Self.isNegativeNumber(value) {
                joined.append("\(word)=\(value)")
                rest = rest.dropFirst()
                continue
            }
            joined.append(word)
            if !(command.options + command.flags).contains(String(name)), problem == nil {
                let similar = Self.similar(to: String(name), in: command.options + command.flags)
                problem = "Unknown option '\(name)'." + (similar.map { " Did you mean '\($0)'?" } ?? "")
            }
            // The option's value, which may look like anything but an option.
            if command.options.contains(word), let value = rest.first, !value.hasPrefix("-") || value == "-" {
                joined.append(value)
                rest = rest.dropFirst()
            }
        }
    }

    private static func isNegativeNumber(_ word: String) -> Bool {
        word.hasPrefix("-") && word.dropFirst().first.map { $0.isNumber || $0 == "." } == true
    }

    /// Makes each argument with line ends one line in a message of the parser, whose other lines stay.
    package static func escape(_ arguments: some Sequence<String>, in message: String) -> String {
        var text = message
        for argument in arguments where argument.contains(where: \.isNewline) {
            let value = argument.firstIndex(of: "=").map { argument[argument.index(after: $0)...] } ?? argument[...]
            for part in [argument[...], value] where !part.isEmpty {
                text = text.replacing(part, with: ForeignText(String(part)).description)
            }
        }
        return text
    }

    /// The nearest of some words, if one is near: a word that continues this one, or one that few slips turn into it.
    ///
    /// - Returns: nil when none is near.
    static func similar(to word: String, in candidates: [String]) -> String? {
        let dashes = word.prefix { $0 == "-" }.count
        // A single letter is near to every other one.
        guard word.count - dashes > 1 else { return nil }
        if word.count - dashes >= 3, let longer = candidates.first(where: { $0.hasPrefix(word) }) { return longer }
        let near = candidates.map { ($0, distance(word, $0)) }.min { $0.1 < $1.1 }
        guard let near, near.1 <= max(1, (word.count - dashes) / 3) else { return nil }
        return near.0
    }

    /// The number of letters to insert, leave out, change, or exchange with their neighbour (optimal string alignment).
    private static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left), Array(right))
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in left.indices {
            var next = [row + 1]
            for column in right.indices {
                let isSame = left[row] == right[column]
                var best = min(last[column + 1] + 1, next[column] + 1, last[column] + (isSame ? 0 : 1))
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                next.append(best)
            }
            (beforeLast, last) = (last, next)
        }
        return last[right.count]
    }
}
