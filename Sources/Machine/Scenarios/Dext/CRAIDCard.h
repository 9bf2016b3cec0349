// The entries of the two rings that the RAID card and its driver share, in native byte order. A ring is an array of them,
// whose capacity is a power of two. RAIDControllerInterface has the registers, and the order of steps.

#ifndef NBDEXT_CRAIDCARD_H
#define NBDEXT_CRAIDCARD_H

#include <stddef.h>
#include <stdint.h>

// Swift sees arrays as tuples; RAIDControllerInterface has properties with the fields' names.
#define NBDEXT_WRAPPED __attribute__((swift_private))

/// A command as the driver writes it: an entry of the submission ring.
typedef struct RAIDCommandDescriptor {
    uint32_t tag;                  ///< the driver's name for the command; the completion carries it too
    uint16_t targetID;             ///< from 0
    uint8_t logicalUnit;           ///< of the target, from 0
    uint8_t cdbSize;               ///< bytes of cdb that count
    uint8_t cdb[16] NBDEXT_WRAPPED;
    uint64_t dataAddress;          ///< bus address of the data: one contiguous range
    uint64_t dataByteCount;
    uint8_t direction;             ///< 0 none, 1 host to card, 2 card to host
    uint8_t reserved[23];
} RAIDCommandDescriptor;

/// A completion as the card writes it: an entry of the completion ring.
typedef struct RAIDCompletionDescriptor {
    uint32_t tag;                  ///< the command's
    uint8_t status;                ///< SCSI status (SAM): 0 GOOD, 2 CHECK CONDITION, ...
    uint8_t senseByteCount;        ///< bytes of sense that count
    uint8_t transportError;        ///< 1: no such target, or memory out of reach; status is void
    uint8_t reserved0;
    uint64_t dataByteCount;        ///< bytes of data that were transferred
    uint8_t sense[32] NBDEXT_WRAPPED;
    uint8_t reserved1[16];
} RAIDCompletionDescriptor;

/// The begin of the completion ring, in front of its entries.
typedef struct RAIDCompletionRingHeader {
    uint32_t producerIndex;        ///< free-running index one past the last completion written
    uint8_t reserved[60];
} RAIDCompletionRingHeader;

#define NBDEXT_OFFSET(type, field, offset) \
    _Static_assert(offsetof(type, field) == offset, #type "." #field " moved")

_Static_assert(sizeof(RAIDCommandDescriptor) == 64, "a command is 64 bytes");
NBDEXT_OFFSET(RAIDCommandDescriptor, tag, 0);
NBDEXT_OFFSET(RAIDCommandDescriptor, targetID, 4);
NBDEXT_OFFSET(RAIDCommandDescriptor, logicalUnit, 6);
NBDEXT_OFFSET(RAIDCommandDescriptor, cdbSize, 7);
NBDEXT_OFFSET(RAIDCommandDescriptor, cdb, 8);
NBDEXT_OFFSET(RAIDCommandDescriptor, dataAddress, 24);
NBDEXT_OFFSET(RAIDCommandDescriptor, dataByteCount, 32);
NBDEXT_OFFSET(RAIDCommandDescriptor, direction, 40);
NBDEXT_OFFSET(RAIDCommandDescriptor, reserved, 41);

_Static_assert(sizeof(RAIDCompletionDescriptor) == 64, "a completion is 64 bytes");
NBDEXT_OFFSET(RAIDCompletionDescriptor, tag, 0);
NBDEXT_OFFSET(RAIDCompletionDescriptor, status, 4);
NBDEXT_OFFSET(RAIDCompletionDescriptor, senseByteCount, 5);
NBDEXT_OFFSET(RAIDCompletionDescriptor, transportError, 6);
NBDEXT_OFFSET(RAIDCompletionDescriptor, dataByteCount, 8);
NBDEXT_OFFSET(RAIDCompletionDescriptor, sense, 16);
NBDEXT_OFFSET(RAIDCompletionDescriptor, reserved1, 48);

_Static_assert(sizeof(RAIDCompletionRingHeader) == 64, "entries begin at byte 64");
NBDEXT_OFFSET(RAIDCompletionRingHeader, producerIndex, 0);

#undef NBDEXT_OFFSET
#undef NBDEXT_WRAPPED

/// The card's producer index. The entries before it are read after it.
static inline uint32_t RAIDCompletionRingLoadProducerIndex(const RAIDCompletionRingHeader *ring) {
    return __atomic_load_n(&ring->producerIndex, __ATOMIC_ACQUIRE);
}

/// Makes the entries written so far visible before the doorbell register that is written next.
static inline void RAIDSubmissionRingPublish(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

#endif
