// What FaultyDext keeps.
#ifndef Mistakes_h
#define Mistakes_h

#include "FaultyDext.h"
#include "RAIDDextState.h"

/// A record as a driver has it for each command: a token, then the action.
struct Record
{
    uint64_t token;
    OSAction * volatile action;
};

struct FaultyDext_IVars
{
    const char * mistake;                  ///< belongs to the properties
    // What one queue tells another.
    bool isCreating;
    bool isRegistered;
    bool isStopping;
    bool isCreatingAtStop;
    bool isSecondTaken;
    Record * record;                       ///< never set
    IOMemoryMap * commandMap;
    IOMemoryMap * responseMap;
    uint8_t lastByte;
    bool hasSplit;                         ///< a write was given to the card twice
    bool hasHeld;                          ///< a write was held back
    const SCSIUserParallelTask * held;     ///< that write, until the card has it
    uint32_t heldTag;
};

static inline void Set(bool * flag) { __atomic_store_n(flag, true, __ATOMIC_RELEASE); }
static inline bool IsSet(const bool * flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static inline void WaitFor(const bool * flag)
{
    while (!IsSet(flag)) IOSleep(1);
}

#endif
