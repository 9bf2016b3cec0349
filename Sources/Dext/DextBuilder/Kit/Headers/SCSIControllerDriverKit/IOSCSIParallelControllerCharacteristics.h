// The features of the SCSI Parallel Interconnect, and keys of a controller's constraints.
#ifndef NBDEXT_SCSICONTROLLERDRIVERKIT_IOSCSIPARALLELCONTROLLERCHARACTERISTICS_H
#define NBDEXT_SCSICONTROLLERDRIVERKIT_IOSCSIPARALLELCONTROLLERCHARACTERISTICS_H

typedef enum SCSIParallelFeature {
    kSCSIParallelFeature_WideDataTransfer = 0,
    kSCSIParallelFeature_SynchronousDataTransfer = 1,
    kSCSIParallelFeature_QuickArbitrationAndSelection = 2,
    kSCSIParallelFeature_DoubleTransitionDataTransfers = 3,
    kSCSIParallelFeature_InformationUnitTransfers = 4,
    kSCSIParallelFeature_TotalFeatureCount,
} SCSIParallelFeature;

typedef enum SCSIParallelFeatureRequest {
    kSCSIParallelFeature_NoNegotiation = 0,
    kSCSIParallelFeature_AttemptNegotiation = 1,
    kSCSIParallelFeature_ClearNegotiation = 2,
} SCSIParallelFeatureRequest;

// Spelled as on macOS.
typedef enum SCSIParallelFeatureResult {
    kSCSIParallelFeature_NegotitiationUnchanged = 0,
    kSCSIParallelFeature_NegotitiationCleared = 1,
    kSCSIParallelFeature_NegotitiationSuccess = 2,
} SCSIParallelFeatureResult;

#define kIOHierarchicalLogicalUnitSupportKey "SCSI Hierarchical Logical Unit Support"
/// Which address bits a data buffer may have set; all ones mean any. Required: macOS panics without it.
#define kIOMinimumHBADataAlignmentMaskKey "HBA Data Alignment"

#endif
