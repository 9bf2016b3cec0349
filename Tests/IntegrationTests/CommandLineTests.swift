import Control
import Foundation
import TestTraits
import Testing

@testable import nbdext

/// What people get who mistype.
@Suite("Command line", .blocks, .slow)
struct CommandLineTests {
    private func advice(_ line: String) -> CommandLineAdvice {
        CommandLineAdvice(line.split(separator: " ").map(String.init), help: Nbdext._dumpHelp())
    }

    @Test(
        "an unknown word is called that, with the one that was meant",
        arguments: [
            ("servee a", "Unknown command 'servee'. Did you mean 'serve'?"),
            ("stats a", "Unknown command 'stats'. Did you mean 'status'?"),
            ("staus", "Unknown command 'staus'. Did you mean 'status'?"),
            ("scenario lsit", "Unknown command 'scenario lsit'. Did you mean 'scenario list'?"),
            ("help craete", "Unknown command 'craete'. Did you mean 'create'?"),
            ("frobnicate", "Unknown command 'frobnicate'. See 'nbdext help'."),
            ("create a --level 5 --sise 1G", "Unknown option '--sise'. Did you mean '--size'?"),
            ("create a --levl 5 --size=1G", "Unknown option '--levl'. Did you mean '--level'?"),
            ("create a --levle=5 --size=1G", "Unknown option '--levle'. Did you mean '--level'?"),
            ("serve a --sock x", "Unknown option '--sock'. Did you mean '--socket'?"),
            ("serve a --socket --colour", "Unknown option '--colour'."),
            ("check a -x", "Unknown option '-x'."),
        ])
    func unknown(line: String, problem: String) { #expect(advice(line).problem == problem) }

    @Test(
        "what the parser says well is left to it",
        arguments: [
            "", "create", "status a b", "serve", "top a --interval x", "fail a -- -x", "help serve",
            "explain --size -h",
        ])
    func known(line: String) { #expect(advice(line).problem == nil) }

    @Test("a negative number is its option's value")
    func negative() {
        #expect(advice("create a --size -1G --members -3").joined == ["create", "a", "--size=-1G", "--members=-3"])
        #expect(advice("explain --size 4K --offset -.5").joined == ["explain", "--size", "4K", "--offset=-.5"])
        #expect(advice("create a --force -1").joined == ["create", "a", "--force", "-1"])
    }

    @Test(
        "the program answers with one sentence and ends with 64, or with 1",
        arguments: [
            (["stat", "a"], 64, "Unknown command 'stat'. Did you mean 'status'?"),
            (["create", "x", "--level", "5", "--sise", "1G"], 64, "Unknown option '--sise'. Did you mean '--size'?"),
            (["create", "x", "--level", "5", "--members", "3", "--size", "-1G"], 64, "a size is not negative"),
            (["create", "x", "--level", "5", "--members", "3", "--size", "1,5G"], 64, "with a point"),
            (["create", "x", "--level", "5", "--members", "3", "--size", "1.5"], 64, "a byte has no fractions"),
            (["create", "x", "--level", "5", "--members", "3", "--size", "10X"], 64, "X is not a unit"),
            (["create", "x", "--level", "5", "--members", "3", "--size", "99999999P"], 64, "16 EiB or more"),
            (["create", "x", "--level", "5", "--members", "-3", "--size", "1G"], 1, "at least 3 members"),
            (["create", "x", "--level", "5", "--members", "3", "--size", "0"], 1, "at least one stripe"),
            (["explain", "--size", "4K", "--offset", "-1"], 64, "a size is not negative"),
        ] as [([String], Int32, String)])
    func answers(arguments: [String], status: Int32, words: String) throws {
        let result = try Shell.run(nbdext, arguments)
        #expect(result.status == status)
        #expect(result.errors.contains(words), "\(result.errors)")
        #expect(result.output.isEmpty)
    }

    @Test("explain ends with 0 when the request succeeds, and with 2 when it fails")
    func explain() throws {
        #expect(try Shell.run(nbdext, ["explain", "--size", "64K"]).status == 0)
        let failing = ["explain", "--profile", "dext-512k-incomplete", "--size", "768K", "--write"]
        #expect(try Shell.run(nbdext, failing).status == 2)
        #expect(try Shell.run(nbdext, failing + ["--json"]).status == 2)
        #expect(try Shell.run(nbdext, ["explain", "--profile", "none", "--size", "4K"]).status == 1)
    }

    @Test("no line of any help is longer than a terminal's 80 columns")
    func helpWidth() throws {
        for command in Nbdext.configuration.subcommands {
            for subcommand in [command] + command.configuration.subcommands {
                for line in subcommand.helpMessage(columns: 80).split(separator: "\n") {
                    #expect(line.count <= 80, "\(subcommand): \(line)")
                }
            }
        }
        for line in Nbdext.helpMessage(columns: 80).split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    }
}
