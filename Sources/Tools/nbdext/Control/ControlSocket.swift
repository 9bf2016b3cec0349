import CLinux
import Glibc
import NBDServer
import Platform
import Statistics
import Synchronization

/// The socket by which other commands talk to a running server: one line goes in, words with tabs between them, and text comes back.
///
/// Commands are taken from the user that the server runs as, and from root.
///
/// Threads: one of its own for each command, so that one that takes long, or a client that says nothing, keeps nobody from
/// looking. Those that change something come one after another.
final class ControlSocket: Sendable {
    /// Where a server listens whose first array is in a directory.
    static func defaultPath(directory: String) -> String { "\(directory)/nbdext.control" }

    private static let lineByteCountMax = 8192
    /// How long a server may take to answer what it only has to look up, with somebody else's command before that.
    private static let answerMilliseconds = 30_000
    /// Commands that change nothing.
    private static let lookups: Set<String> = ["status", "statistics", "prometheus"]
    /// Clients at a time.
    private static let clientCountMax = 64
    /// How long a client may take to say what it wants, and to take the answer.
    private static let clientMilliseconds = 5000
    /// How many commands that change something may wait for their turn.
    private static let waitingCountMax = 16
    /// A server's answer is shorter.
    private static let replyByteCountMax = 64 << 20
    private let place: SocketPlace
    private let acceptor: Acceptor

    typealias Command = @Sendable ([String]) throws -> String

    /// - Parameters:
    ///   - path: of the socket.
    ///   - commands: what each first word does with the others; it returns what the command prints.
    /// - Throws: when the socket cannot be made.
    init(path: String, commands: [String: Command]) throws {
        place = SocketPlace(path)
        let changes = CommandOrder(countMax: Self.waitingCountMax)
        let clients = Places(Self.clientCountMax)
        acceptor = try Acceptor([Listener(.unix(path: place.path), isPrivate: true)], of: "commands") { descriptor in
            guard Self.isFromUser(descriptor) else {
                return Self.refuse(descriptor, "commands are taken from the server's user and from root alone")
            }
            guard clients.take() else {
                return Self.refuse(descriptor, "\(Self.clientCountMax) commands are under way; try again")
            }
            do throws(OSError) {
                let command = try OSThread(name: "command") {
                    Self.serve(descriptor, commands, changes)
                    close(descriptor)
                    clients.giveBack()
                }
                command.detach()
            } catch {
                close(descriptor)
                clients.giveBack()
            }
        }
    }

    /// Whether a client is the server's user, or root: the socket's rights say so too, but not of one that somebody has
    /// changed them for, or has passed on.
    private static func isFromUser(_ descriptor: Int32) -> Bool {
        let user = nbdext_peer_user(descriptor)
        return user == Int64(geteuid()) || user == 0
    }

    /// Waits for nobody.
    private static func refuse(_ descriptor: Int32, _ why: String) {
        var reply = "error\n\(why)\n"
        reply.withUTF8 { _ = Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) }
        close(descriptor)
    }

    /// Takes no more commands.
    func stop() { acceptor.stop() }

    private static func serve(_ descriptor: Int32, _ commands: [String: Command], _ changes: CommandOrder) {
        // A client that says or takes nothing does not keep the next one waiting for ever.
        limit(descriptor, milliseconds: clientMilliseconds)
        var bytes = [UInt8](repeating: 0, count: lineByteCountMax)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return }
        let line = String(decoding: bytes[..<count], as: UTF8.self).filter { $0 != "\n" }
        let words = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        var reply =
            lookups.contains(words[0])
            ? answer(words, commands)
            : changes.inTurn { answer(words, commands) } ?? "error\n\(waitingCountMax) commands wait already; try again"
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
            return "error\nthis server does not know the command \(ForeignText(words[0], byteCountMax: 64))"
        }
        do { return "ok\n" + (try command(Array(words.dropFirst()))) } catch {
            return "error\n\(ForeignText("\(error)"))"
        }
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
            guard reply.count <= replyByteCountMax else { throw mute(path) }
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
    private let places: Places

    /// - Parameter countMax: commands, with the one that has its turn.
    init(countMax: Int) { places = Places(countMax) }

    /// - Returns: nil when too many wait.
    func inTurn<Result>(_ body: () -> Result) -> Result? {
        guard places.take() else { return nil }
        defer { places.giveBack() }
        return lock.withLock(body)
    }
}

/// A number of places, each of which one at a time has. Threads: any.
private final class Places: Sendable {
    private let count: Int
    private let taken = Atomic<Int>(0)

    init(_ count: Int) { self.count = count }

    /// - Returns: false when none is left.
    func take() -> Bool {
        if taken.add(1, ordering: .relaxed).newValue <= count { return true }
        giveBack()
        return false
    }

    func giveBack() { taken.subtract(1, ordering: .relaxed) }
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
