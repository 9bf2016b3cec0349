/// What the kernel half does for a driver: the other end of the calls that a driver's base class makes.
package protocol DriverKernelPort: AnyObject, Sendable {
    /// A driver passed back the slots named by `indices`.
    func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int)
    /// A driver completed one task of the legacy route, or a KEXT completed one task.
    /// - Parameter slot: that of the action with which the task was completed; nil for a KEXT, which names the task alone.
    func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: UInt16?)
    func reportHBAConstraints(_ constraints: OSDictionary) -> kern_return_t
    /// Makes a task's data accessible to the driver and takes it away from the device. Nil when there is no such task.
    func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor?
    func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool
    func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t
    func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t
    /// A command slot's memory, for a KEXT's accessors.
    func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask>
}
