import ArgumentParser
import Statistics

/// Finds what is wrong with a command line that the parser has refused, where its own message misses the point: it names
/// what is missing and not what is misspelt, takes a negative number for an option, and knows no similar words.
struct CommandLineAdvice {
    /// A subcommand, or the program itself, as the parser describes it.
    private struct Command {
        var path: String
        var subcommands: [JSONValue]
        /// With their dashes.
        var flags: [String] = []
        var options: [String] = []

        init(_ json: JSONValue, below parent: String?) {
            let name = json["commandName"]?.stringValue ?? ""
            path = parent.map { "\($0) \(name)" } ?? name
            subcommands = json["subcommands"]?.arrayValue ?? []
            for argument in json["arguments"]?.arrayValue ?? [] {
                let names = (argument["names"]?.arrayValue ?? []).map { name in
                    (name["kind"]?.stringValue == "long" ? "--" : "-") + (name["name"]?.stringValue ?? "")
                }
                switch argument["kind"]?.stringValue {
                case "flag": flags += names
                case "option": options += names
                default: break
                }
            }
        }

        func subcommand(_ name: String) -> Command? {
            subcommands.first { $0["commandName"]?.stringValue == name }.map { Command($0, below: path) }
        }

        var subcommandNames: [String] { subcommands.compactMap { $0["commandName"]?.stringValue } }
    }

    /// What is wrong; nil when the parser's own message says it.
    private(set) var problem: String?
    /// The command that the arguments are for, as far as it is known.
    private(set) var commandPath = ""
    /// The arguments with negative numbers tied to their options, so that the parser takes them for values.
    private(set) var joined: [String] = []

    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - help: all commands, as `_dumpHelp` has them.
    init(_ arguments: [String], help: String) {
        guard let root = JSONParser.parse(help)?["command"] else { return }
        var command = Command(root, below: nil)
        var rest = arguments[...]
        var isHelp = false
        while !command.subcommands.isEmpty, let word = rest.first, !word.hasPrefix("-") {
            if word == "help" && joined.isEmpty {
                isHelp = true
            } else if let next = command.subcommand(word) {
                command = next
            } else {
                problem = Self.unknownCommand(word, in: command)
                commandPath = command.path
                return
            }
            joined.append(word)
            rest = rest.dropFirst()
        }
        commandPath = command.path
        if !isHelp { look(at: rest, of: command) }
    }

    private static func unknownCommand(_ word: String, in command: Command) -> String {
        let similar = Self.similar(to: word, in: command.subcommandNames)
        let prefix = command.path.split(separator: " ").dropFirst().map { "\($0) " }.joined()
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
            // The value, whatever it is like.
            if command.options.contains(word), let value = rest.first, !value.hasPrefix("-") || value == "-" {
                joined.append(value)
                rest = rest.dropFirst()
            }
        }
    }

    private static func isNegativeNumber(_ word: String) -> Bool {
        word.hasPrefix("-") && word.dropFirst().first.map { $0.isNumber || $0 == "." } == true
    }

    /// The nearest of some words, if it is near: one that begins alike, or that few slips make of it.
    static func similar(to word: String, in candidates: [String]) -> String? {
        let dashes = word.prefix { $0 == "-" }.count
        // One letter is near to every other one.
        guard word.count - dashes > 1 else { return nil }
        if word.count - dashes >= 3, let longer = candidates.first(where: { $0.hasPrefix(word) }) { return longer }
        let near = candidates.map { ($0, distance(word, $0)) }.min { $0.1 < $1.1 }
        guard let near, near.1 <= max(1, (word.count - dashes) / 3) else { return nil }
        return near.0
    }

    /// How many letters are to be put in, left out, changed, or exchanged with their neighbour (optimal string alignment).
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
