import Platform

/// A change of power that the driver has been told of and has to acknowledge.
///
/// Threads: any.
package final class PowerChange: Sendable {
    private struct Pending {
        var flags: UInt32
        /// Milliseconds of the driver's clock.
        var since: UInt64
        var isNamed = false
    }

    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var pending: Pending?

    init() {}

    func begin(_ flags: UInt32, now: UInt64) { lock.withLock { pending = Pending(flags: flags, since: now) } }

    func acknowledge() { lock.withLock { pending = nil } }

    /// Whether the driver has been told of a change that it has not acknowledged.
    package var isPending: Bool { lock.withLock { pending != nil } }

    /// The change that is overdue, once: its flags, and how long ago it was, milliseconds.
    func overdue(after limitMilliseconds: UInt64, now: UInt64) -> (flags: UInt32, milliseconds: UInt64)? {
        lock.withLock {
            guard let pending, !pending.isNamed, now >= pending.since + limitMilliseconds else { return nil }
            self.pending?.isNamed = true
            return (pending.flags, now - pending.since)
        }
    }
}
