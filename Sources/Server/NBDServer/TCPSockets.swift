import Glibc
import Platform

/// Listening TCP sockets for every address of a host, all with one port.
struct TCPSockets {
    private(set) var descriptors: [Int32] = []
    private(set) var port: UInt16

    /// Attempts to find a port that is free in both address families, when the system chooses the port.
    private static let portAttempts = 16

    /// Binds and listens.
    /// - Parameters:
    ///   - host: a name or an address; empty for all of this machine's.
    ///   - port: 0 lets the system choose.
    static func listen(host: String, port: UInt16, backlog: Int32) throws(OperationError) -> TCPSockets {
        let addresses = try resolve(host, port)
        for attempt in 1...portAttempts {
            var sockets = TCPSockets(port: port)
            do throws(Failure) {
                try sockets.open(addresses, host: host, backlog: backlog)
                return sockets
            } catch {
                let mayRetry = port == 0 && error.code == EADDRINUSE && attempt < portAttempts
                for descriptor in sockets.descriptors { close(descriptor) }
                guard !mayRetry else { continue }
                let advice =
                    error.code == EADDRINUSE
                    ? "choose another --listen, or stop the server that has the port" : "choose another --listen"
                throw OperationError(
                    "cannot listen on \(name(host, port)): \(error.address.text): "
                        + "\(String(cString: strerror(error.code))); \(advice)")
            }
        }
        preconditionFailure("the last attempt returns or throws")
    }

    private init(port: UInt16) { self.port = port }

    private struct Failure: Error {
        var address: SocketAddress
        var code: Int32
    }

    /// Opens a socket for each address. If the machine lacks one of several addresses - IPv6 is often turned off - a
    /// message says that it is not served.
    private mutating func open(_ addresses: [SocketAddress], host: String, backlog: Int32) throws(Failure) {
        var leftOut: [Failure] = []
        for address in addresses {
            do throws(Failure) { try bind(address) } catch {
                guard [EAFNOSUPPORT, EADDRNOTAVAIL].contains(error.code) else { throw error }
                leftOut.append(error)
            }
        }
        guard !descriptors.isEmpty else { throw leftOut[0] }
        for descriptor in descriptors where Glibc.listen(descriptor, backlog) != 0 {
            throw Failure(address: addresses[0], code: errno)
        }
        // An empty host means the addresses that the machine has, so a missing one is no news.
        for failure in leftOut where !host.isEmpty {
            writeMessage(
                "\(host) is also \(failure.address.text), which is not served: "
                    + "\(String(cString: strerror(failure.code)))")
        }
    }

    private mutating func bind(_ address: SocketAddress) throws(Failure) {
        let descriptor = socket(address.family, listeningSocketType, 0)
        guard descriptor >= 0 else { throw Failure(address: address, code: errno) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        // IPv4 has sockets of its own.
        if address.family == AF_INET6 {
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        let status = address.with(port: port) { Glibc.bind(descriptor, $0, $1) }
        guard status == 0 else {
            let code = errno
            close(descriptor)
            throw Failure(address: address, code: code)
        }
        descriptors.append(descriptor)
        port = SocketAddress(boundTo: descriptor).port
    }

    /// Every address of a host, each once.
    private static func resolve(_ host: String, _ port: UInt16) throws(OperationError) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
        guard status == 0 else {
            throw OperationError(
                "cannot find the address \(name(host, port)): \(String(cString: gai_strerror(status))); choose another "
                    + "--listen")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            let address = SocketAddress(entry)
            if !addresses.contains(address) { addresses.append(address) }
            next = entry.ai_next
        }
        return addresses
    }

    private static func name(_ host: String, _ port: UInt16) -> String {
        let shown = host.isEmpty ? "*" : host.contains(":") ? "[\(host)]" : host
        return "\(shown):\(port)"
    }
}
