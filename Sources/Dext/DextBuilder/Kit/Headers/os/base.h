// Attributes that Apple's headers use.
#ifndef NBDEXT_OS_BASE_H
#define NBDEXT_OS_BASE_H

#include <sys/cdefs.h>

#define OS_EXPORT extern
#define OS_INLINE static inline
#define OS_NOTHROW __attribute__((nothrow))
#define OS_NORETURN __attribute__((noreturn))
#define OS_NONNULL_ALL __attribute__((nonnull))
#define OS_WARN_RESULT __attribute__((warn_unused_result))
#define OS_MALLOC __attribute__((malloc))
#define OS_UNUSED __attribute__((unused))
#define OS_ALWAYS_INLINE __attribute__((always_inline))
#define OS_NOINLINE __attribute__((noinline))
#define OS_FORMAT_PRINTF(format, first) __attribute__((format(printf, format, first)))
#define OS_FALLTHROUGH __attribute__((fallthrough))
#define os_likely(condition) __builtin_expect(!!(condition), 1)
#define os_unlikely(condition) __builtin_expect(!!(condition), 0)
#define OS_CONST __attribute__((const))
#define OS_PURE __attribute__((pure))
#define OS_PACKED __attribute__((packed))

#endif
