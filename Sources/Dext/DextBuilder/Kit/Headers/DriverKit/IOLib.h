// Memory, time, locks and log lines for drivers.
#ifndef NBDEXT_DRIVERKIT_IOLIB_H
#define NBDEXT_DRIVERKIT_IOLIB_H

#include <DriverKit/IOReturn.h>
#include <DriverKit/IOTypes.h>
#include <TargetConditionals.h>
#include <libkern/OSByteOrder.h>
#include <mach/mach_time.h>
#include <os/log.h>
#include <os/overflow.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/cdefs.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Log

/// Writes a line. A missing line end makes no difference.
int IOLog(const char *format, ...) __attribute__((format(printf, 1, 2)));
int IOLogv(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
/// Writes a title and bytes, 16 a line.
void IOLogBuffer(const char *title, const void *buffer, size_t size);
/// Writes a line and the addresses of the calls that led here.
void OSReportWithBacktrace(const char *format, ...);

// MARK: Memory

void *IOMalloc(size_t length) __attribute__((alloc_size(1)));
void *IOMallocZero(size_t length) __attribute__((alloc_size(1)));
/// Frees memory. The length has to be the one of its allocation: a wrong one is reported.
void IOFree(void *address, size_t length);

/// An array that is not initialised, or NULL. IODelete frees it.
#define IONew(type, count)                                                                                       \
    __extension__({                                                                                              \
        size_t nbdext_size;                                                                                      \
        os_mul_overflow(sizeof(type), (count), &nbdext_size) ? (type *)0 : (type *)IOMalloc(nbdext_size);        \
    })
/// An array of zeros, or NULL.
#define IONewZero(type, count)                                                                                   \
    __extension__({                                                                                              \
        size_t nbdext_size;                                                                                      \
        os_mul_overflow(sizeof(type), (count), &nbdext_size) ? (type *)0 : (type *)IOMallocZero(nbdext_size);    \
    })
#define IODelete(pointer, type, count)                                                                           \
    __extension__({                                                                                              \
        size_t nbdext_size;                                                                                      \
        if (!os_mul_overflow(sizeof(type), (count), &nbdext_size)) IOFree((pointer), nbdext_size);               \
    })
#define IOSafeDeleteNULL(pointer, type, count)                                                                   \
    do {                                                                                                         \
        if ((pointer) != NULL) {                                                                                 \
            IODelete((pointer), type, count);                                                                    \
            (pointer) = NULL;                                                                                    \
        }                                                                                                        \
    } while (0)
#define IOMallocType(type) ((type *)IOMallocZero(sizeof(type)))
#define IOFreeType(pointer, type) IOFree((pointer), sizeof(type))

/// Releases an object unless it is NULL, and sets the variable to NULL.
#define OSSafeReleaseNULL(object)         \
    do {                                  \
        if ((object) != NULL) {           \
            (object)->release();          \
            (object) = NULL;              \
        }                                 \
    } while (0)
#define OSSafeRelease(object)                            \
    do {                                                 \
        if ((object) != NULL) (object)->release();       \
    } while (0)

/// 16 KiB.
extern uint64_t IOVMPageSize;

// MARK: Time

/// Blocks the calling thread, and with it the queue that it runs.
void IOSleep(uint64_t milliseconds);
/// Spins for so many microseconds.
void IODelay(uint64_t microseconds);

enum {
    kNanosecondScale = 1,
    kMicrosecondScale = 1000,
    kMillisecondScale = 1000 * 1000,
    kSecondScale = 1000 * 1000 * 1000,
};

/// Orders accesses to device memory.
void OSSynchronizeIO(void);

// MARK: Locks. They are of this process, and wait without a limit.

struct IOLock;
typedef struct IOLock IOLock;
typedef enum { kIOLockAssertOwned = 1, kIOLockAssertNotOwned = 2 } IOLockAssertState;

struct IOLock *IOLockAlloc(void);
void IOLockFree(struct IOLock *lock);
/// Taking a lock twice on one thread, or giving back a lock that the thread has not, is reported.
void IOLockLock(struct IOLock *lock);
void IOLockUnlock(struct IOLock *lock);
bool IOLockTryLock(struct IOLock *lock);
void IOLockAssert(struct IOLock *lock, IOLockAssertState state);
#define IOLockFreeZero(lock)                     \
    do {                                         \
        if (lock) {                              \
            IOLockFree(lock);                    \
            (lock) = NULL;                       \
        }                                        \
    } while (0)

struct IORecursiveLock;
typedef struct IORecursiveLock IORecursiveLock;

struct IORecursiveLock *IORecursiveLockAlloc(void);
void IORecursiveLockFree(struct IORecursiveLock *lock);
void IORecursiveLockLock(struct IORecursiveLock *lock);
bool IORecursiveLockTryLock(struct IORecursiveLock *lock);
void IORecursiveLockUnlock(struct IORecursiveLock *lock);
bool IORecursiveLockHaveLock(struct IORecursiveLock *lock);
#define IORecursiveLockFreeZero(lock)            \
    do {                                         \
        if (lock) {                              \
            IORecursiveLockFree(lock);           \
            (lock) = NULL;                       \
        }                                        \
    } while (0)

struct IORWLock;
typedef struct IORWLock IORWLock;

struct IORWLock *IORWLockAlloc(void);
void IORWLockFree(struct IORWLock *lock);
void IORWLockRead(struct IORWLock *lock);
void IORWLockWrite(struct IORWLock *lock);
void IORWLockUnlock(struct IORWLock *lock);
#define IORWLockFreeZero(lock)                   \
    do {                                         \
        if (lock) {                              \
            IORWLockFree(lock);                  \
            (lock) = NULL;                       \
        }                                        \
    } while (0)

// MARK: The rest

/// The checksum of zlib.
uint32_t crc32(uint32_t crc, const void *buffer, size_t size);
/// There are no boot arguments: always false.
bool IOParseBootArgNumber(const char *name, void *value, int size);
bool IOParseBootArgString(const char *name, char *value, int size);

static inline IOFixed IOFixedMultiply(IOFixed a, IOFixed b) {
    return (IOFixed)(((int64_t)a * (int64_t)b) >> 16);
}
static inline IOFixed IOFixedDivide(IOFixed a, IOFixed b) {
    return (IOFixed)((int64_t)((uint64_t)(int64_t)a << 16) / (int64_t)b);
}

#ifdef __cplusplus
}
#endif

#endif
