import ArgumentParser
import Control
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
            PowerCut.self, Top.self, Fail.self, Remove.self, Add.self, Replace.self, Check.self, Repair.self,
            Cancel.self, BenchCommand.self, CheckDriver.self, DextCommand.self,
        ])

    /// Runs the command, or shows the mistake in the command line.
    static func main() {
        do {
            var command = try parse(Array(CommandLine.arguments.dropFirst()))
            do { try command.run() } catch let error as any CustomStringConvertible & Error {
                // The parser's own errors have more than a line.
                if error is CleanExit || error is ValidationError { throw error }
                writeError(error)
                throw ExitCode.failure
            }
        } catch { end(error) }
    }

    /// Ends the program as the parser does, but escapes words of the command line in its message.
    private static func end(_ error: any Error) -> Never {
        let code = exitCode(for: error)
        let text = CommandLineAdvice.escape(CommandLine.arguments.dropFirst(), in: fullMessage(for: error))
        if !text.isEmpty { code.isSuccess ? show(text) : writeDiagnostic(text + "\n") }
        exit(withError: code)
    }

    /// Reads the command line. Of a mistake the parser's own message is shown only if there is no better advice.
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
