import CLinux
import Glibc
import NBDServer
import Platform

/// The server's end of the control socket, by which commands talk to a running server: a client sends one
/// `ControlRequest` and gets one `ControlReply`.
///
/// Requests are taken from the user that the server runs as, and from root.
///
/// Threads: one for each client, so that neither a slow request nor a silent client delays others. Requests that change
/// something are served one after another.
package final class ControlServer: Sendable {
    /// The socket's path for a server whose first array is in a directory.
    package static func defaultPath(directory: String) -> String { "\(directory)/nbdext.control" }

    private static let requestByteCountMax = 8192
    /// Clients at a time.
    private static let clientCountMax = 64
    /// The time that a client has to send its request, and to take each part of the reply.
    private static let clientMilliseconds = 5000
    /// Requests that change something and run or wait.
    private static let waitingCountMax = 16
    private let place: SocketPlace
    private let acceptor: Acceptor

    /// Carries a request out. Any thread.
    package typealias Service = @Sendable (ControlRequest) throws -> ControlReply

    /// Listens on a path.
    ///
    /// - Parameter service: gets each request. Its errors become `.refused`.
    /// - Throws: `OSError` or `OperationError`, when the socket cannot be made.
    package init(path: String, service: @escaping Service) throws {
        place = SocketPlace(path)
        let changes = CommandOrder(countMax: Self.waitingCountMax)
        let clients = Places(Self.clientCountMax)
        acceptor = try Acceptor([Listener(.unix(path: place.path), isPrivate: true)], of: "commands") { descriptor in
            guard Self.isFromUser(descriptor) else {
                return Self.refuse(descriptor, "only the server's user and root may give commands")
            }
            guard clients.take() else {
                return Self.refuse(descriptor, "\(Self.clientCountMax) commands are under way; try again")
            }
            do throws(OSError) {
                let command = try OSThread(name: "command") {
                    Self.serve(descriptor, service, changes)
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

    /// Whether a client is the server's user, or root. The socket's rights say so too, but somebody may have changed
    /// them, or passed a connection on.
    private static func isFromUser(_ descriptor: Int32) -> Bool {
        let user = nbdext_peer_user(descriptor)
        return user == Int64(geteuid()) || user == 0
    }

    /// Refuses a client without waiting for it.
    private static func refuse(_ descriptor: Int32, _ reason: String) {
        let line = line(.refused(reason: reason))
        _ = line.withUnsafeBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        close(descriptor)
    }

    /// Takes no more requests.
    package func stop() { acceptor.stop() }

    private static func serve(_ descriptor: Int32, _ service: Service, _ changes: CommandOrder) {
        limitCalls(on: descriptor, milliseconds: clientMilliseconds)
        guard let bytes = request(descriptor) else { return }
        var rest = line(reply(to: bytes, service, changes))[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }

    /// A request's line; nil when the client has sent nothing. A line that is too long is cut, and no request then.
    private static func request(_ descriptor: Int32) -> ArraySlice<UInt8>? {
        let end = monotonicMilliseconds() + UInt64(clientMilliseconds)
        var bytes = [UInt8](repeating: 0, count: requestByteCountMax)
        var count = 0
        while count < bytes.count, monotonicMilliseconds() < end {
            let received = bytes[count...].withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if received <= 0 { break }
            count += received
            if let end = bytes[count - received..<count].firstIndex(of: UInt8(ascii: "\n")) { return bytes[..<end] }
        }
        return count == 0 ? nil : bytes[..<count]
    }

    private static func reply(to bytes: ArraySlice<UInt8>, _ service: Service, _ changes: CommandOrder) -> ControlReply
    {
        guard let request = try? JSONText.decode(ControlRequest.self, from: bytes) else {
            return .refused(
                reason: "this server does not know the command \(ForeignText(bytes: bytes, byteCountMax: 64)); use the "
                    + "nbdext of the server's version")
        }
        func answer() -> ControlReply {
            do { return try service(request) } catch { return .refused(reason: ForeignText("\(error)").description) }
        }
        if request.onlyLooks { return answer() }
        return changes.inTurn(answer) ?? .refused(reason: "\(waitingCountMax) commands wait already; try again")
    }

    /// A reply as it is sent.
    private static func line(_ reply: ControlReply) -> [UInt8] {
        ((try? JSONText.encode(reply)) ?? []) + [UInt8(ascii: "\n")]
    }
}

/// Limits the time that each call on a socket may take.
func limitCalls(on descriptor: Int32, milliseconds: Int) {
    var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
}
