// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics

/// The base class of a DEXT for a parallel SCSI HBA; a driver subclasses it and overrides the `User…` methods.
///
/// Methods run on the driver's Default queue unless they say otherwise. The order of calls at start is `Start`,
/// `UserInitializeController`, the `UserReport…` questions, `UserMapHBAData` for each task object,
/// `UserMapBundledParallelTaskCommandAndResponseBuffers`, `UserStartController`.
open class IOUserSCSIParallelInterfaceController: IOService, @unchecked Sendable {
    // SAFETY: `kernel` is set before the first call of the driver and never changes afterwards, except that it is nil
    // when the kernel half is gone.
    /// The kernel half, or its stand-in in a driver's process; set before the first call. The kernel half keeps the
    /// driver, not the reverse: a thread of the driver's own may outlive the machine.
    package final weak var kernel: (any DriverKernelPort)?

    // SAFETY: set by `initialize` or `Start`, read when they have returned.
    /// Why the driver cannot start, where `initialize` or `Start` has failed for a reason that has words.
    package final nonisolated(unsafe) var obstacle: DriverStartError?

    /// Made by the kernel, once for each device that the personality matches. `initialize` follows.
    public required override init() { super.init() }

    /// The queue that a method is bound to, as by QUEUENAME in an interface file; nil means Default.
    /// - Parameter method: the method's name, such as "UserProcessParallelTask".
    open class func QUEUENAME(_ method: String) -> String? { nil }

    // MARK: Life cycle

    /// Allocates the driver's own state. There is no provider yet.
    open func initialize() -> Bool { true }

    /// The driver is going away, and completes its tasks. The kernel ends the others when this has returned. Overrides
    /// call super last.
    open override func Stop(_ provider: IOService) -> kern_return_t { super.Stop(provider) }

    /// The family's first call, once: makes queues, allocates, and calls `UserReportHBAConstraints`.
    open func UserInitializeController() -> kern_return_t { kIOReturnUnsupported }

    /// Starts services. Must return at once: targets are created afterwards, from AuxiliaryQueue.
    open func UserStartController() -> kern_return_t { kIOReturnUnsupported }

    // MARK: Questions

