import ArgumentParser
import ArrayStore
import Control

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows an array's properties and state.",
        discussion: """
            If the array is being served, only its server is asked. Otherwise status reads the members' superblocks \
            and tells what serve would do. Exits with 0 if all members are there, 1 if the array is degraded, 2 if it \
            has failed or is suspended, and 4 if the state is unknown.
            """)

    @OptionGroup var array: ArrayOptions
    @Flag(help: "Print JSON.")
    var json = false

    /// The exit code when the array's state is unknown.
    private static let unknown: Int32 = 4

    func run() throws {
        let described: ArrayDescription
        do { described = try array.address.describe() } catch {
            writeError(error)
            throw ExitCode(Self.unknown)
        }
        show(json ? try JSONText.line(described) : described.text(directory: array.directory))
        let code = described.state?.exitCode ?? Self.unknown
        if code != 0 { throw ExitCode(code) }
    }
}
