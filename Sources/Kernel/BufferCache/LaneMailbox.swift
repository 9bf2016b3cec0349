import BlockStorage
import Platform

/// News for a lane of the cache: outcomes of its raw requests, and requests of its own whose wait has ended.
///
/// News comes on any thread, but only the lane's own thread advances requests and uses the raw lane. It takes the news
/// whenever it is in the lane, and is woken if it sleeps there.
///
/// Threads: `completed` and `resume` on any; the rest on the lane's.
final class LaneMailbox: BlockCompletionReceiver, @unchecked Sendable {
    // SAFETY: all variables are touched under `lock`.
    let epoll: WakeableEpoll
    private let lock = Lock()
    private var outcomes: [BlockCompletion] = []
    private var resumed: [UInt16] = []
    /// The thread that sleeps in the lane, or 0. It is not woken for news that this thread brings itself.
    private var sleeper: UInt = 0
    private var isSignalled = false

    /// - Throws: if the system is out of descriptors.
    init() throws(OSError) { epoll = try WakeableEpoll() }

    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
        deliver { outcomes.append(contentsOf: completions) }
    }

    /// Ends the wait of a tag's request.
    func resume(_ tag: UInt16) {
        deliver { resumed.append(tag) }
    }

    private func deliver(_ add: () -> Void) {
        lock.withLock {
            add()
            guard sleeper != 0, !isSignalled, sleeper != currentThreadID() else { return }
            isSignalled = true
            // Under the lock, so that the signal cannot come after the sleeper has cleared it.
            epoll.signal()
        }
    }

    /// Exchanges the news for empty arrays.
    /// - Returns: whether there was any.
    func take(outcomes: inout [BlockCompletion], resumed: inout [UInt16]) -> Bool {
        lock.withLock {
            swap(&self.outcomes, &outcomes)
            swap(&self.resumed, &resumed)
            return !outcomes.isEmpty || !resumed.isEmpty
        }
    }

    /// Announces that the calling thread is about to sleep, unless there is news.
    /// - Returns: whether it may sleep.
    func fallAsleep() -> Bool {
        lock.withLock {
            guard outcomes.isEmpty, resumed.isEmpty else { return false }
            sleeper = currentThreadID()
            return true
        }
    }

    /// Notes that the calling thread is awake again, and clears its signal.
    func wakeUp() {
        lock.withLock {
            sleeper = 0
            guard isSignalled else { return }
            epoll.clear()
            isSignalled = false
        }
    }
}
