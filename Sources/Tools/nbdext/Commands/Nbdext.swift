import ArgumentParser
import Platform

/// The command line.
@main
struct Nbdext: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nbdext",
        abstract: "Serves RAID 0 and RAID 5 arrays over NBD, through an emulated macOS SCSI storage stack.",
        discussion: """
            An array is a directory of sparse member files in the format of Linux md. A request of an NBD client \
            travels through an emulation of the macOS block and SCSI layers and of a DriverKit HBA driver to the \
            array's members.

            EXAMPLES
              nbdext create a --level 5 --members 4 --size 10G
              nbdext serve a --socket a.sock --listen localhost:10809
              nbdext status a
              nbdext explain --profile dext-64k --size 128K
              nbd-client -unix a.sock /dev/nbd0
            """,
        version: "0.1.0",
        subcommands: [
            Create.self, Serve.self, Status.self, Rename.self, Explain.self, Ioreg.self, ScenarioCommand.self,
            PowerCut.self,
            Top.self, Fail.self, Remove.self, Add.self, Replace.self, Check.self, Repair.self, Cancel.self, Bench.self,
            CheckDriver.self,
        ])

    /// Runs the command, or says what is wrong with the command line.
    static func main() {
        do {
            var command = try parse(Array(CommandLine.arguments.dropFirst()))
            do { try command.run() } catch let error as any CustomStringConvertible & Error {
                // The parser's own have more than a line.
                if error is CleanExit || error is ValidationError { throw error }
                writeError(error)
                throw ExitCode.failure
            }
        } catch { end(error) }
    }

    /// Ends the program as the parser does it, but shows nothing raw that was on the command line.
    private static func end(_ error: any Error) -> Never {
        let code = exitCode(for: error)
        var text = fullMessage(for: error)
        // The parser's messages have lines of their own, so those that an argument brings must go.
        for argument in CommandLine.arguments.dropFirst() where argument.contains(where: \.isNewline) {
            let value = argument.firstIndex(of: "=").map { argument[argument.index(after: $0)...] } ?? argument[...]
            for part in [argument[...], value] where !part.isEmpty {
                text = text.replacing(part, with: ForeignText(String(part)).description)
            }
        }
        if !text.isEmpty { code.isSuccess ? show(text) : writeDiagnostic(text + "\n") }
        exit(withError: code)
    }

    /// The command that the arguments are. Where the parser refuses them, its own words are given only if there are no
    /// better ones.
    private static func parse(_ arguments: [String]) throws -> any ParsableCommand {
        do { return try parseAsRoot(arguments) } catch {
            guard exitCode(for: error) == .validationFailure else { throw error }
            let advice = CommandLineAdvice(arguments, help: _dumpHelp())
            if let problem = advice.problem {
                writeDiagnostic(
                    "Error: \(ForeignText(problem))\n  See '\(advice.commandPath) --help' for more information.\n")
                throw ExitCode.validationFailure
            }
            guard advice.joined != arguments else { throw error }
            return try parseAsRoot(advice.joined)
        }
    }
}
