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

/// The command was executed.
public let kSCSITaskStatus_GOOD: UInt32 = 0x00
/// The command was not executed, or not all of it: the sense data say why.
public let kSCSITaskStatus_CHECK_CONDITION: UInt32 = 0x02
/// The device cannot take a command now; it is sent again.
public let kSCSITaskStatus_BUSY: UInt32 = 0x08
/// The device has as many commands as it can hold; this one is sent again.
public let kSCSITaskStatus_TASK_SET_FULL: UInt32 = 0x28
// with SERVICE_DELIVERY_OR_TARGET_FAILURE, the same numbers mean other things:
/// The task's time is up.
public let kSCSITaskStatus_TaskTimeoutOccurred: UInt32 = 0x01
/// The interconnect did not answer in time.
public let kSCSITaskStatus_ProtocolTimeoutOccurred: UInt32 = 0x02
/// The device did not answer; the probe gives it up.
public let kSCSITaskStatus_DeviceNotResponding: UInt32 = 0x03
/// There is no such device, or it is gone; the task is not sent again.
public let kSCSITaskStatus_DeviceNotPresent: UInt32 = 0x04
/// The task did not reach the device; it is sent again.
public let kSCSITaskStatus_DeliveryFailure: UInt32 = 0x05
/// Nobody has set a status.
public let kSCSITaskStatus_No_Status: UInt32 = 0xFF

// Data directions of a task.

/// The command moves no data.
public let kSCSIDataTransfer_NoDataTransfer: UInt8 = 0
/// The device reads memory: a write.
public let kSCSIDataTransfer_FromInitiatorToTarget: UInt8 = 1
/// The device writes memory: a read.
public let kSCSIDataTransfer_FromTargetToInitiator: UInt8 = 2

// The keys of UserReportHBAConstraints. The first seven are required.

/// Segments in one read at most. Required.
public let kIOMaximumSegmentCountReadKey = "IOMaximumSegmentCountRead"
/// Segments in one write at most. Required.
public let kIOMaximumSegmentCountWriteKey = "IOMaximumSegmentCountWrite"
/// Bytes in a segment of a read at most. Required.
public let kIOMaximumSegmentByteCountReadKey = "IOMaximumSegmentByteCountRead"
/// Bytes in a segment of a write at most. Required.
public let kIOMaximumSegmentByteCountWriteKey = "IOMaximumSegmentByteCountWrite"
/// What the start of a segment is a multiple of, bytes. Required.
public let kIOMinimumSegmentAlignmentByteCountKey = "IOMinimumSegmentAlignmentByteCount"
/// Bits in a bus address of the device. Required.
public let kIOMaximumSegmentAddressableBitCountKey = "IOMaximumSegmentAddressableBitCount"
/// The alignment mask of data. Required: without it macOS panics when it starts the driver.
public let kIOMinimumHBADataAlignmentMaskKey = "HBA Data Alignment"

// Keys that only a KEXT can set.

/// Blocks in one read at most.
public let kIOMaximumBlockCountReadKey = "IOMaximumBlockCountRead"
/// Blocks in one write at most.
public let kIOMaximumBlockCountWriteKey = "IOMaximumBlockCountWrite"
/// Bytes in one read at most.
public let kIOMaximumByteCountReadKey = "IOMaximumByteCountRead"
/// Bytes in one write at most.
public let kIOMaximumByteCountWriteKey = "IOMaximumByteCountWrite"

/// How generated DMA segments are laid out. Little-endian hosts use Host64.
public enum DMAOutputSegmentType: UInt16, Sendable {
    /// 32 bits, in the host's byte order.
    case kDMAOutputSegmentHost32 = 0
    /// 32 bits, the highest byte first.
    case kDMAOutputSegmentBig32 = 1
    /// 32 bits, the lowest byte first.
    case kDMAOutputSegmentLittle32 = 2
    /// 64 bits, in the host's byte order.
    case kDMAOutputSegmentHost64 = 3
    /// 64 bits, the highest byte first.
    case kDMAOutputSegmentBig64 = 4
    /// 64 bits, the lowest byte first.
    case kDMAOutputSegmentLittle64 = 5
}

/// What UserGetDMASpecification reports.
public struct DMASpecification: Sendable {
    /// The largest whole task that the driver will ever take, bytes.
    public var maxTransferSize: UInt64 = 0
    /// Start alignment, bytes.
    public var alignment: UInt32 = 0
    /// Bits in a bus address of the device.
    public var numAddressBits: UInt8 = 0
    /// How the generated segments are laid out.
    public var segmentType = DMAOutputSegmentType.kDMAOutputSegmentHost64

    /// No limits that are known: a driver fills in what it reports.
    public init() {}
}