    /// The HBA's own ID on the bus; no target may have it.
    open func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        kIOReturnUnsupported
    }

    /// The highest target ID. Completions for higher ones are never matched.
    open func UserReportHighestSupportedDeviceID(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        kIOReturnUnsupported
    }

    /// The size of the task pool, which is also the number of slots. 0 fails the start.
    open func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t { kIOReturnUnsupported }

    /// The highest logical unit number of any target. Higher ones are not probed.
    open func UserReportHBAHighestLogicalUnitNumber(_ value: inout UInt64) -> kern_return_t { kIOReturnUnsupported }

    /// Whether sense data comes with the response.
    open func UserDoesHBAPerformAutoSense(_ result: inout Bool) -> kern_return_t { kIOReturnUnsupported }

    /// Whether the driver creates its targets itself; if not, the kernel scans all IDs.
    open func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t { kIOReturnUnsupported }

    /// Whether several paths lead to a target.
    open func UserDoesHBASupportMultiPathing(_ result: inout Bool) -> kern_return_t { kIOReturnUnsupported }

    /// Whether a SCSI parallel interconnect feature (wide, sync, ...) is supported.
    open func UserDoesHBASupportSCSIParallelFeature(_ feature: UInt32, _ result: inout Bool) -> kern_return_t {
        kIOReturnUnsupported
    }

    /// The DMA limits of a task.
    /// - Parameters:
    ///   - maxTransferSize: the largest whole task that the driver will ever take, bytes.
    ///   - alignment: the alignment of a segment's start, bytes.
    ///   - numAddressBits: bits in a bus address of the device.
    ///   - segmentType: the layout of the generated segments.
    open func UserGetDMASpecification(
        _ maxTransferSize: inout UInt64, _ alignment: inout UInt32, _ numAddressBits: inout UInt8,
        _ segmentType: inout DMAOutputSegmentType
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Called once for each task object. Returns the ID that the object's commands will carry: unique and not 0.
    open func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t { kIOReturnUnsupported }

    /// A target is being created; its first commands follow at once.
    open func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t { kIOReturnUnsupported }

    // MARK: Tasks

    /// Takes one task (legacy route). `response` stays Request_In_Process unless the task was refused; the driver
    /// retains `completion` and gives it to `ParallelTaskCompletion` when the device has answered.
    open func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Hands over the shared slots. An error selects the legacy route for the rest of the driver's life.
    open func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ parallelCommandIOMemoryDescriptor: IOBufferMemoryDescriptor,
        _ parallelResponseIOMemoryDescriptor: IOBufferMemoryDescriptor
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Takes the tasks in the command slots named by the first `parallelRequestIndicesCount` of 32 indices. The driver
    /// owns these slots until it passes them to `BundledParallelTaskCompletion`. The action is the same in every call.
    open func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {}

    /// Aborts one task. The response is FUNCTION_COMPLETE or FUNCTION_REJECTED.
    open func UserAbortTaskRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ tag: SCSITaggedTaskIdentifier,
        _ response: inout UInt32
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Aborts all tasks of this initiator on a logical unit.
    open func UserAbortTaskSetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Ends an auto contingent allegiance.
    open func UserClearACARequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Aborts all tasks of all initiators on a logical unit.
    open func UserClearTaskSetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Resets a logical unit.
    open func UserLogicalUnitResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { kIOReturnUnsupported }

    /// Resets a target.
    open func UserTargetResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ response: inout UInt32
    ) -> kern_return_t { kIOReturnUnsupported }

    // MARK: What the kernel offers

    /// Publishes the HBA's limits; before `UserInitializeController` returns.
    public final func UserReportHBAConstraints(_ constraints: OSDictionary) -> kern_return_t {
        kernel?.reportHBAConstraints(constraints) ?? kIOReturnAborted
    }

    /// Builds the storage stack for a target. Commands to the target arrive before this returns, so it belongs on
    /// AuxiliaryQueue.
    public final func UserCreateTargetForID(
        _ targetID: SCSIDeviceIdentifier, _ targetDictionary: OSDictionary
    ) -> kern_return_t {
        guard dispatchQueue(named: "AuxiliaryQueue") != nil else {
            DriverContext.report(
                .noAuxiliaryQueue, "UserCreateTargetForID(\(targetID)) cannot run: there is no AuxiliaryQueue")
            return kIOReturnError
        }
        func create() -> kern_return_t {
            kernel?.createTarget(targetID, properties: targetDictionary) ?? kIOReturnAborted
        }
        return DriverContext.ofCaller?.waits.creatingTarget(create) ?? create()
    }

    /// Sets properties of the HBA in its "Controller Characteristics".
    /// - Parameter properties: by the `kIOProperty…Key` names. Texts, except for names and addresses, which are data.
    /// - Returns: `kIOReturnBadArgument` for a name that an HBA does not have, or a value of another type or size; then
    ///   nothing is set.
    public final func UserSetHBAProperties(_ properties: OSDictionary) -> kern_return_t {
        change(PropertyChange(owner: .controller, values: properties))
    }

    /// Removes properties of the HBA.
    /// - Parameter properties: their names, texts.
    public final func UserRemoveHBAProperties(_ properties: OSArray) -> kern_return_t {
        remove(properties, of: .controller)
    }

    /// Sets properties of a target in its "Protocol Characteristics".
    /// - Parameters:
    ///   - targetID: a target that was created.
    ///   - properties: by the `kIOProperty…Key` names: names and addresses, data.
    /// - Returns: as for `UserSetHBAProperties`; `kIOReturnNoDevice` when there is no such target.
    public final func UserSetTargetProperties(
        _ targetID: SCSIDeviceIdentifier, _ properties: OSDictionary
    ) -> kern_return_t {
        change(PropertyChange(owner: .target(targetID), values: properties))
    }

    /// Removes properties of a target.
    /// - Parameters:
    ///   - targetID: a target that was created.
    ///   - properties: their names, texts.
    public final func UserRemoveTargetProperties(
        _ targetID: SCSIDeviceIdentifier, _ properties: OSArray
    ) -> kern_return_t { remove(properties, of: .target(targetID)) }

    private func remove(_ properties: OSArray, of owner: PropertyOwner) -> kern_return_t {
        let names = properties.compactMap(\.stringValue)
        guard names.count == properties.count else { return kIOReturnBadArgument }
        return change(PropertyChange(owner: owner, removed: names))
    }

    private func change(_ change: PropertyChange) -> kern_return_t {
        kernel?.changeProperties(change) ?? kIOReturnAborted
    }

    /// Says that a medium came or went. The kernel then asks every disk for its capacity, later. To be called for
    /// both, and not needlessly: the commands of the probe go among the clients'.
    public final func UserCallMediaParametersHaveChanged() -> kern_return_t {
        kernel?.mediaParametersHaveChanged() ?? kIOReturnAborted
    }

    /// Says whether a target was created and not destroyed.
    public final func UserTargetPresentForID(_ targetID: SCSIDeviceIdentifier, _ result: inout Bool) -> kern_return_t {
        result = kernel?.isTargetPresent(targetID) == true
        return kIOReturnSuccess
    }

    /// Removes a target; its commands fail from now on. Not legal in Stop, after which the kernel removes all targets.
    public final func UserDestroyTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        if DriverContext.currentCall == "Stop" {
            DriverContext.report(
                .waitInStop,
                "UserDestroyTargetForID(\(targetID)) was called in Stop; it waits for the termination "
                    + "that waits for Stop")
            return kIOReturnError
        }
        return kernel?.destroyTarget(targetID) ?? kIOReturnAborted
    }

    /// Gives a task's data to the driver itself and takes it from the device: fBufferIOVMAddr is void afterwards. Only
    /// inside UserProcessParallelTask, for its own task.
    public final func UserGetDataBuffer(
        _ targetID: SCSIDeviceIdentifier, _ controllerTaskIdentifier: UInt64,
        _ buffer: inout IOBufferMemoryDescriptor?
    ) -> kern_return_t {
        guard DriverContext.current?.taskInEntry == controllerTaskIdentifier else {
            DriverContext.report(
                .dataBufferOutsideTask,
                "UserGetDataBuffer(task \(controllerTaskIdentifier)) was called in \(DriverContext.currentCall)")
            return kIOReturnBadArgument
        }
        buffer = kernel?.dataBuffer(targetID: targetID, taskID: controllerTaskIdentifier)
        return buffer == nil ? kIOReturnBadArgument : kIOReturnSuccess
    }

    /// Completes a task of the legacy route. The action must be the one that came with it.
    public final func ParallelTaskCompletion(_ action: OSAction, _ response: SCSIUserParallelResponse) {
        guard case .parallelTask(let slot) = action.route else {
            return DriverContext.report(
                .bundledActionCompletedAsLegacy,
                "task \(response.fControllerTaskIdentifier) arrived in a bundled call and was completed with "
                    + "ParallelTaskCompletion")
        }
        // Inside the call that brought the task, the caller holds the action.
        if action.retainCount <= 1, !isInEntry(ofSlot: slot) {
            action.reportOnlyKernels(
                "task \(response.fControllerTaskIdentifier) was completed outside of its UserProcessParallelTask")
        }
        action.isCompleted.store(true, ordering: .releasing)
        withUnsafePointer(to: response) { kernel?.completeParallelTask($0, slot: slot) }
    }

    /// Whether the calling thread is inside the UserProcessParallelTask call that brought an action. The response may
    /// name another task.
    private func isInEntry(ofSlot slot: UInt16) -> Bool {
        guard dispatchQueue(named: "Default")?.OnQueue() == true, let context = DriverContext.current else {
            return false
        }
        return context.taskInEntry != 0 && context.slotInEntry == slot
    }

    /// Passes slots back: any subset, in any order, at most 32 a call. The driver must not touch them afterwards.
    public final func BundledParallelTaskCompletion(
        _ action: OSAction, _ indices: UnsafePointer<UInt16>, _ count: UInt16
    ) {
        guard case .bundledParallelTasks = action.route else {
            return DriverContext.report(
                .legacyTaskCompletedAsBundled,
                "BundledParallelTaskCompletion was given the action of a task that arrived by UserProcessParallelTask")
        }
        guard count >= 1 && count <= UInt16(kMaxBundledParallelTasks) else {
            return DriverContext.report(
                .slotMisuse, "BundledParallelTaskCompletion was called with \(count) slots; a call takes 1 to 32")
        }
        kernel?.completeBundledParallelTasks(indices, count: Int(count))
    }
}
