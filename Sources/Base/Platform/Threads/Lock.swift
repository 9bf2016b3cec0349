import CLinux
import Glibc

/// A mutual-exclusion lock at a fixed address that spins briefly before it sleeps.
///
/// For sections of a microsecond or less; never held across I/O and never recursive. It is a pthread mutex, since
/// `Synchronization.Mutex` hands over through the kernel under contention (a priority inheritance futex in Swift 6.3).
@usableFromInline package struct Lock: ~Copyable, @unchecked Sendable {
    // SAFETY: the pointer never changes, and pthread mutexes may be used from every thread.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    package init() {
        mutex = .allocate(capacity: 1)
        let status = nbdext_mutex_init(mutex)
        precondition(status == 0, "pthread_mutex_init failed")
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs a section with the lock held.
    @inlinable
    package func withLock<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Takes the lock; blocks while another thread has it.
    @usableFromInline package func lock() { pthread_mutex_lock(mutex) }
    /// Releases the lock, on the thread that took it.
    @usableFromInline package func unlock() { pthread_mutex_unlock(mutex) }

    /// Takes the lock if it is free. Returns whether it did.
    package func tryLock() -> Bool { pthread_mutex_trylock(mutex) == 0 }
}
