// What a thread does for a driver, and what is told when the driver crashes in it.

#ifndef NBDEXT_CDRIVERKIT_CRASH_H
#define NBDEXT_CDRIVERKIT_CRASH_H

#include <stdint.h>

/// What the calling thread does for a driver: the driver's context (opaque, NULL outside of driver code) and the name
/// of the call that it is in (a string that lives for ever, or NULL).
void *nbdext_driver_context(void);
const char *nbdext_driver_call(void);
void nbdext_enter_driver(void *context, const char *call);

/// Texts that are printed when driver code crashes, each of which must live for ever: for an address near 0, for an
/// address on the device's bus (low ..< high), and for any other crash.
struct nbdext_crash_reports {
    const char *null_record;
    const char *bus_address;
    const char *other;
    uint64_t bus_low;
    uint64_t bus_high;
};

/// What a process leaves behind of its crash in a driver call, in memory that outlives it. A signal of 0 is none.
struct nbdext_crash_note {
    int32_t is_driver;  ///< not of a crash: the process has said that it is a driver
    int32_t signal;
    int32_t is_access; ///< the address is one that was read or written, else where the program stopped
    uint64_t address;
    char call[104];
};

/// From now on a crash inside a driver call is noted there before the process ends as it would anyway.
void nbdext_note_driver_crashes(struct nbdext_crash_note *note);

/// From now on a crash inside a driver call prints a report to standard error before the process ends as it would
/// anyway. Other crashes are left alone.
void nbdext_report_driver_crashes(const struct nbdext_crash_reports *reports);

#endif
