// swift-format-ignore-file: AlwaysUseLowerCamelCase

/// A task in the calls of a KEXT's base class.
public struct SCSIParallelTaskIdentifier: Sendable, Equatable {
    /// The task's slot.
    package let slot: UInt16

    package init(slot: UInt16) { self.slot = slot }
}

/// The base class of a KEXT for a parallel SCSI HBA. DEXTs are ported from such KEXTs and compared with them.
///
/// There is no process boundary: the kernel calls `ProcessParallelTask` directly, on the thread that brings the task
/// and under the controller's command gate. No slot is copied and no queue is crossed.
open class IOSCSIParallelInterfaceController: IOService, @unchecked Sendable {
    // SAFETY: `kernel` is set before `InitializeController` and never changes afterwards, except that it is nil when
    // the kernel half is gone.
    /// The kernel half, set before `InitializeController`. It keeps the driver, not the reverse.
    package final weak var kernel: (any DriverKernelPort)!

    /// Made by the kernel, once for each device that the personality matches.
    public required override init() { super.init() }

    /// The work loop of the controller; interrupts of its device are served on it.
    public final let workLoop = IODispatchQueue(name: "WorkLoop")

    // MARK: What a driver overrides

    /// Finds the device and allocates; publishes limits with `SetHBAProperties`.
    open func InitializeController(_ provider: IOPCIDevice) -> Bool { false }
    /// Starts services; targets may be created from here.
    open func StartController() -> Bool { false }
    /// The driver is going away: stops the device.
    open func StopController() {}
    /// The HBA's own ID on the bus; no target may have it.
    open func ReportInitiatorIdentifier() -> SCSIDeviceIdentifier { 0 }
    /// The highest target ID.
    open func ReportHighestSupportedDeviceID() -> SCSIDeviceIdentifier { 0 }
    /// The size of the task pool. 0 fails the start.
    open func ReportMaximumTaskCount() -> UInt32 { 0 }
    /// The highest logical unit number of any target. Higher ones are not probed.
    open func ReportHBAHighestLogicalUnitNumber() -> SCSILogicalUnitNumber { 0 }
    /// Whether sense data comes with the response.
    open func DoesHBAPerformAutoSense() -> Bool { true }
    /// Aborts one task: FUNCTION_COMPLETE or FUNCTION_REJECTED.
    open func AbortTaskRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ tag: SCSITaggedTaskIdentifier
    ) -> UInt32 { kSCSIServiceResponse_FUNCTION_REJECTED }
    /// Resets a logical unit: FUNCTION_COMPLETE or FUNCTION_REJECTED.
    open func LogicalUnitResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber
    ) -> UInt32 { kSCSIServiceResponse_FUNCTION_REJECTED }
    /// Resets a target: FUNCTION_COMPLETE or FUNCTION_REJECTED.
    open func TargetResetRequest(_ targetID: SCSIDeviceIdentifier) -> UInt32 { kSCSIServiceResponse_FUNCTION_REJECTED }
    /// The DMA limits of a task.
    open func GetDMASpecification() -> DMASpecification { DMASpecification() }

    /// Takes a task. Returns Request_In_Process, or the reason for a refusal.
    open func ProcessParallelTask(_ parallelRequest: SCSIParallelTaskIdentifier) -> UInt32 {
        kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
    }

    /// The tasks of one backlog were all passed to `ProcessParallelTask`: the place to ring the doorbell once.
    open func SubmissionsEnded() {}

    // MARK: What the kernel offers

    /// Publishes limits, byte and block counts included.
    public final func SetHBAProperties(_ properties: OSDictionary) -> Bool {
        kernel?.reportHBAConstraints(properties) == kIOReturnSuccess
    }

    /// Builds the storage stack for a target. Commands to the target arrive before this returns.
    /// - Returns: whether the target exists and is usable.
    public final func CreateTargetForID(_ targetID: SCSIDeviceIdentifier, _ properties: OSDictionary) -> Bool {
        func create() -> kern_return_t {
            kernel?.createTarget(targetID, properties: properties) ?? kIOReturnAborted
        }
        return (DriverContext.ofCaller?.waits.creatingTarget(create) ?? create()) == kIOReturnSuccess
    }

    /// The task's fields, in place.
    public final func GetTask(_ parallelTask: SCSIParallelTaskIdentifier) -> UnsafePointer<SCSIUserParallelTask> {
        kernel.commandSlot(parallelTask.slot)
    }

    /// The task with that controller task identifier; a KEXT's tasks are numbered from 1.
    public final func GetTask(taskID: UInt64) -> UnsafePointer<SCSIUserParallelTask> {
        kernel.commandSlot(UInt16(taskID - 1))
    }

    /// Ends a task. The response is read before this returns.
    public final func CompleteParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>) {
        kernel?.completeParallelTask(response, slot: nil)
    }
}
