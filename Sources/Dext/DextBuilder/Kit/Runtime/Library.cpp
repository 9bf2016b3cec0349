// Memory, time, and small things of Darwin's library.

#include "Runtime.h"

#include <DriverKit/IOLib.h>
#include <errno.h>
#include <malloc.h>

using namespace nbdext;

// MARK: Memory

void *IOMalloc(size_t length) { return malloc(length); }
void *IOMallocZero(size_t length) { return calloc(1, length); }

void IOFree(void *address, size_t length) {
    if (address && length > malloc_usable_size(address)) {
        report(
            NBDEXT_FAULT_BAD_ARGUMENT, "IOFree(%p, %zu): only %zu bytes were allocated", address, length,
            malloc_usable_size(address));
    }
    free(address);
}

uint64_t IOVMPageSize = PAGE_SIZE;
vm_size_t vm_page_size = PAGE_SIZE;
vm_size_t vm_page_mask = PAGE_MASK;
int vm_page_shift = PAGE_SHIFT;

// MARK: Time

namespace {

constexpr uint32_t numerator = 125;
constexpr uint32_t denominator = 3;

}  // namespace

uint64_t nbdext::ticksOf(uint64_t nanoseconds) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(nanoseconds) * denominator / numerator);
}
uint64_t nbdext::nanosecondsOf(uint64_t ticks) {
    const auto product = static_cast<unsigned __int128>(ticks) * numerator / denominator;
    return product > UINT64_MAX ? UINT64_MAX : static_cast<uint64_t>(product);
}

kern_return_t mach_timebase_info(mach_timebase_info_t info) {
    *info = {numerator, denominator};
    return KERN_SUCCESS;
}
uint64_t mach_absolute_time() { return ticksOf(host->now()); }
uint64_t mach_continuous_time() { return mach_absolute_time(); }
uint64_t mach_approximate_time() { return mach_absolute_time(); }

uint64_t clock_gettime_nsec_np(clockid_t clock) {
    switch (clock) {
    case CLOCK_UPTIME_RAW:
    case CLOCK_UPTIME_RAW_APPROX:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_RAW_APPROX: return host->now();
    default: break;
    }
    timespec time;
    if (clock_gettime(clock, &time) != 0) return 0;
    return static_cast<uint64_t>(time.tv_sec) * NSEC_PER_SEC + static_cast<uint64_t>(time.tv_nsec);
}

void IOSleep(uint64_t milliseconds) { host->sleep_milliseconds(milliseconds); }

void IODelay(uint64_t microseconds) {
    // The processor's own clock, since a driver that spins has no time for another one.
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    const auto nanoseconds = [](const timespec &value) {
        return static_cast<uint64_t>(value.tv_sec) * NSEC_PER_SEC + static_cast<uint64_t>(value.tv_nsec);
    };
    const uint64_t end = nanoseconds(time) + microseconds * 1000;
    do {
        clock_gettime(CLOCK_MONOTONIC, &time);
    } while (nanoseconds(time) < end);
}

void OSSynchronizeIO() { __sync_synchronize(); }

// MARK: The rest

uint32_t crc32(uint32_t crc, const void *buffer, size_t size) {
    crc = ~crc;
    for (size_t index = 0; index < size; ++index) {
        crc ^= static_cast<const uint8_t *>(buffer)[index];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
    }
    return ~crc;
}

bool IOParseBootArgNumber(const char *, void *, int) { return false; }
bool IOParseBootArgString(const char *, char *, int) { return false; }

#if !__GLIBC_PREREQ(2, 38)
size_t strlcpy(char *destination, const char *source, size_t size) {
    const size_t length = strlen(source);
    if (size) {
        const size_t count = length < size ? length : size - 1;
        memcpy(destination, source, count);
        destination[count] = 0;
    }
    return length;
}
size_t strlcat(char *destination, const char *source, size_t size) {
    const size_t length = strnlen(destination, size);
    return length + (length < size ? strlcpy(destination + length, source, size - length) : strlen(source));
}
#endif

int memset_s(void *destination, size_t size, int value, size_t count) {
    if (!destination) return EINVAL;
    const bool tooMany = count > size;
    auto bytes = static_cast<volatile unsigned char *>(destination);
    for (size_t index = 0; index < (tooMany ? size : count); ++index) bytes[index] = static_cast<unsigned char>(value);
    return tooMany ? EOVERFLOW : 0;
}
