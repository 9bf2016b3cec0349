import Foundation

/// An array in a temporary directory, and a server for it.
final class ServedArray {
    let directory = TemporaryDirectory()
    let arrayPath: String
    private let options: [String]
    private let keepsErrors: Bool
    private var server: Process?

    /// Creates an array.
    ///
    /// - Parameters:
    ///   - creation: more options of `nbdext create`.
    ///   - options: of `nbdext serve`.
    ///   - keepsErrors: what the server writes to standard error goes to `errors`, not to the test's own.
    convenience init(
        level: Int, members: Int, size: String = "96M", creation: [String] = [], options: [String] = [],
        keepsErrors: Bool = false
    ) throws {
        try self.init(
            level: level, placing: ["--members", "\(members)"] + creation, size: size, options: options,
            keepsErrors: keepsErrors)
    }

    /// Creates an array whose members are where `placing`, options of `nbdext create`, says.
    init(level: Int, placing: [String], size: String, options: [String] = [], keepsErrors: Bool = false) throws {
        arrayPath = directory.path + "/array"
        self.options = options
        self.keepsErrors = keepsErrors
        let result = try Shell.run(
            nbdext, ["create", arrayPath, "--level", "\(level)", "--size", size] + placing)
        guard result.status == 0 else { throw Failure(text: result.errors) }
    }

    /// An array that is there; its server's messages are kept.
    init(existing path: String) {
        arrayPath = path
        options = []
        keepsErrors = true
    }

    deinit { server?.terminate() }

    var socket: String { directory.path + "/socket" }
    var uri: String { "nbd+unix:///?socket=\(socket)" }
    var tracePath: String { directory.path + "/trace" }
    private var errorsPath: String { directory.path + "/errors" }
    /// What the server has written to standard error, if that is kept.
    var errors: String { (try? String(contentsOfFile: errorsPath, encoding: .utf8)) ?? "" }
    var identifier: Int32 { server?.processIdentifier ?? 0 }

    struct Failure: Error {
        var text: String
    }

    /// Starts the server and waits until it is ready.
    func start(_ more: [String] = []) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: nbdext)
        process.arguments = ["serve", arrayPath, "--socket", socket] + options + more
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        if keepsErrors {
            _ = FileManager.default.createFile(atPath: errorsPath, contents: nil)
            process.standardError = FileHandle(forWritingAtPath: errorsPath)
        }
        try process.run()
        server = process
        // The line comes, or the pipe ends with the process.
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard line.hasPrefix("ready: ") else { throw Failure(text: "no ready line: \(line)\(errors)") }
    }

    /// Stops the server with SIGTERM.
    /// - Returns: its exit status.
    @discardableResult
    func stop() -> Int32 {
        guard let process = server else { return -1 }
        process.terminate()
        process.waitUntilExit()
        server = nil
        return process.terminationStatus
    }

    /// Ends the server without warning.
    func kill() {
        guard let process = server else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        server = nil
    }

    func removeMember(_ role: Int) throws {
        try FileManager.default.removeItem(atPath: "\(arrayPath)/member-\(role).img")
    }

    /// Runs qemu-io commands; throws unless all succeed.
    func qemuIO(_ commands: String...) throws {
        let result = try Shell.run("qemu-io", ["-f", "raw"] + commands.flatMap { ["-c", $0] } + [uri])
        let text = result.output + result.errors
        guard result.status == 0, !text.contains("failed"), !text.contains("error") else { throw Failure(text: text) }
    }

    /// Runs fio's nbd engine; throws unless all that was written is read back.
    func fioVerify(_ options: [String]) throws {
        let result = try Shell.run(
            "fio",
            [
                "--name=verify", "--ioengine=nbd", "--uri=\(uri)", "--verify=crc32c", "--verify_fatal=1",
                "--verify_state_save=0", "--randseed=11",
            ] + options)
        guard result.status == 0 else { throw Failure(text: result.output + result.errors) }
    }
}
