import Foundation
import Platform
import TestSupport
import TestTraits

/// An array in a temporary directory, and a server for it.
final class ServedArray {
    let directory = TemporaryDirectory()
    let arrayPath: String
    private let options: [String]
    private let keepsErrors: Bool
    /// The server that was started last.
    private var server: Program?

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

    deinit { kill() }

    var socket: String { directory.path + "/socket" }
    var uri: String { "nbd+unix:///?socket=\(socket)" }
    var tracePath: String { directory.path + "/trace" }
    /// What the server that was started last has written to standard error, if that is kept.
    var errors: String { server?.errors ?? "" }
    var identifier: Int32 { server?.identifier ?? 0 }

    typealias Failure = Program.Failure

    /// Starts the server and waits until it is ready.
    func start(_ more: [String] = []) throws {
        let server = try Program(
            nbdext, ["serve", arrayPath, "--socket", socket] + options + more,
            errors: keepsErrors ? nil : .standardError)
        self.server = server
        try server.waitFor("ready: ")
        guard server.output.hasPrefix("ready: ") else { throw Failure(text: "no ready line: \(server.said)") }
    }

    /// Stops the server with SIGTERM.
    /// - Returns: its exit status.
    @discardableResult
    func stop() -> Int32 { server?.stop() ?? -1 }

    /// Ends the server without warning.
    func kill() { server?.stop(by: SIGKILL) }

    func removeMember(_ role: Int) throws {
        try FileManager.default.removeItem(atPath: "\(arrayPath)/member-\(role).img")
    }

    /// Begins to replace a member, and calls `body` when some of it is copied, and not all: a client at work makes it
    /// last.
    func replaceSlowly(_ member: String, by file: String, then body: () throws -> Void) throws {
        let client = try startFio([
            "--rw=randread", "--bs=4k", "--iodepth=1", "--size=1M", "--time_based", "--runtime=600",
        ])
        defer { client.stop() }
        try waitForRequests()
        let replace = try Program(nbdext, ["replace", arrayPath, member, file])
        var job = ""
        let isUnderWay = try eventually {
            job = try Shell.run(nbdext, ["top", arrayPath, "--json", "--once", "--interval", "0.1"]).output
            let isUnderWay = job.range(of: "\"done_bytes\": ?[0-9]{8}", options: .regularExpression) != nil
            return job.contains("\"replace\"") && isUnderWay
        }
        guard isUnderWay else { throw Failure(text: "the replacement does not get on: \(job)") }
        try body()
        // The command may go on showing what happens.
        replace.stop(by: SIGINT)
    }

    /// Waits until more requests have ended than at first: clients take a while to start on a busy machine.
    func waitForRequests() throws {
        func operations() throws -> Int {
            try Shell.run(nbdext, ["top", arrayPath, "--prometheus"]).output.split(separator: "\n")
                .filter { $0.hasPrefix("nbdext_export_operations_total{") }
                .compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
        }
        let before = try operations()
        let isBusy = try eventually(everyMilliseconds: 50) { try operations() > before }
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

    /// fio's options that have it read back what it writes.
    static let verifying = ["--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"]

    /// Starts fio's nbd engine.
    func startFio(_ options: [String]) throws -> Program {
        try Program("fio", ["--name=test", "--ioengine=nbd", "--uri=\(uri)"] + options)
    }

    /// Runs fio's nbd engine; throws unless all that was written is read back.
    func fioVerify(_ options: [String]) throws {
        let fio = try startFio(Self.verifying + ["--randseed=11"] + options)
        guard fio.wait() == 0 else { throw Failure(text: fio.said) }
    }
}
