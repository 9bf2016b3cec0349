import Glibc

/// The address of a socket. Port and text are those of a TCP socket, of either family.
struct SocketAddress: Equatable {
    /// A sockaddr_in or a sockaddr_in6.
    private var bytes: [UInt8]
    /// The port is at the same place in both.
    private static let portOffset = 2

    init(_ entry: addrinfo) {
        bytes = Array(UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen)))
    }

    /// The address that a socket is bound to.
    init(boundTo descriptor: Int32) { self.init { getsockname(descriptor, $0, $1) } }

    /// The address of a socket's other end.
    init(peerOf descriptor: Int32) { self.init { getpeername(descriptor, $0, $1) } }

    private init(_ get: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = get($0, &size) }
        }
        // If the call fails, this is an address of no family.
        bytes = withUnsafeBytes(of: storage) { Array($0[..<Int(size)]) }
    }

    var family: Int32 { bytes.withUnsafeBytes { Int32($0.loadUnaligned(as: sa_family_t.self)) } }

    var port: UInt16 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: Self.portOffset, as: UInt16.self).bigEndian }
    }

    func with<Result>(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: port.bigEndian, toByteOffset: Self.portOffset, as: UInt16.self)
            return body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
    }

    /// As people write it, without the port.
    var text: String {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let status = with(port: port) {
            getnameinfo($0, $1, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST)
        }
        return status == 0 ? host.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } : "an address"
    }
}
