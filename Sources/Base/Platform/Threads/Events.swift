import Glibc

/// An event that happens once and stays so: threads wait until it is set. For the control plane.
///
/// Threads: any.
package final class OneShotEvent: @unchecked Sendable {
    // SAFETY: `hasHappened` is touched under the mutex, the others through pthread calls only.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var hasHappened = false

    package init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        initializeMonotonic(condition)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Whether `set` was called. A wait of 0 ms would take the 50 us by which Linux lets a timer be late.
    package var isSet: Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return hasHappened
    }

    /// Lets all waiters go, now and later.
    package func set() {
        pthread_mutex_lock(mutex)
        hasHappened = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Blocks until `set` was called.
    package func wait() {
        pthread_mutex_lock(mutex)
        while !hasHappened { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }

    /// Blocks until `set` was called or the time is up. Returns whether it was called.
    package func wait(milliseconds: Int) -> Bool {
        var deadline = deadline(milliseconds: milliseconds)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !hasHappened {
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return hasHappened }
        }
        return true
    }
}

/// An event that lets one wait go and is reset by it. A `set` before the wait is not lost; several count as one.
///
/// Threads: `set` on any; `wait` on one at a time.
package final class AutoResetEvent: @unchecked Sendable {
    // SAFETY: `isSet` is touched under the mutex, the others through pthread calls only.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var isSet = false

    package init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        initializeMonotonic(condition)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Ends the current wait, or the next one if no thread waits.
    package func set() {
        pthread_mutex_lock(mutex)
        isSet = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Blocks until `set` was called since the last wait ended.
    package func wait() {
        pthread_mutex_lock(mutex)
        while !isSet { pthread_cond_wait(condition, mutex) }
        isSet = false
        pthread_mutex_unlock(mutex)
    }

    /// Blocks until `set` was called since the last wait ended, or the time is up. Returns whether it was called.
    package func wait(milliseconds: Int) -> Bool {
        var deadline = deadline(milliseconds: milliseconds)
        pthread_mutex_lock(mutex)
        defer {
            isSet = false
            pthread_mutex_unlock(mutex)
        }
        while !isSet {
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return isSet }
        }
        return true
    }
}

/// Makes a condition variable whose timeouts go by CLOCK_MONOTONIC, which nobody sets.
private func initializeMonotonic(_ condition: UnsafeMutablePointer<pthread_cond_t>) {
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
}

/// The moment so many milliseconds from now, by that clock.
private func deadline(milliseconds: Int) -> timespec {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let nanoseconds = deadline.tv_nsec + (milliseconds % 1000) * 1_000_000
    deadline.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
    deadline.tv_nsec = nanoseconds % 1_000_000_000
    return deadline
}
