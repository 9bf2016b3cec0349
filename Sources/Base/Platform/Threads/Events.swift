/// An event that happens once and stays so: threads wait until it is set. For the control plane.
///
/// Threads: any.
package final class OneShotEvent: @unchecked Sendable {
    // SAFETY: `hasHappened` is touched only inside `condition.withLock`.
    private let condition = MonotonicCondition()
    private var hasHappened = false

    package init() {}

    /// Whether `set` was called. A wait of 0 ms would take the 50 us by which Linux lets a timer be late.
    package var isSet: Bool { condition.withLock { hasHappened } }

    /// Lets all waiters go, now and later.
    package func set() {
        condition.withLock {
            hasHappened = true
            condition.wakeAll()
        }
    }

    /// Blocks until `set` was called.
    package func wait() { condition.withLock { while !hasHappened { condition.wait() } } }

    /// Blocks until `set` was called or the time is up. Returns whether it was called.
    package func wait(milliseconds: Int) -> Bool {
        condition.withLock { condition.wait(milliseconds: milliseconds) { hasHappened } }
    }

    /// Blocks until `set` was called or something else is true. Returns whether `set` was called.
    /// - Parameter isOver: asked on the calling thread, at first and after each `nudge`; it must not touch this event.
    package func wait(orUntil isOver: () -> Bool) -> Bool {
        condition.withLock {
            while !hasHappened {
                if isOver() { return false }
                condition.wait()
            }
            return true
        }
    }

    /// Makes each thread in `wait(orUntil:)` ask again.
    package func nudge() { condition.withLock { condition.wakeAll() } }
}

/// An event that lets one wait go and is reset by it. A `set` before the wait is not lost; several count as one.
///
/// Threads: `set` on any; `wait` on one at a time.
package final class AutoResetEvent: @unchecked Sendable {
    // SAFETY: `isSet` is touched only inside `condition.withLock`.
    private let condition = MonotonicCondition()
    private var isSet = false

    package init() {}

    /// Ends the current wait, or the next one if no thread waits.
    package func set() {
        condition.withLock {
            isSet = true
            condition.wakeOne()
        }
    }

    /// Blocks until `set` was called since the last wait ended.
    package func wait() {
        condition.withLock {
            while !isSet { condition.wait() }
            isSet = false
        }
    }

    /// Blocks until `set` was called since the last wait ended, or the time is up. Returns whether it was called.
    package func wait(milliseconds: Int) -> Bool {
        condition.withLock {
            defer { isSet = false }
            return condition.wait(milliseconds: milliseconds) { isSet }
        }
    }
}
