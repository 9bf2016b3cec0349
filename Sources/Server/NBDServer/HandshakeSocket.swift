import Glibc
import Platform

/// A client's socket during the handshake. All calls keep to one deadline, that of the whole handshake.
///
/// Threads: the connection's.
struct HandshakeSocket {
    private let descriptor: Int32
    private let deadline: UInt64
    private(set) var isLate = false

    /// - Parameter milliseconds: how long the handshake may take from now on.
    init(_ descriptor: Int32, milliseconds: Int) {
        self.descriptor = descriptor
        deadline = monotonicMilliseconds() + UInt64(milliseconds)
    }

    /// Waits for bytes.
    /// - Returns: the bytes received; 0 when the client is gone or too late.
    mutating func receive(into buffer: inout [UInt8]) -> Int {
        while wait(for: POLLIN) {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count >= 0 { return count }
            guard errno == EINTR || errno == EAGAIN else { return 0 }
        }
        return 0
    }

    /// - Returns: false when the client is gone, or did not take everything in time.
    mutating func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            guard wait(for: POLLOUT) else { return false }
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 { sent += count }
            if count < 0 && errno != EINTR && errno != EAGAIN { return false }
        }
        return true
    }

    /// - Returns: false when the time is up.
    private mutating func wait(for event: Int32) -> Bool {
        while true {
            let now = monotonicMilliseconds()
            guard now < deadline else {
                isLate = true
                return false
            }
            var polled = pollfd(fd: descriptor, events: Int16(event), revents: 0)
            if poll(&polled, 1, Int32(clamping: deadline - now)) > 0 { return true }
        }
    }
}
