// swift-format-ignore-file: AlwaysUseLowerCamelCase

/// The version that every command slot carries.
public let kScsiUserParallelTaskCurrentVersion1: UInt64 = 1
/// The version that every response must carry. The kernel drops a response with another one.
public let kScsiUserParallelTaskResponseCurrentVersion1: UInt64 = 1
/// The most slots in one bundled call, in both directions.
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

// SCSITaskStatus. With TASK_COMPLETE, the status codes of SAM-5, 5.3:

/// The command was executed.
public let kSCSITaskStatus_GOOD: UInt32 = 0x00
/// The command was not executed in full. The sense data say why.
public let kSCSITaskStatus_CHECK_CONDITION: UInt32 = 0x02
/// The device cannot take a command now; it is sent again.
public let kSCSITaskStatus_BUSY: UInt32 = 0x08
/// The device has as many commands as it can hold; this one is sent again.
public let kSCSITaskStatus_TASK_SET_FULL: UInt32 = 0x28
// With SERVICE_DELIVERY_OR_TARGET_FAILURE, the same numbers have other meanings:
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

/// The most segments in one read. Required.
public let kIOMaximumSegmentCountReadKey = "IOMaximumSegmentCountRead"
/// The most segments in one write. Required.
public let kIOMaximumSegmentCountWriteKey = "IOMaximumSegmentCountWrite"
/// The most bytes in a segment of a read. Required.
public let kIOMaximumSegmentByteCountReadKey = "IOMaximumSegmentByteCountRead"
/// The most bytes in a segment of a write. Required.
public let kIOMaximumSegmentByteCountWriteKey = "IOMaximumSegmentByteCountWrite"
/// The alignment of a segment's start, bytes. Required.
public let kIOMinimumSegmentAlignmentByteCountKey = "IOMinimumSegmentAlignmentByteCount"
/// Bits in a bus address of the device. Required.
public let kIOMaximumSegmentAddressableBitCountKey = "IOMaximumSegmentAddressableBitCount"
/// The alignment mask of data. Required: without it macOS panics when it starts the driver.
public let kIOMinimumHBADataAlignmentMaskKey = "HBA Data Alignment"

/// Whether the HBA takes logical unit numbers of 8 bytes. Optional.
public let kIOHierarchicalLogicalUnitSupportKey = "SCSI Hierarchical Logical Unit Support"

// The keys of UserSetHBAProperties.

/// The HBA's vendor, a text.
public let kIOPropertyVendorNameKey = "Vendor Name"
/// The HBA's model, a text.
public let kIOPropertyProductNameKey = "Product Name"
/// The HBA's revision, a text.
public let kIOPropertyProductRevisionLevelKey = "Product Revision Level"
/// What people call the port, a text: "Channel A".
public let kIOPropertyPortDescriptionKey = "Port Description"
/// The port's present speed, a text.
public let kIOPropertyPortSpeedKey = "Port Speed"
/// The port's present topology, a text.
public let kIOPropertyPortTopologyKey = "Port Topology"
/// The signalling of a parallel bus, a text: "Low Voltage Differential".
public let kIOPropertySCSIParallelSignalingTypeKey = "SCSI Parallel Signaling Type"
/// The cabling of a Fibre Channel port, a text: "Copper".
public let kIOPropertyFibreChannelCableDescriptionKey = "Fibre Channel Cabling Type"

// The keys of UserSetHBAProperties and UserSetTargetProperties.

/// The node's World Wide Name, 8 bytes of data.
public let kIOPropertyFibreChannelNodeWorldWideNameKey = "Node World Wide Name"
/// The port's World Wide Name, 8 bytes of data.
public let kIOPropertyFibreChannelPortWorldWideNameKey = "Port World Wide Name"
/// The port's address on the fabric, 3 bytes of data.
public let kIOPropertyFibreChannelAddressIdentifierKey = "Address Identifier"
/// The port's address on the loop, 1 byte of data.
public let kIOPropertyFibreChannelALPAKey = "AL_PA"
/// The SAS address, 8 bytes of data.
public let kIOPropertySASAddressKey = "SAS Address"

// Keys that only a KEXT can set.

/// The most blocks in one read.
public let kIOMaximumBlockCountReadKey = "IOMaximumBlockCountRead"
/// The most blocks in one write.
public let kIOMaximumBlockCountWriteKey = "IOMaximumBlockCountWrite"
/// The most bytes in one read.
public let kIOMaximumByteCountReadKey = "IOMaximumByteCountRead"
/// The most bytes in one write.
public let kIOMaximumByteCountWriteKey = "IOMaximumByteCountWrite"

/// The layout of generated DMA segments. Little-endian hosts use Host64.
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

/// The DMA limits that UserGetDMASpecification reports, together.
public struct DMASpecification: Sendable {
    /// The largest whole task that the driver will ever take, bytes.
    public var maxTransferSize: UInt64 = 0
    /// The alignment of a segment's start, bytes.
    public var alignment: UInt32 = 0
    /// Bits in a bus address of the device.
    public var numAddressBits: UInt8 = 0
    /// The layout of the generated segments.
    public var segmentType = DMAOutputSegmentType.kDMAOutputSegmentHost64

    /// Makes a specification with all limits at 0, to be filled in.
    public init() {}
}
