import Foundation
import Platform
import Statistics
import Synchronization
import TestSupport
import TestTraits
import Testing

@testable import Control

/// Requests whose server fails, is mute or goes away, and clients that send something else.
@Suite("The control socket", .blocks)
struct ControlSocketTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.path + "/control" }

    private struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    /// The requests that a server has got.
    private final class Heard: Sendable {
        let requests = Mutex<[ControlRequest]>([])
    }

    /// A server that makes a change of each request, and refuses a power cut.
    private func makeServer(_ heard: Heard = Heard()) throws -> ControlServer {
        try ControlServer(path: path) { request in
            heard.requests.withLock { $0.append(request) }
            if request == .powerCut { throw Refusal(description: "not\nso") }
            return .done(message: "it is done", array: "a")
        }
    }

    /// Every kind of request.
    private static let requests: [ControlRequest] = [
        .statistics, .status(directory: "/a"), .powerCut, .fail(directory: "/a", member: "1"),
        .remove(directory: "/a\t\n", member: "\"b\u{1B}"), .add(directory: "/é", member: "nbd://h/e"),
        .replace(directory: "/a", member: "0", by: nil), .replace(directory: "/a", member: "0", by: "m"),
        .check(directory: "/a"), .repair(directory: "/a"), .cancel(directory: "/a"),
    ]

    @Test("requests arrive as they were sent, and an answer or the reason of a refusal comes back")
    func messages() throws {
        let heard = Heard()
        let server = try makeServer(heard)
        defer { server.stop() }
        let client = ControlClient(path: path)
        #expect(client.isAnswered)
        for request in Self.requests where request != .powerCut {
            let answer = try client.change(request)
            #expect(answer.message == "it is done" && answer.array == "a")
        }
        #expect(heard.requests.withLock { $0 } == Self.requests.filter { $0 != .powerCut })
        let error = #expect(throws: (any Error).self) { try client.change(.powerCut) }
        #expect(error.map { "\($0)" } == #"not\u{a}so"#)
        // An answer to another request.
        #expect(throws: (any Error).self) { try client.statistics() }
    }

    /// The server's answer to bytes, which stay without an end.
    private func answer(to bytes: [UInt8]) throws -> String {
        let descriptor = try UnixSocket.connect(to: path)
        defer { close(descriptor) }
        #expect(send(descriptor, bytes, bytes.count, 0) == bytes.count)
        #expect(shutdown(descriptor, Int32(SHUT_WR)) == 0)
        var reply = [UInt8](repeating: 0, count: 4096)
        var count = 0
        while case let received = recv(descriptor, &reply[count], reply.count - count, 0), received > 0 {
            count += received
        }
        return String(decoding: reply[..<count], as: UTF8.self)
    }

    @Test("the shape of a request is what the manual says")
    func shape() throws {
        let server = try makeServer()
        defer { server.stop() }
        #expect(try answer(to: Array(#"{"statistics":{}}"#.utf8)).hasPrefix(#"{"done":{"#))
        #expect(try answer(to: Array("{\"status\":{\"directory\":\"/a\"}}\nmore".utf8)).hasPrefix(#"{"done":{"#))
    }

    @Test(
        "what is no request is refused, and harms nobody",
        arguments: [
            "statistics", "{", "{}", #"{"statistics":{}} x"#, #"{"status":{}}"#, #"{"fail":{"directory":"a"}}"#,
            #"{"statistics":{},"powerCut":{}}"#, #"{"status":{"directory":7}}"#, "\u{0}", "[1,]", "nul", #""\ud83d""#,
            String(repeating: "[", count: 8000), String(repeating: #"{"status":"#, count: 900),
            #"{"status":{"directory":""# + String(repeating: "x", count: 9000) + #""}}"#,
        ])
    func nonsense(text: String) throws {
        let server = try makeServer()
        defer { server.stop() }
        let answer = try answer(to: Array(text.utf8))
        #expect(answer.hasPrefix(#"{"refused":{"reason":"this server does not know the command"#), "\(answer)")
        #expect(answer.utf8.count < 400 && answer.hasSuffix("\n"))
    }

    @Test("replies that no server of this version gives are refused, however deep they are nested")
    func strangeReplies() {
        for text in ["{", #"{"statistics":{}}"#, #"{"statistics":{"total":{"exports":1}}}"#, #"{"done":{}}"#, ""] {
            #expect(throws: DecodingError.self) { try JSONText.decode(ControlReply.self, from: text.utf8) }
        }
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: DecodingError.self) { try JSONText.decode(ControlReply.self, from: deep.utf8) }
    }

    @Test("something that does not answer is given up")
    func mute() throws {
        // Connections are taken by the system, and nobody reads them.
        let descriptor = try UnixSocket.listen(on: path, backlog: 1)
        defer { close(descriptor) }
        let error = #expect(throws: (any Error).self) {
            try ControlClient(path: path, lookMilliseconds: 50).statistics()
        }
        #expect(error.map { "\($0)" }?.contains("does not answer") == true)
    }

    /// A server that nobody finds any more after it has sent its statistics twice.
    private final class EndingServer: Sendable {
        private let hasBegun = Mutex(false)

        func statistics(_ kind: String, path: String) -> ControlReply {
            var array = ArraySnapshot(name: "a", level: 5)
            array.hasPendingRebuild = true
            // The first answer is from before the command.
            if hasBegun.withLock({ $0 }) {
                array.job = JobSnapshot(number: 1, kind: kind, byteCount: 1 << 20)
                unlink(path)
            }
            hasBegun.withLock { $0 = true }
            var snapshot = StatisticsSnapshot()
            snapshot.arrays = [array]
            return .statistics(total: snapshot)
        }
    }

    @Test("a server that ends during a job is named as what stopped it", arguments: ["rebuild", "check"])
    func endingServer(kind: String) throws {
        let ending = EndingServer()
        let path = path
        let server = try ControlServer(path: path) { request in
            switch request {
            case .statistics: ending.statistics(kind, path: path)
            default: .done(message: "it is under way", array: "a")
            }
        }
        defer { server.stop() }
        let progress = try JobProgress(ControlClient(path: path))
        let error = #expect(throws: (any Error).self) {
            if kind == "rebuild" {
                try progress.runMemberChange(.add(directory: "/a", member: "m"))
            } else {
                _ = try progress.runParityJob(.check(directory: "/a"))
            }
        }
        let goesOn = kind == "rebuild" ? "; it goes on when a is served again" : ""
        #expect(error.map { "\($0)" } == "the \(kind) stopped with the server\(goesOn)")
    }
}
