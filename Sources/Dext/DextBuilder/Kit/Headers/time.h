// The system's <time.h>, and Darwin's clocks in nanoseconds.
#ifndef __need_timespec

#ifndef NBDEXT_TIME_H
#define NBDEXT_TIME_H

#include <stdint.h>
#include_next <time.h>

// On Darwin CLOCK_UPTIME_RAW stands still while the machine sleeps, CLOCK_MONOTONIC_RAW does not. Here neither sleeps.
#ifndef CLOCK_UPTIME_RAW
#define CLOCK_UPTIME_RAW 8
#define CLOCK_UPTIME_RAW_APPROX 9
#define CLOCK_MONOTONIC_RAW_APPROX 5
#endif

#ifndef NSEC_PER_SEC
#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull
#define USEC_PER_SEC 1000000ull
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// A clock's value, nanoseconds; 0 for an unknown clock.
uint64_t clock_gettime_nsec_np(clockid_t clock);

#ifdef __cplusplus
}
#endif

#endif

#else
#include_next <time.h>
#endif
