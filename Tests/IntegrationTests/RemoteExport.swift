import Foundation
import TestTraits

/// An export of nbdkit, on a Unix socket, that ends with its owner.
final class RemoteExport {
    let socket: String
    private let arguments: [String]
    private var server: Process?

    /// - Parameters:
    ///   - socket: where it listens.
    ///   - arguments: nbdkit's options, plugin and parameters.
    init(socket: String, _ arguments: [String]) throws {
        self.socket = socket
        self.arguments = arguments
        try start()
    }

    deinit { kill() }

    var uri: String { "nbd+unix:///?socket=\(socket)" }
    var identifier: Int32 { server?.processIdentifier ?? 0 }

    struct Failure: Error {
        var text: String
    }

    /// Starts the server and waits until it listens.
    func start() throws {
        let ready = socket + ".pid"
        unlink(socket)
        unlink(ready)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Shell.find("nbdkit") ?? "nbdkit")
        process.arguments = ["--foreground", "--exit-with-parent", "--unix", socket, "--pidfile", ready] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        server = process
        // The socket is there a moment before somebody listens.
        _ = eventually { FileManager.default.fileExists(atPath: ready) || !process.isRunning }
        guard FileManager.default.fileExists(atPath: ready) else {
            throw Failure(text: "nbdkit \(arguments) does not listen")
        }
    }

    /// Ends the server without warning.
    func kill() {
        guard let process = server else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        server = nil
    }

    /// Stops the server from doing anything, or lets it go on.
    func setStopped(_ isStopped: Bool) { Foundation.kill(identifier, isStopped ? SIGSTOP : SIGCONT) }
}
