// Locks. They know their owners, so that a mistake is reported and not a silent hang.

#include "Runtime.h"

#include <DriverKit/IOLib.h>
#include <pthread.h>
#include <stdlib.h>

using namespace nbdext;

namespace {

/// An error-checking or recursive mutex.
struct Mutex {
    pthread_mutex_t mutex;

    explicit Mutex(int type) {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, type);
        pthread_mutex_init(&mutex, &attributes);
        pthread_mutexattr_destroy(&attributes);
    }
    ~Mutex() { pthread_mutex_destroy(&mutex); }

    /// Takes the lock.
    void lock(const char *call) {
        if (pthread_mutex_lock(&mutex) == 0) return;
        // On macOS the thread waits for itself for ever.
        report(NBDEXT_FAULT_ASSERTION, "%s: the calling thread has this lock already, and would wait for ever", call);
        abort();
    }
    void unlock(const char *call) {
        if (pthread_mutex_unlock(&mutex) == 0) return;
        report(NBDEXT_FAULT_ASSERTION, "%s: the calling thread does not have this lock", call);
        abort();
    }
    bool tryLock() { return pthread_mutex_trylock(&mutex) == 0; }
};

}  // namespace

// MARK: IOLock

struct IOLock : Mutex {
    IOLock() : Mutex(PTHREAD_MUTEX_ERRORCHECK) {}
};

IOLock *IOLockAlloc() { return new IOLock; }
void IOLockFree(IOLock *lock) { delete lock; }
void IOLockLock(IOLock *lock) { lock->lock("IOLockLock"); }
void IOLockUnlock(IOLock *lock) { lock->unlock("IOLockUnlock"); }
bool IOLockTryLock(IOLock *lock) { return lock->tryLock(); }

void IOLockAssert(IOLock *lock, IOLockAssertState state) {
    // Only its owner cannot take an error-checking mutex at once with EDEADLK, or give it back.
    const bool isFree = lock->tryLock();
    if (isFree) pthread_mutex_unlock(&lock->mutex);
    bool isOwned = false;
    if (!isFree) {
        isOwned = pthread_mutex_unlock(&lock->mutex) == 0;
        if (isOwned) pthread_mutex_lock(&lock->mutex);
    }
    if (isOwned == (state == kIOLockAssertOwned)) return;
    report(NBDEXT_FAULT_ASSERTION, "IOLockAssert: the calling thread %s the lock", isOwned ? "has" : "does not have");
    abort();
}

// MARK: IORecursiveLock

struct IORecursiveLock : Mutex {
    IORecursiveLock() : Mutex(PTHREAD_MUTEX_RECURSIVE) {}
    pthread_t owner = 0;   ///< atomic
    int depth = 0;         ///< the owner's

    void taken() {
        ++depth;
        __atomic_store_n(&owner, pthread_self(), __ATOMIC_RELAXED);
    }
};

IORecursiveLock *IORecursiveLockAlloc() { return new IORecursiveLock; }
void IORecursiveLockFree(IORecursiveLock *lock) { delete lock; }
void IORecursiveLockLock(IORecursiveLock *lock) {
    lock->lock("IORecursiveLockLock");
    lock->taken();
}
bool IORecursiveLockTryLock(IORecursiveLock *lock) {
    if (!lock->tryLock()) return false;
    lock->taken();
    return true;
}
void IORecursiveLockUnlock(IORecursiveLock *lock) {
    if (IORecursiveLockHaveLock(lock) && --lock->depth == 0) __atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
    lock->unlock("IORecursiveLockUnlock");
}
bool IORecursiveLockHaveLock(IORecursiveLock *lock) {
    return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == pthread_self();
}

// MARK: IORWLock

struct IORWLock {
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    ~IORWLock() { pthread_rwlock_destroy(&lock); }
};

IORWLock *IORWLockAlloc() { return new IORWLock; }
void IORWLockFree(IORWLock *lock) { delete lock; }
void IORWLockRead(IORWLock *lock) { pthread_rwlock_rdlock(&lock->lock); }
void IORWLockWrite(IORWLock *lock) {
    if (pthread_rwlock_wrlock(&lock->lock) == 0) return;
    report(NBDEXT_FAULT_ASSERTION, "IORWLockWrite: the calling thread has this lock already, and would wait for ever");
    abort();
}
void IORWLockUnlock(IORWLock *lock) { pthread_rwlock_unlock(&lock->lock); }
