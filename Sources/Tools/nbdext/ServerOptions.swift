import ArgumentParser
import Control

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
