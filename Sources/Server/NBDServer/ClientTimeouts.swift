import Glibc
import Platform

/// How long the server bears with clients.
package struct ClientTimeouts: Sendable, Equatable {
    /// For the handshake as a whole, from the accepted connection to the choice of an export.
    package var handshakeMilliseconds = 10_000
    /// After so many seconds without a sign of life a TCP client is given up; 0 leaves that to the system.
    package var keepAliveSeconds = 120

    package init() {}

    /// Lets the system look whether a client's machine is still there: first after half of the time, then three times in
    /// the other half. Sockets that are not TCP's have no such thing.
    func apply(to descriptor: Int32) {
        guard keepAliveSeconds > 0 else { return }
        func set(_ level: Int32, _ option: Int32, _ value: Int) {
            var value = Int32(clamping: value)
            setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        let tcp = Int32(IPPROTO_TCP)
        let interval = max(keepAliveSeconds / 6, 1)
        set(tcp, TCP_KEEPIDLE, max(keepAliveSeconds - 3 * interval, 1))
        set(tcp, TCP_KEEPINTVL, interval)
        set(tcp, TCP_KEEPCNT, 3)
        // While data is under way nothing else is sent to find out.
        set(tcp, TCP_USER_TIMEOUT, keepAliveSeconds * 1000)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
    }
}
