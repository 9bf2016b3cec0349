import CLinux
import Glibc
import NBDServer
import Platform

/// The socket by which other commands talk to a running server: one line goes in, words with tabs between them, and text comes back.
///
/// Threads: one of its own serves one command after another.
final class ControlSocket: Sendable {
    /// Where a server listens whose first array is in a directory.
    static func defaultPath(directory: String) -> String { "\(directory)/nbdext.control" }

    private static let lineByteCountMax = 8192
    private let listener: Listener

    typealias Command = @Sendable ([String]) throws -> String

    /// - Parameters:
    ///   - path: of the socket.
    ///   - commands: what each first word does with the others; it returns what the command prints.
    /// - Throws: when the socket cannot be made.
    init(path: String, commands: [String: Command]) throws {
        let listener = try Listener(.unix(path: path))
        self.listener = listener
        let thread = try OSThread(name: "control") {
            while true {
                let descriptor = nbdext_accept(listener.descriptor)
                if descriptor < 0 { return }
                Self.serve(descriptor, commands)
                close(descriptor)
            }
        }
        thread.detach()
    }

    /// Takes no more commands.
    func stop() {
        shutdown(listener.descriptor, Int32(SHUT_RDWR))
        listener.close()
    }

    private static func serve(_ descriptor: Int32, _ commands: [String: Command]) {
        // A client that says or takes nothing does not keep the next one waiting for ever.
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
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

    /// Sends a command to the server that listens on a path.
    /// - Returns: what the command printed.
    static func send(_ words: String, to path: String) throws -> String {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw ServerError("the socket path \(path) is too long (at most 107 bytes)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "make a socket") }
        defer { close(descriptor) }
        let status = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            throw ServerError(
                "no server listens on \(path); is the array being served by this machine? If it is not the first array of "
                    + "its server, name the control socket with --control")
        }
        var line = words + "\n"
        line.withUTF8 { _ = Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        var reply: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count <= 0 { break }
            reply += chunk[..<count]
        }
        let text = String(decoding: reply, as: UTF8.self)
        let body = text.drop { $0 != "\n" }.dropFirst()
        guard text.hasPrefix("ok\n") else {
            throw ServerError(body.isEmpty ? "the server gave no answer" : String(body))
        }
        return String(body.hasSuffix("\n") ? body.dropLast() : body)
    }
}
