import Foundation
import TestTraits

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

    /// Begins to replace a member, and calls `body` when some of it is copied, and not all: a client at work makes it
    /// last.
    func replaceSlowly(_ member: String, by file: String, then body: () throws -> Void) throws {
        let client = Process()
        client.executableURL = URL(fileURLWithPath: Shell.find("fio") ?? "")
        client.arguments = [
            "--name=slow", "--ioengine=nbd", "--uri=\(uri)", "--rw=randread", "--bs=4k", "--iodepth=1", "--size=1M",
            "--time_based", "--runtime=120", "--output=/dev/null",
        ]
        client.standardError = FileHandle.nullDevice
        try client.run()
        defer {
            client.terminate()
            client.waitUntilExit()
        }
        try waitForRequests()
        let replace = Process()
        replace.executableURL = URL(fileURLWithPath: nbdext)
        replace.arguments = ["replace", arrayPath, member, file]
        replace.standardOutput = FileHandle.nullDevice
        replace.standardError = FileHandle.nullDevice
        try replace.run()
        var job = ""
        let isUnderWay = try eventually {
            job = try Shell.run(nbdext, ["top", arrayPath, "--json", "--once", "--interval", "0.1"]).output
            let isUnderWay = job.range(of: "\"done_bytes\": ?[0-9]{8}", options: .regularExpression) != nil
            return job.contains("\"replace\"") && isUnderWay
        }
        guard isUnderWay else { throw Failure(text: "the replacement does not get on: \(job)") }
        try body()
        // The command may go on showing what happens.
        Foundation.kill(replace.processIdentifier, SIGINT)
        replace.waitUntilExit()
    }

    /// Waits until clients have requests under way: they take a while to start on a busy machine.
    func waitForRequests() throws {
        let isBusy = try eventually(everyMilliseconds: 50) {
            let text = try Shell.run(nbdext, ["top", arrayPath, "--prometheus"]).output
            return text.split(separator: "\n").contains {
                $0.hasPrefix("nbdext_export_queue_depth{") && !$0.hasSuffix(" 0")
            }
        }
        guard isBusy else { throw Failure(text: "no client sends anything") }
    }

    /// Waits until what `nbdext status` prints is as wanted.
    func waitForStatus(_ isWanted: (String) -> Bool) throws {
        var status = ""
        let isSo = try eventually(everyMilliseconds: 50) {
            status = try Shell.run(nbdext, ["status", arrayPath]).output
            return isWanted(status)
        }
        guard isSo else { throw Failure(text: "the status stays: \(status)") }
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
