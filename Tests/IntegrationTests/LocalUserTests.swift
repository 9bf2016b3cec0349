import Control
import Foundation
import Platform
import Statistics
import TestSupport
import TestTraits
import Testing

/// What another user of the machine can do.
@Suite("Other local users", .blocks, .slow)
struct LocalUserTests {
    private let directory = TemporaryDirectory()
    private var victim: String { "\(directory.path)/victim" }

    private func plantLink(_ name: String) throws -> String {
        try Data("precious".utf8).write(to: URL(fileURLWithPath: victim))
        let path = "\(directory.path)/\(name)"
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: victim)
        return path
    }

    private func isUntouched() -> Bool { (try? String(contentsOfFile: victim, encoding: .utf8)) == "precious" }

    @Test("a link in the place of a trace does not have another file overwritten")
    func trace() throws {
        let array = try ServedArray(level: 5, members: 3, size: "8M")
        let link = try plantLink("trace")
        let result = try Shell.run(
            nbdext, ["serve", array.arrayPath, "--socket", array.socket, "--trace", link])
        #expect(result.status != 0 && result.errors.contains("name the file itself"), "\(result.errors)")
        #expect(isUntouched())
        try array.start(["--trace", array.tracePath])
        array.stop()
        #expect(try mode(array.tracePath) == 0o600)
    }

    @Test("a link in the place of a report does not have another file overwritten")
    func report() throws {
        let link = try plantLink("report.html")
        let result = try Shell.run(nbdext, ["bench", "--html", link])
        #expect(result.status != 0 && result.errors.contains("name the file itself"), "\(result.errors)")
        #expect(isUntouched())
    }

    @Test("a link in the place of a member that is made does not have another file overwritten")
    func create() throws {
        let array = "\(directory.path)/a"
        try FileManager.default.createDirectory(atPath: array, withIntermediateDirectories: false)
        let link = try plantLink("a/.member-0.img.new")
        let result = try Shell.run(nbdext, ["create", array, "--level", "5", "--members", "3", "--size", "8M"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(isUntouched() && !FileManager.default.fileExists(atPath: link))
    }

    private func mode(_ path: String) throws -> Int {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int ?? -1
    }

    @Test("all that a server makes is its user's alone, whatever the umask is, but for the sockets of clients")
    func umask() throws {
        let script = """
            umask 0
            "$0" create "$1/a" --level 5 --members 3 --size 8M || exit
            exec "$0" serve "$1/a" --socket "$1/s"
            """
        let server = try Program("/bin/sh", ["-c", script, nbdext, directory.path])
        defer { server.stop() }
        try server.waitFor("ready: ")
        #expect(try mode("\(directory.path)/a") == 0o700)
        #expect(try mode("\(directory.path)/a/member-0.img") == 0o600)
        #expect(try mode("\(directory.path)/a/nbdext.control") == 0o600)
        #expect(try mode("\(directory.path)/s") == 0o777)
    }

    /// A socket that answers every command.
    private func makeSocket(_ path: String) throws -> ControlServer {
        try ControlServer(path: path) {
            switch $0 {
            case .powerCut: .done(message: "done", array: nil)
            default: .statistics(total: StatisticsSnapshot())
            }
        }
    }

    @Test(
        "a command of another user is refused, also where the socket's rights were changed",
        .enabled(if: geteuid() == 0 && Shell.has("setpriv"), "needs root and setpriv"))
    func otherUser() throws {
        let path = directory.path + "/control"
        chmod(directory.path, 0o755)
        let socket = try makeSocket(path)
        defer { socket.stop() }
        // The program may be where nobody else looks.
        let program = directory.path + "/nbdext"
        try FileManager.default.copyItem(atPath: nbdext, toPath: program)
        func powerCut() throws -> Shell.Result {
            try Shell.run(
                "setpriv",
                ["--reuid=65534", "--regid=65534", "--clear-groups", program, "power-cut", "--control", path])
        }
        let refused = try powerCut()
        #expect(refused.status != 0 && refused.errors.contains("permission denied"), "\(refused)")
        chmod(path, 0o777)
        let told = try powerCut()
        #expect(told.status != 0 && told.errors.contains("only the server's user and root"), "\(told)")
        #expect(try ControlClient(path: path).change(.powerCut).message == "done")
    }

    @Test("connections that say nothing keep no command waiting, and are not taken without end")
    func silent() throws {
        let path = directory.path + "/control"
        let socket = try makeSocket(path)
        defer { socket.stop() }
        var descriptors = try (0..<20).map { _ in try UnixSocket.connect(to: path) }
        defer { for descriptor in descriptors { close(descriptor) } }
        // They are given up after five seconds, one after another if they waited for one another.
        let begin = ContinuousClock.now
        #expect(try ControlClient(path: path).statistics().exports.isEmpty)
        #expect(try ControlClient(path: path).change(.powerCut).message == "done")
        #expect(ContinuousClock.now - begin < .seconds(60))
        // More than it takes at a time: the last one is told.
        descriptors += try (0..<80).map { _ in try UnixSocket.connect(to: path) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = recv(descriptors.last!, &bytes, bytes.count, 0)
        let isTold = String(decoding: bytes[..<max(count, 0)], as: UTF8.self).contains("commands are under way")
        // On a machine that is slow enough the first ones were given up meanwhile.
        #expect(isTold || ContinuousClock.now - begin > .seconds(4))
        for descriptor in descriptors { close(descriptor) }
        descriptors = []
        #expect(eventually { (try? ControlClient(path: path).statistics()) != nil })
    }

    @Test("an answer without an end is given up")
    func endlessAnswer() throws {
        let path = directory.path + "/control"
        let socket = try ControlServer(path: path) { _ in
            .done(message: String(repeating: "x", count: 80 << 20), array: nil)
        }
        defer { socket.stop() }
        let error = #expect(throws: (any Error).self) { try ControlClient(path: path).change(.powerCut) }
        #expect(error.map { "\($0)" }?.contains("does not answer") == true)
    }
}
