import Glibc
import Platform

/// Polls a client's socket for a short time before the connection's thread sleeps: a wake-up takes longer than a small
/// read.
///
/// It adapts to the client: it polls only as long as each next request comes within the limit.
///
/// Threads: the connection's.
struct AdaptivePoll {
    /// About the time of two wake-ups. Sleeping is cheaper when a client pauses longer.
    private static let limitNanoseconds: UInt64 = 50_000
    private var isWorthwhile = false

    /// Like recv(2), and blocks; errors are left in errno.
    mutating func receive(_ descriptor: Int32, into memory: UnsafeMutableRawBufferPointer, mayPoll: Bool) -> Int {
        guard mayPoll else { return recv(descriptor, memory.baseAddress!, memory.count, 0) }
        let begin = monotonicNanoseconds()
        while isWorthwhile {
            let count = recv(descriptor, memory.baseAddress!, memory.count, Int32(MSG_DONTWAIT))
            if count >= 0 || errno != EAGAIN { return count }
            isWorthwhile = monotonicNanoseconds() - begin < Self.limitNanoseconds
        }
        let count = recv(descriptor, memory.baseAddress!, memory.count, 0)
        isWorthwhile = monotonicNanoseconds() - begin < Self.limitNanoseconds
        return count
    }
}
