import Glibc
import Platform

/// Looking for a client's next request for a while before its thread sleeps: a wake-up takes longer than a small read
/// does.
///
/// It is done for a client that waits for each answer and asks again at once, as long as it goes on so.
///
/// Threads: the connection's.
struct ReceiveLinger {
    /// About what two wake-ups take; a client that pauses for longer than this wants to be slept for.
    private static let limitNanoseconds: UInt64 = 50_000
    private var isWorthwhile = false

    /// Like recv(2), and blocks; errors are left in errno.
    mutating func receive(_ descriptor: Int32, into memory: UnsafeMutableRawBufferPointer, mayLinger: Bool) -> Int {
        guard mayLinger else { return recv(descriptor, memory.baseAddress!, memory.count, 0) }
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
