import Synchronization

/// A start that may take long: its current step, for anyone who asks, and whether it is still wanted.
///
/// Threads: any.
package final class StartUp: @unchecked Sendable {
    // SAFETY: `step`, `actions` and `isFinished` under `lock`.
    private let lock = Lock()
    private let cancelled = Atomic<Bool>(false)
    private let done = Atomic<UInt64>(0)
    private var step = ""
    /// The step's length, in the unit of `done`; 0 when unknown.
    private var total: UInt64 = 0
    private var actions: [@Sendable () -> Void] = []
    private var isFinished = false

    package init() {}

    /// Whether the start was cancelled. Long steps ask this now and then, and end.
    package var isCancelled: Bool { cancelled.load(ordering: .acquiring) }

    /// Begins a step.
    /// - Parameters:
    ///   - step: for people, as it fits after "the server is": "opening the array".
    ///   - total: the step's length, in any unit; 0 when unknown.
    package func begin(_ step: String, total: UInt64 = 0) {
        lock.withLock {
            self.step = step
            self.total = total
            done.store(0, ordering: .relaxed)
        }
    }

    /// Adds to the done part of the step.
    /// - Returns: whether the start is still wanted.
    package func advance(by count: UInt64) -> Bool {
        done.add(count, ordering: .relaxed)
        return !isCancelled
    }

    /// For people: the current step, and how much of it is done.
    package var picture: String {
        lock.withLock {
            guard total > 0 else { return step }
            let percent = min(Double(done.load(ordering: .relaxed)) * 100 / Double(total), 100)
            return "\(step), \(Int(percent)) % done"
        }
    }

    /// Cancels the start, unless it is finished, and runs the actions that end its waits.
    package func cancel() {
        let actions = lock.withLock {
            guard !isFinished else { return [@Sendable () -> Void]() }
            cancelled.store(true, ordering: .releasing)
            defer { self.actions = [] }
            return self.actions
        }
        for action in actions { action() }
    }

    /// Runs an action when the start is cancelled, or at once if it was. The action runs on the cancelling thread or
    /// this one.
    package func whenCancelled(_ action: @escaping @Sendable () -> Void) {
        let isLate = lock.withLock {
            if !isCancelled { actions.append(action) }
            return isCancelled
        }
        if isLate { action() }
    }

    /// Ends the start. It cannot be cancelled any more.
    /// - Returns: false when it was cancelled before.
    package func finish() -> Bool {
        lock.withLock {
            actions = []
            isFinished = true
            return !isCancelled
        }
    }
}
