import Foundation
import TestTraits

/// An export of nbdkit, on a Unix socket, that ends with its owner.
final class RemoteExport {
    let socket: String
    private let arguments: [String]
    private var server: Program?

    /// - Parameters:
    ///   - socket: where it listens.
    ///   - arguments: nbdkit's options, plugin and parameters.
    init(socket: String, _ arguments: [String]) throws {
        self.socket = socket
        self.arguments = arguments
        try start()
    }

    var uri: String { "nbd+unix:///?socket=\(socket)" }
    var identifier: Int32 { server?.identifier ?? 0 }

    /// Starts the server and waits until it listens.
    func start() throws {
        let ready = socket + ".pid"
        unlink(socket)
        unlink(ready)
        let server = try Program(
            "nbdkit", ["--foreground", "--exit-with-parent", "--unix", socket, "--pidfile", ready] + arguments)
        self.server = server
        // The socket is there a moment before somebody listens.
        _ = eventually { FileManager.default.fileExists(atPath: ready) || !server.isRunning }
        guard FileManager.default.fileExists(atPath: ready) else {
            throw Program.Failure(text: "nbdkit \(arguments) does not listen: \(server.said)")
        }
    }

    /// Ends the server without warning.
    func kill() {
        server?.stop(by: SIGKILL)
        server = nil
    }

    /// Stops the server from doing anything, or lets it go on.
    func setStopped(_ isStopped: Bool) { server?.signal(isStopped ? SIGSTOP : SIGCONT) }
}
