import Glibc
import NBDServer
import Platform
import Statistics

/// The socket by which other commands talk to a running server: one line goes in, words with tabs between them, and text comes back.
///
/// Threads: one of its own serves one command after another.
final class ControlSocket: Sendable {
    /// Where a server listens whose first array is in a directory.
    static func defaultPath(directory: String) -> String { "\(directory)/nbdext.control" }

    private static let lineByteCountMax = 8192
    /// How long a server may take to answer what it only has to look up, with somebody else's command before that.
    private static let answerMilliseconds = 30_000
    private let acceptor: Acceptor

    typealias Command = @Sendable ([String]) throws -> String

    /// - Parameters:
    ///   - path: of the socket.
    ///   - commands: what each first word does with the others; it returns what the command prints.
    /// - Throws: when the socket cannot be made.
    init(path: String, commands: [String: Command]) throws {
        acceptor = try Acceptor([Listener(.unix(path: path))], of: "commands") { descriptor in
            Self.serve(descriptor, commands)
            close(descriptor)
        }
    }

    /// Takes no more commands.
    func stop() { acceptor.stop() }

    private static func serve(_ descriptor: Int32, _ commands: [String: Command]) {
        // A client that says or takes nothing does not keep the next one waiting for ever.
        limit(descriptor, milliseconds: 5000)
        var bytes = [UInt8](repeating: 0, count: lineByteCountMax)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return }
        let line = String(decoding: bytes[..<count], as: UTF8.self).filter { $0 != "\n" }
        var reply = answer(line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init), commands)
        reply += "\n"
        reply.withUTF8 { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = Glibc.send(
                    descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
                if count <= 0 { return }
                sent += count
            }
        }
    }

    private static func answer(_ words: [String], _ commands: [String: Command]) -> String {
        guard let command = commands[words[0]] else {
            return "error\nthis server does not know the command \(words[0])"
        }
        do { return "ok\n" + (try command(Array(words.dropFirst()))) } catch { return "error\n\(error)" }
    }

    /// No server listens, or the one that did has ended.
    struct ServerIsGone: Error, CustomStringConvertible {
        let description: String
    }

    /// Sends a command to the server that listens on a path.
    /// - Parameter limitMilliseconds: how long the answer may take; nil for a command that writes to members, which takes as
    ///   long as they do.
    /// - Returns: what the command printed.
    /// - Throws: `ServerIsGone`, and what the server answers when it could not do it.
    static func send(
        _ words: String, to path: String, limitMilliseconds: Int? = answerMilliseconds
    ) throws -> String {
        guard let address = sockaddr_un(path: path) else {
            throw ServerError("the socket path \(path) is too long (at most 107 bytes)")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "make a socket") }
        defer { close(descriptor) }
        if let limitMilliseconds { limit(descriptor, milliseconds: limitMilliseconds) }
        let status = address.withPointer { connect(descriptor, $0, $1) }
        guard status == 0 else {
            if errno == EACCES {
                throw ServerError("may not connect to \(path): permission denied; run the command as the server's user")
            }
            if errno == EAGAIN { throw mute(path) }
            throw ServerIsGone(
                description:
                    "no server listens on \(path); is the array being served by this machine? If it is not the first array of "
                    + "its server, name the control socket with --control")
        }
        var line = words + "\n"
        line.withUTF8 { _ = Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        let text = try reply(descriptor, path)
        guard !text.isEmpty else { throw ServerIsGone(description: "the server at \(path) ended before it answered") }
        var body = text.drop { $0 != "\n" }.dropFirst()
        if body.hasSuffix("\n") { body = body.dropLast() }
        guard text.hasPrefix("ok\n") else {
            throw ServerError(body.isEmpty ? "what listens on \(path) is no nbdext server" : String(body))
        }
        return String(body)
    }

    /// What a server has counted, and the state of its arrays and jobs.
    /// - Parameter limitMilliseconds: how long the answer may take.
    static func statistics(
        from path: String, limitMilliseconds: Int = answerMilliseconds
    ) throws -> StatisticsSnapshot {
        let text = try send("statistics", to: path, limitMilliseconds: limitMilliseconds)
        guard let json = JSONParser.parse(text), let snapshot = StatisticsSnapshot(json: json) else {
            throw ServerError("the server at \(path) is of another version: its statistics cannot be read")
        }
        return snapshot
    }

    private static func reply(_ descriptor: Int32, _ path: String) throws -> String {
        var reply: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0 && errno == EAGAIN { throw mute(path) }
            if count <= 0 { return String(decoding: reply, as: UTF8.self) }
            reply += chunk[..<count]
        }
    }

    private static func mute(_ path: String) -> ServerError {
        ServerError("what listens on \(path) does not answer; is it an nbdext server's control socket?")
    }

    /// Limits how long each call on a socket may take.
    private static func limit(_ descriptor: Int32, milliseconds: Int) {
        var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
}
