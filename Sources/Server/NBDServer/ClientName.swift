import Glibc

/// Who has connected, for messages: a TCP client's address and port, or the process at the other end of a Unix socket.
/// - Parameter descriptor: a socket that was accepted.
func clientName(of descriptor: Int32) -> String {
    let address = SocketAddress(peerOf: descriptor)
    switch address.family {
    case AF_INET: return "\(address.text):\(address.port)"
    case AF_INET6: return "[\(address.text)]:\(address.port)"
    case AF_UNIX:
        // The first field of struct ucred (unix(7)); no more is copied than there is room for.
        var process: pid_t = 0
        var size = socklen_t(MemoryLayout<pid_t>.size)
        let status = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &process, &size)
        return status == 0 && process > 0 ? "process \(process)" : "a process"
    // getpeername(2) fails when the connection was reset.
    default: return "already gone"
    }
}
