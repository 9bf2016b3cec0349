import DriverHost
import Platform
import SCSIControllerDriverKit

/// What the kernel half does when a driver's process ends and is started again.
extension ParallelController {
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
            // The card works on the memory of what is left, or another thread reads its responses.
            _ = Event().wait(milliseconds: 1)
        }
    }

    package func driverReturned() {
        hasWorked.store(false, ordering: .relaxed)
        setRestarting(false)
    }

    package var driverHasWorked: Bool { hasWorked.load(ordering: .relaxed) }

    package func driverIsLost() {
        acceptsTasks.store(false, ordering: .releasing)
        pool.close()
        endTasksOfStoppedDriver()
    }

    package func outstandingTasks() -> [String] {
        pool.ownedByDriver().compactMap { task in
            pool.whileWithDriver(task) { "slot \(task.slot): \(describe(task.slot))" }
        }
    }

    /// Completes a task for a driver that cannot any more. The upper layers will send it again.
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
