/// The kernel half, as the base class of a driver calls it.
///
/// Threads: any.
package protocol DriverKernelPort: AnyObject, Sendable {
    /// A driver passed slots back, 1 to 32.
    func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int)
    /// A driver completed one task of the legacy route, or a KEXT completed one task.
    /// - Parameter slot: the slot of the action that completes the task; nil for a KEXT, which names the task only.
    func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: UInt16?)
    /// UserReportHBAConstraints, or a KEXT's SetHBAProperties.
    func reportHBAConstraints(_ constraints: OSDictionary) -> kern_return_t
    /// Gives a task's data to the driver and takes it from the device. Nil when there is no such task.
    func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor?
    /// Whether a target was created and not destroyed.
    func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool
    /// Removes a target. Its commands fail from now on.
    func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t
    /// Builds the storage stack for a target. Its commands reach the driver before this returns.
    func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t
    /// UserSetHBAProperties and its kin.
    func changeProperties(_ change: PropertyChange) -> kern_return_t
    /// UserCallMediaParametersHaveChanged: the kernel asks each disk for its capacity again, later.
    func mediaParametersHaveChanged() -> kern_return_t
    /// A service of the driver says something of itself.
    func publish(_ service: PublishedService)
    /// A command slot's memory, for a KEXT's accessors.
    func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask>
}
