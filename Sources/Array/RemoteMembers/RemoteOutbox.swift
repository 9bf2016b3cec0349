import MemberIO
import Platform

/// Outcomes on their way back to a lane.
///
/// Threads: `add` and `wakeLane` on the member's thread or the lane's; `take` on the lane's.
final class RemoteOutbox: @unchecked Sendable {
    // SAFETY: all that changes is touched under `lock`.
    private let wakeup: EventFD
    private let lock = Lock()
    private var completions: [MemberCompletion] = []
    private var isSignalled = false

    init() throws(OSError) {
        wakeup = try EventFD()
        completions.reserveCapacity(256)
    }

    /// Readable when there may be something to take.
    var descriptor: Int32 { wakeup.descriptor }

    /// Adds an outcome. The caller calls `wakeLane` afterwards.
    /// - Returns: whether it is the first outcome since `take`.
    func add(_ completion: MemberCompletion) -> Bool {
        lock.withLock {
            completions.append(completion)
            return completions.count == 1
        }
    }

    /// Wakes the lane, unless it was woken since `take`.
    func wakeLane() {
        lock.withLock {
            // Under the lock: otherwise a `take` in between would forget that the eventfd is about to become readable.
            if !isSignalled { wakeup.signal() }
            isSignalled = true
        }
    }

    /// Moves all outcomes to the end of `ready`.
    func take(into ready: inout [MemberCompletion]) {
        lock.withLock {
            if isSignalled { wakeup.clear() }
            isSignalled = false
            ready += completions
            completions.removeAll(keepingCapacity: true)
        }
    }
}
