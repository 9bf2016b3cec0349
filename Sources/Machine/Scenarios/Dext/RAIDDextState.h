// What RAIDDext keeps, and the card's registers.
#ifndef RAIDDextState_h
#define RAIDDextState_h

#include <DriverKit/DriverKit.h>
#include <PCIDriverKit/PCIDriverKit.h>
#include <SCSIControllerDriverKit/SCSIControllerDriverKit.h>

#include "CRAIDCard.h"
#include "RAIDDext.h"

/// The card's registers; RAIDControllerRegister.swift describes them.
enum : uint64_t {
    kIdentification = 0x00, kControl = 0x04, kTargetCount = 0x08, kLogicalUnitCount = 0x0C, kSubmissionBaseLow = 0x10,
    kSubmissionBaseHigh = 0x14, kSubmissionCapacity = 0x18, kSubmissionTail = 0x1C, kCompletionBaseLow = 0x20,
    kCompletionBaseHigh = 0x24, kCompletionCapacity = 0x28, kInterruptTest = 0x30,
};
/// The value of kIdentification: "RAID".
static const uint32_t kIdentity = 0x52414944;
/// Entries of each ring: more than there are tasks, so neither ring can fill up.
static const uint32_t kCapacity = 1024;
/// This bit of a card tag marks a task of the legacy route; the other bits are the index of its record.
static const uint32_t kLegacyTag = 1u << 31;

/// Memory of the driver's own that the card reaches.
struct DMAMemory
{
    IOBufferMemoryDescriptor * descriptor;
    IODMACommand * command;
    uint8_t * bytes;
    uint64_t busAddress;
};

/// A legacy task that the card has not answered yet. The record's index is the task ID - 1.
struct LegacyTask
{
    OSAction * completion;
    SCSIUserParallelTask task;
};

/// Everything is set up before the first task. Then the Default queue owns the submissions, and the InterruptQueue the
/// completions.
struct RAIDDext_IVars
{
    IOPCIDevice * card;
    OSDictionary * properties;
    IODispatchQueue * auxiliaryQueue;
    IODispatchQueue * interruptQueue;
    IOInterruptDispatchSource * interrupts;
    OSAction * interruptAction;
    OSAction * asyncEvent;
    DMAMemory submissions;
    DMAMemory completions;
    uint32_t submissionTail;
    uint32_t completionHead;
    uint32_t taskCount;
    uint32_t lastTaskID;
    LegacyTask * legacyTasks;
    SCSIUserParallelTask * commands;       ///< the shared slots
    SCSIUserParallelResponse * responses;
    OSAction * bundledAction;              ///< retained once, for ever
};

#endif
