import ArgumentParser
import Control
import Platform

struct PowerCut: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "power-cut",
        abstract: "Destroys what a loss of power would destroy, in a running server.",
        discussion: """
            What was written and not flushed is dropped from the caches of buffered exports (--buffered) and from the \
            card's write cache (--write-cache on). The server goes on, so that what survived can be read.
            """)

    @OptionGroup var server: ServerOptions

    func run() throws { show(ForeignText(try server.client.change(.powerCut).message).description) }
}

/// The server that a command is about.
struct ServerOptions: ParsableArguments {
    @Argument(help: "The directory of one of the server's arrays.")
    var directory: String?
    @Option(help: "The server's control socket, if nothing in that directory leads to it.")
    var control: String?

    func validate() throws {
        guard control != nil || directory != nil else {
            throw ValidationError("say which server: the directory of one of its arrays, or --control PATH")
        }
    }

    var client: ControlClient { ControlClient(path: control ?? ControlServer.defaultPath(directory: directory!)) }
}
