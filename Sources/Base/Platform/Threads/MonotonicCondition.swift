import Glibc

/// A mutex and a condition variable whose timeouts go by CLOCK_MONOTONIC, which nobody sets.
///
/// Threads: any. The waits and wake-ups are called inside `withLock`.
struct MonotonicCondition: ~Copyable, @unchecked Sendable {
    // SAFETY: the pointers never change, and pthread objects may be used from every thread.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs a section with the mutex held; waits in it give the mutex up meanwhile.
    func withLock<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// Blocks until woken, or for no reason.
    func wait() { pthread_cond_wait(condition, mutex) }

    /// Blocks until something is true or the time is up.
    /// - Parameter isTrue: evaluated at first and after each wake-up.
    /// - Returns: whether it is true.
    func wait(milliseconds: Int, until isTrue: () -> Bool) -> Bool {
        var deadline = Self.deadline(milliseconds: milliseconds)
        while !isTrue() {
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return isTrue() }
        }
        return true
    }

    /// Wakes one waiting thread.
    func wakeOne() { pthread_cond_signal(condition) }

    /// Wakes all waiting threads.
    func wakeAll() { pthread_cond_broadcast(condition) }

    /// The moment so many milliseconds from now.
    private static func deadline(milliseconds: Int) -> timespec {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + (milliseconds % 1000) * 1_000_000
        deadline.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        return deadline
    }
}
