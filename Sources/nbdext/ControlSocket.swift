import Glibc
import NBDServer
import Platform
import Statistics

/// The socket by which other commands talk to a running server: one line goes in, words with tabs between them, and text comes back.
///
/// Threads: one of its own for each command, so that one that takes long keeps nobody from looking. Those that change
/// something come one after another.
final class ControlSocket: Sendable {
    /// Where a server listens whose first array is in a directory.
    static func defaultPath(directory: String) -> String { "\(directory)/nbdext.control" }

    private static let lineByteCountMax = 8192
    /// How long a server may take to answer what it only has to look up, with somebody else's command before that.
    private static let answerMilliseconds = 30_000
    /// Commands that change nothing.
    private static let lookups: Set<String> = ["status", "statistics", "prometheus"]
    private let place: SocketPlace
    private let acceptor: Acceptor

    typealias Command = @Sendable ([String]) throws -> String

    /// - Parameters:
    ///   - path: of the socket.
    ///   - commands: what each first word does with the others; it returns what the command prints.
    /// - Throws: when the socket cannot be made.
    init(path: String, commands: [String: Command]) throws {
        place = SocketPlace(path)
        let changes = CommandOrder()
        acceptor = try Acceptor([Listener(.unix(path: place.path))], of: "commands") { descriptor in
            do throws(OSError) {
                let command = try OSThread(name: "command") {
                    Self.serve(descriptor, commands, changes)
                    close(descriptor)
                }
                command.detach()
            } catch { close(descriptor) }
        }
    }

    /// Takes no more commands.
    func stop() { acceptor.stop() }

    private static func serve(_ descriptor: Int32, _ commands: [String: Command], _ changes: CommandOrder) {
        // A client that says or takes nothing does not keep the next one waiting for ever.
        limit(descriptor, milliseconds: 5000)
        var bytes = [UInt8](repeating: 0, count: lineByteCountMax)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return }
        let line = String(decoding: bytes[..<count], as: UTF8.self).filter { $0 != "\n" }
        let words = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        var reply = lookups.contains(words[0]) ? answer(words, commands) : changes.inTurn { answer(words, commands) }
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
        let descriptor = try connected(to: path, limitMilliseconds: limitMilliseconds)
        defer { close(descriptor) }
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

    /// Whether a server listens on a path.
    static func isAnswered(_ path: String) -> Bool {
        do { close(try connected(to: path, limitMilliseconds: answerMilliseconds)) } catch {
            return !(error is ServerIsGone)
        }
        return true
    }

    private static func connected(to path: String, limitMilliseconds: Int?) throws -> Int32 {
        let place = SocketPlace(path)
        guard let address = sockaddr_un(path: place.path) else {
            throw ServerError("the socket's name in \(path) is too long")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "make a socket") }
        if let limitMilliseconds { limit(descriptor, milliseconds: limitMilliseconds) }
        let status = address.withPointer { connect(descriptor, $0, $1) }
        let code = errno
        withExtendedLifetime(place) {}
        if status == 0 { return descriptor }
        close(descriptor)
        if code == EACCES {
            throw ServerError("may not connect to \(path): permission denied; run the command as the server's user")
        }
        if code == EAGAIN { throw mute(path) }
        throw ServerIsGone(
            description:
                "no server listens on \(path); is the array being served by this machine? If the server could not make that, "
                + "name its control socket with --control")
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

/// Lets commands come one after another.
private final class CommandOrder: Sendable {
    // Held for as long as a command takes: nobody waits for it but other commands.
    private let lock = Lock()

    func inTurn<Result>(_ body: () -> Result) -> Result { lock.withLock(body) }
}

/// A socket's path as the system takes it: a long one goes by way of its directory, which stays open meanwhile.
private final class SocketPlace: Sendable {
    private static let byteCountMax = 107
    private let descriptor: Int32
    let path: String

    init(_ path: String) {
        guard path.utf8.count > Self.byteCountMax, let slash = path.lastIndex(of: "/") else {
            descriptor = -1
            self.path = path
            return
        }
        // O_PATH
        descriptor = open(String(path[..<slash]), 0o10000000 | O_DIRECTORY | O_CLOEXEC)
        self.path = "/proc/self/fd/\(descriptor)/\(path[path.index(after: slash)...])"
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
