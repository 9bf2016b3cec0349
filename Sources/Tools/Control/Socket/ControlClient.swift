import ArrayStore
import Glibc
import Platform
import StackModel
import Statistics

/// A command's end of the control socket.
///
/// Threads: any. Every call makes a connection of its own.
package struct ControlClient: Sendable {
    /// The time for an answer that the server only has to look up, with another command before it.
    private static let answerMilliseconds = 30_000
    /// The bytes of a reply that are read.
    private static let replyByteCountMax = 64 << 20
    private let path: String
    private let lookMilliseconds: Int

    /// - Parameters:
    ///   - path: of the server's socket.
    ///   - lookMilliseconds: the time for an answer to a request that changes nothing.
    package init(path: String, lookMilliseconds: Int? = nil) {
        self.path = path
        self.lookMilliseconds = lookMilliseconds ?? Self.answerMilliseconds
    }

    // MARK: Requests

    /// Everything that the server has counted, and the state of its arrays and jobs.
    ///
    /// - Throws: as `send`.
    package func statistics() throws -> StatisticsSnapshot {
        guard case .statistics(let total) = try send(.statistics, limitMilliseconds: lookMilliseconds) else {
            throw unreadable
        }
        return total
    }

    /// The state of the array in a directory.
    ///
    /// - Throws: as `send`.
    package func status(directory: String) throws -> ArrayDescription {
        let request = ControlRequest.status(directory: directory)
        guard case .status(let array) = try send(request, limitMilliseconds: lookMilliseconds) else { throw unreadable }
        return array
    }

    /// The registry of the server's machine.
    ///
    /// - Throws: as `send`.
    package func registry() throws -> RegistryTree {
        guard case .registry(let tree) = try send(.registry, limitMilliseconds: lookMilliseconds) else {
            throw unreadable
        }
        return tree
    }

    /// Asks for a change. The answer takes as long as the members take.
    ///
    /// - Returns: one sentence for people, and the name of the array; empty for a power cut.
    /// - Throws: as `send`.
    package func change(_ request: ControlRequest) throws -> (message: String, array: String) {
        let limit = request == .powerCut ? Self.answerMilliseconds : nil
        guard case .done(let message, let array) = try send(request, limitMilliseconds: limit) else { throw unreadable }
        return (message, array ?? "")
    }

    /// Whether a server listens on the path.
    package var isAnswered: Bool {
        do { close(try connected(limitMilliseconds: Self.answerMilliseconds)) } catch {
            return (error as? OperationError)?.kind != .unreachable
        }
        return true
    }

    // MARK: The connection

    /// Sends a request.
    ///
    /// - Parameter limitMilliseconds: the time for the answer; nil for any.
    /// - Throws: `OperationError`: with the server's reason if it has refused; `.unreachable` when no server listens,
    ///   or when it ended before it answered.
    private func send(_ request: ControlRequest, limitMilliseconds: Int?) throws -> ControlReply {
        let line = try JSONText.encode(request) + [UInt8(ascii: "\n")]
        let descriptor = try connected(limitMilliseconds: limitMilliseconds)
        defer { close(descriptor) }
        _ = line.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        let bytes = try reply(descriptor)
        guard !bytes.isEmpty else {
            throw OperationError("the server at \(path) ended before it answered", .unreachable)
        }
        guard let reply = try? JSONText.decode(ControlReply.self, from: bytes) else { throw unreadable }
        if case .refused(let reason) = reply { throw OperationError(reason) }
        return reply
    }

    private func connected(limitMilliseconds: Int?) throws -> Int32 {
        let place = SocketPlace(path)
        guard let address = sockaddr_un(path: place.path) else {
            throw OperationError("the socket's name in \(path) is too long")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "make a socket") }
        if let limitMilliseconds { limitCalls(on: descriptor, milliseconds: limitMilliseconds) }
        let status = address.withPointer { connect(descriptor, $0, $1) }
        let code = errno
        withExtendedLifetime(place) {}
        if status == 0 { return descriptor }
        close(descriptor)
        if code == EACCES {
            throw OperationError("may not connect to \(path): permission denied; run the command as the server's user")
        }
        if code == EAGAIN { throw mute }
        throw OperationError(
            "no server listens on \(path); is the array being served by this machine? If the server could not make that "
                + "socket, name its control socket with --control", .unreachable)
    }

    private func reply(_ descriptor: Int32) throws -> [UInt8] {
        var reply: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0 && errno == EAGAIN { throw mute }
            if count <= 0 { return reply }
            reply += chunk[..<count]
            guard reply.count <= Self.replyByteCountMax else { throw mute }
        }
    }

    private var mute: OperationError {
        OperationError("the program that listens on \(path) does not answer; is it an nbdext server?")
    }

    private var unreadable: OperationError {
        OperationError(
            "the server at \(path) is of another version: its answer cannot be read; use that version's nbdext")
    }
}
