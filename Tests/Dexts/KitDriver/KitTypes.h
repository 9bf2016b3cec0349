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

/// An object of this value forgets its base class when it is freed.
enum { kKitValueThatIsLost = 404 };

#endif
