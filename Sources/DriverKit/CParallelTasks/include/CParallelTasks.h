// The command and response slots that the kernel half and a driver share, byte for byte as
// SCSIControllerDriverKit lays them out (128 and 384 bytes). Field names are Apple's.

#ifndef NBDEXT_CPARALLELTASKS_H
#define NBDEXT_CPARALLELTASKS_H

#include <stddef.h>
#include <stdint.h>

/// A SCSI task as the kernel half hands it to a driver: one command slot.
typedef struct SCSIUserParallelTask {
    uint64_t version;                        ///< kScsiUserParallelTaskCurrentVersion1
    uint64_t fTargetID;
    uint32_t fSCSIParallelFeatureRequest[5]; ///< SPI negotiation: 0 none, 1 attempt, 2 clear
    uint64_t fSCSIParallelFeatureRequestCount;
    uint64_t fControllerTaskIdentifier;      ///< what UserMapHBAData returned for this task object
    uint64_t fRequestedTransferCount;        ///< bytes
    uint64_t fBufferIOVMAddr;                ///< bus address of one contiguous range; not a CPU address
    uint32_t fTaskAttribute;                 ///< SIMPLE 0, ORDERED 1, HEAD_OF_QUEUE 2, ACA 3
    uint64_t fTaskTagIdentifier;             ///< 0 = untagged
    uint8_t fLogicalUnitBytes[8];            ///< single-level LUN in byte 1
    uint8_t fCommandDescriptorBlock[16];
    uint8_t fCommandSize;                    ///< 6, 10, 12 or 16
    uint8_t fTransferDirection;              ///< 0 none, 1 initiator to target, 2 target to initiator
    uint32_t fTimeoutInMilliSec;             ///< 0 = no limit
    uint8_t reserved[6];
} SCSIUserParallelTask;

/// A driver's answer to one task: one response slot.
typedef struct SCSIUserParallelResponse {
    uint64_t version;                        ///< kScsiUserParallelTaskResponseCurrentVersion1
    uint64_t fTargetID;
    uint32_t fSCSIParallelFeatureResult[5];
    uint64_t fSCSIParallelFeatureRequestResultCount;
    uint64_t fControllerTaskIdentifier;
    uint32_t fCompletionStatus;              ///< task status; decode together with fServiceResponse
    uint32_t fServiceResponse;
    uint64_t fBytesTransferred;
    uint8_t fSenseLength;
    uint8_t fSenseBuffer[256];
    uint8_t reserved[51];
} SCSIUserParallelResponse;

#define NBDEXT_OFFSET(type, field, offset) \
    _Static_assert(offsetof(type, field) == offset, #type "." #field " moved")

_Static_assert(sizeof(SCSIUserParallelTask) == 128, "a command slot is 128 bytes");
NBDEXT_OFFSET(SCSIUserParallelTask, fTargetID, 8);
NBDEXT_OFFSET(SCSIUserParallelTask, fSCSIParallelFeatureRequest, 16);
NBDEXT_OFFSET(SCSIUserParallelTask, fSCSIParallelFeatureRequestCount, 40);
NBDEXT_OFFSET(SCSIUserParallelTask, fControllerTaskIdentifier, 48);
NBDEXT_OFFSET(SCSIUserParallelTask, fRequestedTransferCount, 56);
NBDEXT_OFFSET(SCSIUserParallelTask, fBufferIOVMAddr, 64);
NBDEXT_OFFSET(SCSIUserParallelTask, fTaskAttribute, 72);
NBDEXT_OFFSET(SCSIUserParallelTask, fTaskTagIdentifier, 80);
NBDEXT_OFFSET(SCSIUserParallelTask, fLogicalUnitBytes, 88);
NBDEXT_OFFSET(SCSIUserParallelTask, fCommandDescriptorBlock, 96);
NBDEXT_OFFSET(SCSIUserParallelTask, fCommandSize, 112);
NBDEXT_OFFSET(SCSIUserParallelTask, fTransferDirection, 113);
NBDEXT_OFFSET(SCSIUserParallelTask, fTimeoutInMilliSec, 116);
NBDEXT_OFFSET(SCSIUserParallelTask, reserved, 120);

_Static_assert(sizeof(SCSIUserParallelResponse) == 384, "a response slot is 384 bytes");
NBDEXT_OFFSET(SCSIUserParallelResponse, fTargetID, 8);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSCSIParallelFeatureResult, 16);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSCSIParallelFeatureRequestResultCount, 40);
NBDEXT_OFFSET(SCSIUserParallelResponse, fControllerTaskIdentifier, 48);
NBDEXT_OFFSET(SCSIUserParallelResponse, fCompletionStatus, 56);
NBDEXT_OFFSET(SCSIUserParallelResponse, fServiceResponse, 60);
NBDEXT_OFFSET(SCSIUserParallelResponse, fBytesTransferred, 64);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSenseLength, 72);
NBDEXT_OFFSET(SCSIUserParallelResponse, fSenseBuffer, 73);
NBDEXT_OFFSET(SCSIUserParallelResponse, reserved, 329);

#undef NBDEXT_OFFSET

#endif
