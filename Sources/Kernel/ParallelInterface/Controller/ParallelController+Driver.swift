import Diagnostics
import DriverHost
import Platform
import SCSIControllerDriverKit

/// Calls from the driver and its host.
extension ParallelController: KernelHalf {
    package func takeSubmissions(
        _ indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, domain: SequenceDomain
    ) -> Int {
        dispatcher.takeSubmissions(indices, limit: limit, route: route, domain: domain)
    }

    package func submissionRefused(slot: UInt16, response: UInt32) {
        dispatcher.submissionRefused(slot: index(ofHosts: slot), response: response)
    }

    package func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int) {
        dispatcher.completeBundledParallelTasks(indices, count: count)
    }

    package func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: UInt16?) {
        dispatcher.completeParallelTask(response, slot: slot.map { index(ofHosts: $0) })
    }

    /// A slot's command, in the memory that is shared with the driver.
    package func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask> {
        UnsafePointer(dispatcher.slots.commands + index(ofHosts: slot).number)
    }

    /// The slot of a number that the host has checked, or a KEXT names. Another number would be memory outside of the
    /// table.
    private func index(ofHosts number: UInt16) -> SlotIndex {
        guard let slot = dispatcher.pool.slot(numbered: number) else {
            preconditionFailure(
                "slot \(number) was named by a host or a KEXT; there are \(dispatcher.pool.count) slots")
        }
        return slot
    }

    package func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor? {
        guard areTasksMapped.load(ordering: .acquiring) else { return nil }
        return dispatcher.dataBuffer(targetID: targetID, taskID: taskID)
    }

    package func reportHBAConstraints(_ constraints: OSDictionary) -> kern_return_t {
        let status = report.take(constraints)
        if status == kIOReturnNotReady {
            log.report(.constraintsNotReported, "UserReportHBAConstraints was called after UserInitializeController")
        }
        return status
    }

    // MARK: Registry and media

    /// What the driver has reported of its limits; nil for nothing.
    package var reportedConstraints: OSDictionary? { report.reported }

    /// What the driver has put into the registry.
    package var registry: DriverRegistry { parts.registry }

    package func changeProperties(_ change: PropertyChange) -> kern_return_t {
        if case .target(let targetID) = change.owner, !isTargetPresent(targetID) { return kIOReturnNoDevice }
        return parts.registry.change(change)
    }

    package func publish(_ service: PublishedService) {
        parts.registry.publish(service)
        guard service.isController, service.isTerminated else { return }
        // The driver waits for this call, and Stop for the driver.
        try? OSThread(name: "terminate") { [self] in stop() }.detach()
    }

    package func mediaParametersHaveChanged() -> kern_return_t {
        parts.media.announced()
        mediaChanged()
        return kIOReturnSuccess
    }

    /// Notes whether a disk had a medium when it was probed.
    package func settle(_ address: UnitAddress, hasMedium: Bool) {
        parts.media.settle(address, isPresent: hasMedium)
    }

    // MARK: Targets

    package func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t {
        creation.create(targetID)
    }

    /// Whether there is a target, or one is being created.
    package func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool {
        guard let id = UInt8(exactly: targetID) else { return false }
        return switch parts.targets.state(of: id) {
        case .creating, .present, .returning: true
        case .absent, .ending, .destroyed: false
        }
    }

    /// UserDestroyTargetForID: new tasks for the target fail, while the driver's tasks come back as usual. The disk
    /// above it stays, and works again when the driver creates the target once more.
    /// - Returns: `kIOReturnBadArgument` if there is no such target.
    package func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        UInt8(exactly: targetID).map { parts.targets.destroy($0) } == true ? kIOReturnSuccess : kIOReturnBadArgument
    }

    // MARK: The host's own threads

    package var clientLaneCount: Int { parts.lanes.clientCount }

    package func makeOwnLane() throws -> Int { try lanePump.makeOwnLane() }

    package func releaseOwnLane(_ lane: Int) { lanePump.releaseOwnLane(lane) }

    package func finishWork(lane: Int, _ exchange: Exchange) { lanePump.finishWork(lane: lane, exchange) }

    // MARK: The end of a driver's process, and its restart

    package func driverDied() {
        report.setRestarting(true)
        parts.registry.reset()
        parts.targets.driverEnded()
        parts.card.reset()
        ending.takeAllBack()
        assert(dispatcher.pool.ownedOrAbandoned().isEmpty, "a dead driver has tasks")
    }

    package func driverReturned() {
        assert(dispatcher.pool.ownedOrAbandoned().isEmpty, "a new driver has the tasks of the last one")
        dispatcher.hasWorked.store(false, ordering: .relaxed)
        report.setRestarting(false)
    }

    package var driverHasWorked: Bool { dispatcher.hasWorked.load(ordering: .relaxed) }

    package func initializeTargetsAgain() { creation.createAgain() }

    package func driverIsLost() {
        parts.state.refuseTasks()
        dispatcher.pool.close()
        ending.endTasksOfStoppedDriver()
    }

    /// The driver's tasks, one line each, oldest first.
    package func outstandingTasks() -> [String] {
        dispatcher.slots.describe(dispatcher.pool.ownedByDriver()) { "slot \($0): " }
    }
}
