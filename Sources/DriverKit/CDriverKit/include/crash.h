// The driver call that a thread is in, and reports of crashes in it.

#ifndef NBDEXT_CDRIVERKIT_CRASH_H
#define NBDEXT_CDRIVERKIT_CRASH_H

#include <stdint.h>

/// The calling thread's driver context (opaque, NULL outside of driver code) and the name of its driver call (a string
/// that lives for ever, or NULL).
void *nbdext_driver_context(void);
const char *nbdext_driver_call(void);
void nbdext_enter_driver(void *context, const char *call);

/// Texts to print when driver code crashes; they must live for ever. One is for an address near 0, one for an address
/// on the device's bus (low ..< high), and one for any other crash.
struct nbdext_crash_reports {
    const char *null_record;
    const char *bus_address;
    const char *other;
    uint64_t bus_low;
    uint64_t bus_high;
};

/// A process's note of its crash in a driver call, in memory that outlives the process. Signal 0 means no crash.
struct nbdext_crash_note {
    int32_t is_driver;  ///< set at start, without a crash: the process is a driver
    int32_t signal;
    int32_t is_access; ///< whether the address was accessed; if not, the program stopped there
    uint64_t address;
    char call[104];
};

/// Makes a crash inside a driver call fill in the note before the process ends as it would anyway.
void nbdext_note_driver_crashes(struct nbdext_crash_note *note);

/// Makes a crash inside a driver call print a report to standard error before the process ends as it would anyway.
/// Other crashes are left alone.
void nbdext_report_driver_crashes(const struct nbdext_crash_reports *reports);

#endif
