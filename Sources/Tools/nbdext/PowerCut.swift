import ArgumentParser
import Control
import Platform

struct PowerCut: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "power-cut",
        abstract: "Simulates a loss of power in a running server: drops its unflushed data.",
        discussion: """
            Data that was written but not flushed is dropped from the caches of buffered exports (--buffered) and from \
            the card's write cache (--write-cache on). The server keeps running, so you can read what survived.
            """)

    @OptionGroup var server: ServerOptions

    func run() throws { show(ForeignText(try server.client.change(.powerCut).message).description) }
}

/// The server that a command is about.
struct ServerOptions: ParsableArguments {
    @Argument(help: "The directory of one of the server's arrays.")
    var directory: String?
    @Option(help: "The server's control socket, if that directory has no link to it.")
    var control: String?

    func validate() throws {
        guard control != nil || directory != nil else {
            throw ValidationError("name the server: give the directory of one of its arrays, or --control PATH")
        }
    }

    var client: ControlClient { ControlClient(path: control ?? ControlServer.defaultPath(directory: directory!)) }
}
