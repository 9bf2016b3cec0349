#include "crash.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static _Thread_local void *driver_context;
static _Thread_local const char *driver_call;
static struct nbdext_crash_reports crash_reports;
static struct nbdext_crash_note *crash_note;

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
enum { crash_signal_count = sizeof crash_signals / sizeof *crash_signals };
// The former handlers: the Swift runtime prints backtraces.
static struct sigaction former[crash_signal_count];

void *nbdext_driver_context(void) { return driver_context; }
const char *nbdext_driver_call(void) { return driver_call; }

void nbdext_enter_driver(void *context, const char *call)
{
    driver_context = context;
    driver_call = call;
}

static void put(const char *text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

static void put_hex(uint64_t value)
{
    char digits[19] = "0x";
    int count = 2;
    int shift = 60;
    while (shift > 0 && (value >> shift & 15) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) digits[count++] = "0123456789abcdef"[value >> shift & 15];
    digits[count] = 0;
    put(digits);
}

struct place {
    int is_access;
    uint64_t address;
};

// The address that a crash is about: the accessed one, or else the instruction's. The processor does not tell the address
// of an access that no page table could allow (not canonical), and another process's signal has none: their si_addr is 0
// or an unrelated number.
static struct place crash_place(int number, const siginfo_t *info, const ucontext_t *context)
{
    int is_access = (number == SIGSEGV || number == SIGBUS) && info->si_code > 0 && info->si_code != SI_KERNEL;
    if (is_access) return (struct place){1, (uint64_t)info->si_addr};
#if defined(__x86_64__)
    return (struct place){0, (uint64_t)context->uc_mcontext.gregs[REG_RIP]};
#else
    return (struct place){0, context->uc_mcontext.pc};
#endif
}

// Runs on the crashed thread, and makes async-signal-safe calls only. When it returns, the instruction crashes again,
// and the former handler takes over.
static void crashed(int number, siginfo_t *info, void *context)
{
    for (int i = 0; i < crash_signal_count; i++)
        if (crash_signals[i] == number) sigaction(number, &former[i], NULL);
    struct place place = crash_place(number, info, context);
    if (driver_call != NULL && crash_note != NULL) {
        crash_note->is_access = place.is_access;
        crash_note->address = place.address;
        for (size_t i = 0; i < sizeof crash_note->call - 1 && driver_call[i] != 0; i++)
            crash_note->call[i] = driver_call[i];
        crash_note->signal = number;
    } else if (driver_call != NULL) {
        if (place.is_access && place.address < 65536)
            put(crash_reports.null_record);
        else if (place.is_access && place.address >= crash_reports.bus_low && place.address < crash_reports.bus_high)
            put(crash_reports.bus_address);
        else
            put(crash_reports.other);
        put("  in call     ");
        put(driver_call);
        put(place.is_access ? "\n  address     " : "\n  stopped at  ");
        put_hex(place.address);
        put("\n");
    }
    // A driver's output so far is the best witness. POSIX does not allow this in a handler, but nothing is left to
    // lose.
    if (crash_note != NULL && ftrylockfile(stdout) == 0) fflush_unlocked(stdout);
    // A signal that a process sent does not come again by itself.
    if (info->si_code <= 0) raise(number);
}

static void catch_crashes(void)
{
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < crash_signal_count; i++) sigaction(crash_signals[i], &action, &former[i]);
}

void nbdext_report_driver_crashes(const struct nbdext_crash_reports *reports)
{
    crash_reports = *reports;
    catch_crashes();
}

void nbdext_print_by_lines(void)
{
    fflush(stdout);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

void nbdext_note_driver_crashes(struct nbdext_crash_note *note)
{
    crash_note = note;
    catch_crashes();
}
