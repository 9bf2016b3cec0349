// swift-format-ignore-file: AlwaysUseLowerCamelCase

/// The version that every command slot carries.
public let kScsiUserParallelTaskCurrentVersion1: UInt64 = 1
/// The version that every response must carry; the kernel drops a response with another one.
public let kScsiUserParallelTaskResponseCurrentVersion1: UInt64 = 1
/// The slots in one bundled call, in both directions.
public let kMaxBundledParallelTasks = 32
/// Bytes of sense data in a response.
public let kMaxSenseBufferSize = 256

/// A target's number on the HBA.
public typealias SCSIDeviceIdentifier = UInt64
/// A logical unit's number.
public typealias SCSILogicalUnitNumber = UInt64
/// A task's tag; 0 means untagged.
public typealias SCSITaggedTaskIdentifier = UInt64

// SCSIServiceResponse.

/// The task is with the device.
public let kSCSIServiceResponse_Request_In_Process: UInt32 = 0
/// The task did not reach the device, or the device failed; the status says why.
public let kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE: UInt32 = 1
/// The device answered with a status.
public let kSCSIServiceResponse_TASK_COMPLETE: UInt32 = 2
/// A task management function was done.
public let kSCSIServiceResponse_FUNCTION_COMPLETE: UInt32 = 4
/// A task management function is not supported.
public let kSCSIServiceResponse_FUNCTION_REJECTED: UInt32 = 5

// SCSITaskStatus. With TASK_COMPLETE, the SAM status codes:

public let kSCSITaskStatus_GOOD: UInt32 = 0x00
public let kSCSITaskStatus_CHECK_CONDITION: UInt32 = 0x02
public let kSCSITaskStatus_BUSY: UInt32 = 0x08
public let kSCSITaskStatus_TASK_SET_FULL: UInt32 = 0x28
// with SERVICE_DELIVERY_OR_TARGET_FAILURE, the same numbers mean other things:
public let kSCSITaskStatus_TaskTimeoutOccurred: UInt32 = 0x01
public let kSCSITaskStatus_ProtocolTimeoutOccurred: UInt32 = 0x02
public let kSCSITaskStatus_DeviceNotResponding: UInt32 = 0x03
public let kSCSITaskStatus_DeviceNotPresent: UInt32 = 0x04
public let kSCSITaskStatus_DeliveryFailure: UInt32 = 0x05
public let kSCSITaskStatus_No_Status: UInt32 = 0xFF

// Data directions of a task.

public let kSCSIDataTransfer_NoDataTransfer: UInt8 = 0
public let kSCSIDataTransfer_FromInitiatorToTarget: UInt8 = 1
public let kSCSIDataTransfer_FromTargetToInitiator: UInt8 = 2

// The keys of UserReportHBAConstraints. The first seven are required.

public let kIOMaximumSegmentCountReadKey = "IOMaximumSegmentCountRead"
public let kIOMaximumSegmentCountWriteKey = "IOMaximumSegmentCountWrite"
public let kIOMaximumSegmentByteCountReadKey = "IOMaximumSegmentByteCountRead"
public let kIOMaximumSegmentByteCountWriteKey = "IOMaximumSegmentByteCountWrite"
public let kIOMinimumSegmentAlignmentByteCountKey = "IOMinimumSegmentAlignmentByteCount"
public let kIOMaximumSegmentAddressableBitCountKey = "IOMaximumSegmentAddressableBitCount"
public let kIOMinimumHBADataAlignmentMaskKey = "HBA Data Alignment"

// Keys that only a KEXT can set.

public let kIOMaximumBlockCountReadKey = "IOMaximumBlockCountRead"
public let kIOMaximumBlockCountWriteKey = "IOMaximumBlockCountWrite"
public let kIOMaximumByteCountReadKey = "IOMaximumByteCountRead"
public let kIOMaximumByteCountWriteKey = "IOMaximumByteCountWrite"

/// How generated DMA segments are laid out. Little-endian hosts use Host64.
public enum DMAOutputSegmentType: UInt16, Sendable {
    case kDMAOutputSegmentHost32 = 0
    case kDMAOutputSegmentBig32 = 1
    case kDMAOutputSegmentLittle32 = 2
    case kDMAOutputSegmentHost64 = 3
    case kDMAOutputSegmentBig64 = 4
    case kDMAOutputSegmentLittle64 = 5
}

/// What UserGetDMASpecification reports.
public struct DMASpecification: Sendable {
    /// The largest whole task that the driver will ever take, bytes.
    public var maxTransferSize: UInt64 = 0
    /// Start alignment, bytes.
    public var alignment: UInt32 = 0
    public var numAddressBits: UInt8 = 0
    public var segmentType = DMAOutputSegmentType.kDMAOutputSegmentHost64

    public init() {}
}
