import ArgumentParser
import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

@testable import nbdext

/// What the help texts give as examples can be pasted, in the order in which it stands there.
@Suite("Examples in help texts", .blocks, .slow)
struct HelpExampleTests {
    private let directory = TemporaryDirectory()

    /// The lines below EXAMPLE or EXAMPLES; those that end with a backslash go on.
    private static func examples(_ command: any ParsableCommand.Type) -> [String] {
        var examples: [String] = []
        var isAmong = false
        var continues = false
        for line in command.configuration.discussion.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("EXAMPLE") {
                isAmong = true
            } else if isAmong && line.hasPrefix("  ") {
                let text = line.trimmingCharacters(in: .whitespaces)
                let part = text.hasSuffix("\\") ? String(text.dropLast()) : text
                if continues { examples[examples.count - 1] += part } else { examples.append(part) }
                continues = text.hasSuffix("\\")
            } else {
                isAmong = false
            }
        }
        return examples
    }

    /// A shell in the directory, which finds the program.
    private func shell(_ line: String) throws -> Program {
        try Program(
            "/bin/sh", ["-c", "exec \(line)"],
            environment: ["PATH": "\((nbdext as NSString).deletingLastPathComponent):/usr/bin:/bin"],
            directory: directory.path)
    }

    private func run(_ line: String, endsWith statuses: [Int32] = [0]) throws {
        let program = try shell(line)
        #expect(statuses.contains(program.wait()), "\(line): \(program.said)")
    }

    /// Runs a server while `body` runs.
    private func serve(_ line: String, _ body: () throws -> Void = {}) throws {
        let server = try shell(line)
        defer { #expect(server.stop() == 0, "\(line): \(server.said)") }
        try server.waitFor("ready: ")
        try body()
    }

    private func create(_ name: String, members: Int = 4, size: String = "64M") throws {
        try run("nbdext create \(name) --level 5 --members \(members) --size \(size)")
    }

    @Test("of every command are command lines, and fit 80 columns")
    func parse() throws {
        for command in [Nbdext.self] + Nbdext.configuration.subcommands {
            let lines = command.helpMessage(columns: 80).split(separator: "\n")
            for line in lines where line.hasPrefix("  nbdext ") { #expect(line.count <= 80, "\(line)") }
            for example in Self.examples(command) where example.hasPrefix("nbdext ") {
                let words = try shellWords(example).dropFirst().prefix { $0 != ">" }
                #expect(throws: Never.self, "\(example)") { try Nbdext.parseAsRoot(Array(words)) }
            }
        }
    }

    /// A line as a shell cuts it.
    private func shellWords(_ line: String) throws -> [String] {
        let redirection = line.replacingOccurrences(of: " > ", with: " '>' ")
        let output = try Shell.run("/bin/sh", ["-c", "printf '%s\\n' \(redirection)"]).output
        return output.split(separator: "\n").map(String.init)
    }

    @Test("of the program and of create work one after the other")
    func create() throws {
        let lines = Self.examples(Nbdext.self).filter { $0.hasPrefix("nbdext ") }
        #expect(lines.count == 4)
        try run(lines[0])
        try serve(lines[1].replacingOccurrences(of: ":10809", with: ":0")) {
            for line in lines[2...] { try run(line, endsWith: line.contains(" explain ") ? [0, 2] : [0]) }
            let more = Self.examples(Create.self)
            #expect(more.count == 2)
            // The first makes the array that is served.
            try run(more[1])
        }
        try FileManager.default.removeItem(atPath: directory.path + "/a")
        try run(Self.examples(Create.self)[0])
    }

    @Test("of explain, ioreg and scenario work")
    func without() throws {
        for command in [Explain.self, Ioreg.self] as [any ParsableCommand.Type] {
            // What would fail ends with 2.
            for line in Self.examples(command) { try run(line, endsWith: [0, 2]) }
        }
        try run(Self.examples(ScenarioCommand.self)[0])
    }

    @Test("of serve work, but for those of a driver that is to be built")
    func serve() throws {
        try create("a")
        try create("b")
        for line in Self.examples(Serve.self) where !line.contains("--driver ") && !line.contains("--dext ") {
            try serve(line.replacingOccurrences(of: ":10809", with: ":0"))
        }
    }

    @Test("of the commands to a server work one after the other")
    func toServer() throws {
        try create("a")
        try create("b", members: 3, size: "256M")
        try serve("nbdext serve b --socket b.sock") {
            try serve("nbdext serve a --socket a.sock") {
                for line in Self.examples(Top.self) {
                    try run(line.hasSuffix(" a") ? "\(line) --once" : line)
                }
                for line in Self.examples(Fail.self) + Self.examples(Remove.self) + Self.examples(Add.self) {
                    try run(line)
                }
                for line in Self.examples(Fail.self) { try run(line) }
            }
        }
    }

    @Test("of replace work")
    func replace() throws {
        try create("a")
        try serve("nbdext serve a --socket a.sock") {
            for line in Self.examples(Replace.self) { try run(line) }
        }
    }
}
