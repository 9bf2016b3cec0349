import ArgumentParser
import ArrayStore
import Control

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what an array is and whether it is well.",
        discussion: """
            If the array is being served, its server is asked, and nobody else. Otherwise the members' superblocks are read, \
            and what serve would do is told. Ends with 0 if all members are there, 1 if the array is degraded, 2 if it cannot \
            be served, and 4 if that cannot be told.
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
