import Glibc

/// Something that happens once, and that one thread waits for. For the control plane.
package final class Event: @unchecked Sendable {
    // SAFETY: both are touched only through pthread calls or under the mutex.
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

    /// Whether `set` was called. To wait for no time at all would take the 50 us by which Linux lets a timer be late.
    package var isSet: Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return hasHappened
    }

    /// Lets every waiter go, now and later.
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

    /// Blocks until `set` was called, or something else is so. Returns whether `set` was called.
    /// - Parameter isOver: asked on the calling thread at first and after each `nudge`; must not touch this event.
    package func wait(orUntil isOver: () -> Bool) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !hasHappened {
            if isOver() { return false }
            pthread_cond_wait(condition, mutex)
        }
        return true
    }

    /// Makes each thread in `wait(orUntil:)` ask again.
    package func nudge() {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }
}

/// Lets one thread sleep until another has news for it; news that comes early is not lost.
package final class Doorbell: @unchecked Sendable {
    // SAFETY: as in `Event`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var hasRung = false

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

    package func ring() {
        pthread_mutex_lock(mutex)
        hasRung = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Blocks until `ring` was called since the last return.
    package func wait() {
        pthread_mutex_lock(mutex)
        while !hasRung { pthread_cond_wait(condition, mutex) }
        hasRung = false
        pthread_mutex_unlock(mutex)
    }

    /// Blocks until `ring` was called since the last return, or the time is up. Returns whether it was called.
    package func wait(milliseconds: Int) -> Bool {
        var deadline = deadline(milliseconds: milliseconds)
        pthread_mutex_lock(mutex)
        defer {
            hasRung = false
            pthread_mutex_unlock(mutex)
        }
        while !hasRung {
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return hasRung }
        }
        return true
    }
}

/// A condition whose timeouts are not of the clock that people set.
private func initializeMonotonic(_ condition: UnsafeMutablePointer<pthread_cond_t>) {
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
}

/// So long from now, for such a condition.
private func deadline(milliseconds: Int) -> timespec {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let nanoseconds = deadline.tv_nsec + (milliseconds % 1000) * 1_000_000
    deadline.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
    deadline.tv_nsec = nanoseconds % 1_000_000_000
    return deadline
}
