import Glibc
import Platform

/// Time limits for clients.
package struct ClientTimeouts: Sendable, Equatable {
    /// For the handshake as a whole, from the accepted connection to the choice of an export.
    package var handshakeMilliseconds = 10_000
    /// Seconds without a sign of life after which a TCP client is disconnected; 0 leaves the limit to the system.
    package var keepAliveSeconds = 120

    package init() {}

    /// Makes the system probe the client's machine: first after half of the time, then three times in the other half.
    /// Sockets other than TCP's do not have these options, and ignore them.
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
        // While data is unacknowledged, the system sends no probes; this option limits that time.
        set(tcp, TCP_USER_TIMEOUT, keepAliveSeconds * 1000)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
    }
}
