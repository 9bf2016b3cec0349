// Types of the driver's own remote methods, and the checks' words.
#ifndef KitTypes_h
#define KitTypes_h

#include <stdint.h>

/// A structure that crosses by value.
struct KitPair {
    uint64_t first;
    uint32_t second;
};

enum { kKitListCount = 6 };

#endif
