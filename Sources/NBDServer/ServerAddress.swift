import CLinux
import Glibc
import Platform

/// Where a server listens.
package enum ServerAddress: Sendable, Equatable {
    case unix(path: String)
    /// Port "0" lets the system choose.
    case tcp(host: String, port: String)

    /// Reads "HOST:PORT"; an IPv6 host stands in brackets. Nil when it is something else.
    package init?(hostAndPort text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = String(text[..<colon])
        let port = String(text[text.index(after: colon)...])
        if host.hasPrefix("[") && host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard UInt16(port) != nil, !host.isEmpty else { return nil }
        self = .tcp(host: host, port: port)
    }
}

/// A listening socket.
package struct Listener: Sendable {
    /// For accept(2).
    package let descriptor: Int32
    /// The address for people and clients, without the export: "nbd://localhost:10809", "nbd+unix://".
    let uri: @Sendable (String) -> String
    /// The socket file to remove at the end.
    let path: String?

    /// Binds and listens.
    /// - Throws: one sentence with the address and what to do.
    package init(_ address: ServerAddress) throws(ServerError) {
        switch address {
        case .unix(let path): self = try Self.listen(path: path)
        case .tcp(let host, let port): self = try Self.listen(host: host, port: port)
        }
    }

    private init(descriptor: Int32, path: String?, uri: @escaping @Sendable (String) -> String) {
        self.descriptor = descriptor
        self.path = path
        self.uri = uri
    }

    /// Ends it, and removes the socket's file.
    package func close() {
        Glibc.close(descriptor)
        if let path { unlink(path) }
    }

    private static func listen(path: String) throws(ServerError) -> Listener {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw ServerError("the socket path \(path) is too long (at most 107 bytes); choose a shorter one")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        guard descriptor >= 0 else { throw ServerError("cannot make a socket: \(reason(errno))") }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        func attempt(_ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
            withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(descriptor, $0, size) }
            }
        }
        do throws(ServerError) {
            if attempt({ bind($0, $1, $2) }) != 0 {
                guard errno == EADDRINUSE else { throw failure(path, errno) }
                try checkIsSocket(path)
                // A socket that nobody listens on was left behind by a server that died.
                guard attempt({ connect($0, $1, $2) }) != 0, errno == ECONNREFUSED else {
                    throw ServerError("\(path) is in use; choose another path, or stop the server that has it")
                }
                guard unlink(path) == 0, attempt({ bind($0, $1, $2) }) == 0 else { throw failure(path, errno) }
            }
            guard Glibc.listen(descriptor, 128) == 0 else { throw failure(path, errno) }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        return Listener(descriptor: descriptor, path: path) { "nbd+unix:///\($0)?socket=\(path)" }
    }

    /// Only a socket may be replaced: to connect to a file of any other kind is refused too.
    private static func checkIsSocket(_ path: String) throws(ServerError) {
        var information = stat()
        guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK else {
            throw ServerError("\(path) is there and is no socket; choose another path")
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> ServerError {
        let advice = code == ENOENT ? "make its directory, or choose another path" : "choose another path"
        return ServerError("cannot listen on \(path): \(reason(code)); \(advice)")
    }

    private static func listen(host: String, port: String) throws(ServerError) -> Listener {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, port, &hints, &list)
        guard status == 0, let first = list else {
            throw ServerError("cannot find the address \(host):\(port): \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(list) }
        let descriptor = socket(first.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        guard descriptor >= 0 else { throw ServerError("cannot make a socket: \(reason(errno))") }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0,
            Glibc.listen(descriptor, 128) == 0
        else {
            let code = errno
            Glibc.close(descriptor)
            throw ServerError(
                "cannot listen on \(host):\(port): \(reason(code)); choose another --listen, or stop the "
                    + "server that has the port")
        }
        let bound = port == "0" ? String(boundPort(descriptor)) : port
        let shown = host.contains(":") ? "[\(host)]" : host
        return Listener(descriptor: descriptor, path: nil) { "nbd://\(shown):\(bound)/\($0)" }
    }

    private static func boundPort(_ descriptor: Int32) -> UInt16 {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &size) }
            // The port is at the same place in both families.
            return UnsafeRawPointer(storage).load(fromByteOffset: 2, as: UInt16.self).bigEndian
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// Why a server cannot serve: one sentence that says what to do.
package struct ServerError: Error, CustomStringConvertible, Equatable {
    package let description: String

    package init(_ description: String) { self.description = description }
}
