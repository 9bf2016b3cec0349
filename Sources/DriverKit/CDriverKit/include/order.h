// Orders between threads, told to ThreadSanitizer.
//
// A driver that is built with it runs on queues of code that is built without, whose atomic operations it does not see.
// (Mutexes and new threads it sees wherever they are.)

#ifndef NBDEXT_CDRIVERKIT_ORDER_H
#define NBDEXT_CDRIVERKIT_ORDER_H

/// Looks for ThreadSanitizer in this process. To be called before the process has a second thread; without a call, or
/// without ThreadSanitizer, the functions below do nothing.
void nbdext_find_thread_sanitizer(void);

extern void (*nbdext_thread_sanitizer_release)(void *address);
extern void (*nbdext_thread_sanitizer_acquire)(void *address);

/// What the calling thread has done comes before whatever follows an `nbdext_order_after` of the same address.
static inline void nbdext_order_before(void *address)
{
    if (nbdext_thread_sanitizer_release) nbdext_thread_sanitizer_release(address);
}

/// What the calling thread does from now on comes after what was before each `nbdext_order_before` of this address.
static inline void nbdext_order_after(void *address)
{
    if (nbdext_thread_sanitizer_acquire) nbdext_thread_sanitizer_acquire(address);
}

#endif
