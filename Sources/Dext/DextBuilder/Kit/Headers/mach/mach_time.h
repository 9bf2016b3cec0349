// The machine's time in ticks.
//
// A tick is 125/3 ns, as on Apple silicon: a driver that takes ticks for nanoseconds, right on Intel Macs only, is off
// by the same factor here.
#ifndef NBDEXT_MACH_MACH_TIME_H
#define NBDEXT_MACH_MACH_TIME_H

#include <DriverKit/IOReturn.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Ticks times `numer` over `denom` are nanoseconds.
struct mach_timebase_info {
    uint32_t numer;
    uint32_t denom;
};
typedef struct mach_timebase_info *mach_timebase_info_t;
typedef struct mach_timebase_info mach_timebase_info_data_t;

kern_return_t mach_timebase_info(mach_timebase_info_t info);
/// Ticks since the host's clock began.
uint64_t mach_absolute_time(void);
/// The same here; on macOS it also counts while the machine sleeps.
uint64_t mach_continuous_time(void);
uint64_t mach_approximate_time(void);

#ifdef __cplusplus
}
#endif

#endif
