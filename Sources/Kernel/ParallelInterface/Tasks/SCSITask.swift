import SCSI
import SCSIControllerDriverKit

/// A task's index in the tables of all layers: lane x `tasksPerLane` + tag.
package typealias TaskIndex = UInt32

/// A SCSI task between the architecture model and the HBA's kernel half: one entry of a table that both index.
///
/// The model fills the upper part before it submits the task; the HBA fills in the outcome before it hands the task
/// back. In between the task belongs to the HBA.
@usableFromInline package struct SCSITask: BitwiseCopyable {
    /// The direction of data, as in SCSIUserParallelTask.fTransferDirection.
    package enum Direction: UInt8, BitwiseCopyable, Sendable {
        case none = 0
        case initiatorToTarget = 1
        case targetToInitiator = 2
    }

    /// The command, in the first `cdbSize` bytes.
    package var cdb: InlineArray<16, UInt8> = .init(repeating: 0)
    /// Bytes of `cdb` in use: 6, 10, 12 or 16.
    package var cdbSize: UInt8 = 0
    /// The direction of the data.
    package var direction: Direction = .none
    /// The target that the task is for.
    package var targetID: UInt8 = 0
    /// The logical unit that the task is for.
    package var logicalUnit: UInt8 = 0
    /// The time limit; 0 for none.
    package var timeoutMilliseconds: UInt32 = 0
    /// Bytes to move, in one contiguous range of the data arena.
    package var requestedTransferCount: UInt64 = 0
    /// The first byte of that range; nil without data.
    package var buffer: UnsafeMutableRawPointer?

    /// Whether the outcome is the driver's own answer. Otherwise the kernel half ended the task, and reports why
    /// itself.
    package var isAnsweredByDriver = false

    // The outcome. Decode `serviceResponse` and `taskStatus` together, since their numbers overlap.

    /// SCSIServiceResponse: 1 delivery or target failure, 2 task complete.
    @usableFromInline package var serviceResponse: UInt8 = 0
    /// SCSITaskStatus: a SCSIStatus if the task is complete, otherwise the reason of the failure.
    @usableFromInline package var taskStatus: UInt8 = 0
    /// Bytes of `sense` in use; 0 without sense data.
    package var senseByteCount: UInt8 = 0
    /// Bytes that were moved.
    package var realizedTransferCount: UInt64 = 0
    /// The first bytes of the sense data, enough to decode fixed and descriptor format.
    package var sense: InlineArray<32, UInt8> = .init(repeating: 0)

    package init() {}

    /// Whether the CDB has one of SAM's fixed lengths.
    var hasValidCDB: Bool { cdbSize == 6 || cdbSize == 10 || cdbSize == 12 || cdbSize == 16 }

    /// The logical unit that the task is for.
    package var address: UnitAddress { UnitAddress(targetID: targetID, logicalUnit: logicalUnit) }

    /// The device's status; nil if the device did not answer.
    @inlinable package var status: SCSIStatus? {
        serviceResponse == Self.taskComplete ? SCSIStatus(rawValue: taskStatus) : nil
    }

    /// kSCSIServiceResponse_TASK_COMPLETE. Each outcome is compared with it, in another module; this one is inlined
    /// there.
    @inlinable package static var taskComplete: UInt8 { 2 }

    /// The task was not delivered, since there is no such device.
    package var isDeviceNotPresent: Bool { status == nil && UInt32(taskStatus) == kSCSITaskStatus_DeviceNotPresent }

    /// The task was not delivered, since the device does not respond.
    package var isDeviceNotResponding: Bool {
        status == nil && UInt32(taskStatus) == kSCSITaskStatus_DeviceNotResponding
    }
}

/// The architecture model's side of one logical unit, called by the HBA's kernel half.
package protocol SCSITaskOwner: AnyObject, Sendable {
    /// Takes tasks whose outcomes are filled in, by index; all are of this logical unit. Called on any thread, outside
    /// every dispatch queue. It may submit further tasks on the same lane.
    func tasksCompleted(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int)
}
