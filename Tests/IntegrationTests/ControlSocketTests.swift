import Foundation
import Statistics
import TestTraits
import Testing

@testable import nbdext

/// Commands whose server fails, is mute or goes away.
@Suite("The control socket", .blocks, .slow)
struct ControlSocketTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.path + "/control" }

    private struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    @Test("an answer and an error come without the line's end")
    func lines() throws {
        let socket = try ControlSocket(
            path: path,
            commands: ["good": { $0.joined(separator: "+") }, "bad": { _ in throw Refusal(description: "not so") }])
        defer { socket.stop() }
        #expect(try ControlSocket.send("good\ta\tb", to: path) == "a+b")
        let error = #expect(throws: (any Error).self) { try ControlSocket.send("bad", to: path) }
        #expect(error.map { "\($0)" } == "not so")
    }

    @Test("something that does not answer is given up")
    func mute() throws {
        // Connections are taken by the system, and nobody reads them.
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let status = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(status == 0 && listen(descriptor, 1) == 0)
        let error = #expect(throws: (any Error).self) {
            try ControlSocket.send("power-cut", to: path, limitMilliseconds: 50)
        }
        #expect(error.map { "\($0)" }?.contains("does not answer") == true)
    }

    /// A server that is not to be found any more after it has told its statistics twice.
    private final class EndingServer: @unchecked Sendable {
        // SAFETY: only the socket's thread changes it.
        private var hasBegun = false

        func statistics(_ kind: String, path: String) -> String {
            var array = ArraySnapshot(name: "a", level: 5)
            array.hasPendingRebuild = true
            // The first answer is from before the command.
            if hasBegun {
                array.job = JobSnapshot(number: 1, kind: kind, byteCount: 1 << 20)
                unlink(path)
            }
            hasBegun = true
            var snapshot = StatisticsSnapshot()
            snapshot.arrays = [array]
            return snapshot.json.text
        }
    }

    @Test("a server that ends during a job is named as what stopped it", arguments: ["rebuild", "check"])
    func endingServer(kind: String) throws {
        let server = EndingServer()
        let path = path
        let socket = try ControlSocket(
            path: path,
            commands: [
                "add": { _ in "a\nit is rebuilt" }, "check": { _ in "a\na check is under way" },
                "statistics": { _ in server.statistics(kind, path: path) },
            ])
        defer { socket.stop() }
        let progress = try JobProgress(ArrayOptions.parse([directory.path, "--control", path]))
        let error = #expect(throws: (any Error).self) {
            if kind == "rebuild" { try progress.run("add", ["m"]) } else { try progress.run("check") }
        }
        let goesOn = kind == "rebuild" ? "; it goes on when a is served again" : ""
        #expect(error.map { "\($0)" } == "the \(kind) stopped with the server\(goesOn)")
    }
}
