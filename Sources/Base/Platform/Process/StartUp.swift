import Synchronization

/// A start that may take long: what it does at the moment, for whoever asks, and whether it is still wanted.
///
/// Threads: any.
package final class StartUp: @unchecked Sendable {
    // SAFETY: `step`, `actions` and `isFinished` under `lock`.
    private let lock = Lock()
    private let cancelled = Atomic<Bool>(false)
    private let done = Atomic<UInt64>(0)
    private var step = ""
    /// Of the step, in the unit of `done`; 0 when its length is not known.
    private var total: UInt64 = 0
    private var actions: [@Sendable () -> Void] = []
    private var isFinished = false

    package init() {}

    /// Whether the start is to come to nothing, soon.
    package var isCancelled: Bool { cancelled.load(ordering: .acquiring) }

    /// Says what happens from now on.
    /// - Parameters:
    ///   - step: for people, as it fits behind "the server is": "opening the array".
    ///   - total: how long the step is, in any unit; 0 when that is not known.
    package func begin(_ step: String, total: UInt64 = 0) {
        lock.withLock {
            self.step = step
            self.total = total
            done.store(0, ordering: .relaxed)
        }
    }

    /// Says how much more of the step is done.
    /// - Returns: whether the start is still wanted.
    package func advance(by count: UInt64) -> Bool {
        done.add(count, ordering: .relaxed)
        return !isCancelled
    }

    /// For people: what happens, and how far it is.
    package var picture: String {
        lock.withLock {
            guard total > 0 else { return step }
            let percent = min(Double(done.load(ordering: .relaxed)) * 100 / Double(total), 100)
            return "\(step), \(Int(percent)) % done"
        }
    }

    /// The start is not wanted any more. What it waits for is ended.
    package func cancel() {
        let actions = lock.withLock {
            guard !isFinished else { return [@Sendable () -> Void]() }
            cancelled.store(true, ordering: .releasing)
            defer { self.actions = [] }
            return self.actions
        }
        for action in actions { action() }
    }

    /// Has something done when the start is cancelled; at once if it is already. On any thread.
    package func whenCancelled(_ action: @escaping @Sendable () -> Void) {
        let isLate = lock.withLock {
            if !isCancelled { actions.append(action) }
            return isCancelled
        }
        if isLate { action() }
    }

    /// Everything is started: from now on the start cannot be cancelled.
    /// - Returns: false when it was.
    package func finish() -> Bool {
        lock.withLock {
            actions = []
            isFinished = true
            return !isCancelled
        }
    }
}
