import MemberIO
import Platform

/// Outcomes on their way back to a lane.
///
/// Threads: `add` and `ring` on the member's thread or the lane's; `take` on the lane's.
final class RemoteOutbox: @unchecked Sendable {
    // SAFETY: all that changes is touched under `lock`.
    private let bell: Bell
    private let lock = Lock()
    private var completions: [MemberCompletion] = []
    private var hasRung = false

    init() throws(OSError) {
        bell = try Bell()
        completions.reserveCapacity(256)
    }

    /// Readable when there may be something to take.
    var descriptor: Int32 { bell.descriptor }

    /// Adds an outcome. The caller calls `ring` afterwards.
    /// - Returns: whether it is the first outcome since `take`.
    func add(_ completion: MemberCompletion) -> Bool {
        lock.withLock {
            completions.append(completion)
            return completions.count == 1
        }
    }

    /// Wakes the lane, unless it was woken since `take`.
    func ring() {
        lock.withLock {
            // Under the lock: otherwise a `take` in between would forget that the bell is about to become readable.
            if !hasRung { bell.ring() }
            hasRung = true
        }
    }

    /// Moves all outcomes to the end of `ready`.
    func take(into ready: inout [MemberCompletion]) {
        lock.withLock {
            if hasRung { bell.silence() }
            hasRung = false
            ready += completions
            completions.removeAll(keepingCapacity: true)
        }
    }
}
