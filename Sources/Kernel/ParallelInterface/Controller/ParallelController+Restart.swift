import DriverHost
import Platform
import SCSIControllerDriverKit

/// The end of a driver's process, and its restart.
extension ParallelController {
    /// Takes all tasks back from a driver whose process ended, so that the upper layers send them again.
    package func driverDied() {
        setRestarting(true)
        targets.driverEnded()
        card.reset()
        withEndingLane { takeAllBack(lane: $0) }
    }

    private func takeAllBack(lane: Int) {
        pump(lane: lane)
        for slot in pool.ownedOrAbandoned() { takeBack(slot) }
        while true {
            finishWork(lane: lane)
            if !pool.hasTasksOfDriver { return }
            // The card works on the memory of the remaining tasks, or another thread reads their responses.
            _ = OneShotEvent().wait(milliseconds: 1)
        }
    }

    /// Ends the restart: the driver runs again.
    package func driverReturned() {
        hasWorked.store(false, ordering: .relaxed)
        setRestarting(false)
    }

    /// The driver has answered a task since its start.
    package var driverHasWorked: Bool { hasWorked.load(ordering: .relaxed) }

    /// Fails all tasks, since the driver is not started again.
    package func driverIsLost() {
        acceptsTasks.store(false, ordering: .releasing)
        pool.close()
        endTasksOfStoppedDriver()
    }

    /// The driver's tasks, one line each, oldest first.
    package func outstandingTasks() -> [String] {
        pool.ownedByDriver().compactMap { task in
            pool.whileWithDriver(task) { "slot \(task.slot): \(describe(task.slot))" }
        }
    }

    /// Completes a task in place of a driver that ended. The upper layers send it again.
    private func takeBack(_ slot: UInt16) {
        records[Int(slot)].isEndedByKernel = true
        let response = slots.responses + Int(slot)
        response.pointee = SCSIUserParallelResponse()
        response.pointee.version = kScsiUserParallelTaskResponseCurrentVersion1
        response.pointee.fTargetID = slots.commands[Int(slot)].fTargetID
        response.pointee.fControllerTaskIdentifier = taskIDs[Int(slot)]
        response.pointee.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        response.pointee.fCompletionStatus = kSCSITaskStatus_DeliveryFailure
        _ = withUnsafePointer(to: slot) { pool.complete($0, count: 1, route: pool.route(of: slot)) }
    }
}
