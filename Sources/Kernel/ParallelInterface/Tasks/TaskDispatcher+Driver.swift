import DriverHost
import Glibc
import SCSIControllerDriverKit

/// Calls from the driver, inside its queues.
extension TaskDispatcher {
    /// Ends a task whose UserProcessParallelTask returned a response at once, which is a fault.
    func submissionRefused(slot: SlotIndex, response: UInt32) {
        assert(response != kSCSIServiceResponse_Request_In_Process, "a task that the driver has taken was refused")
        log.report(
            .immediateResponse,
            "UserProcessParallelTask returned the response \(response) for task \(slots.taskID(of: slot))")
        slots.end(slot, status: kSCSITaskStatus_No_Status, route: .legacy)
    }

    /// BundledParallelTaskCompletion: takes slots back, whose responses are in place.
    func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int) {
        if deviceWorks(on: indices, count: count) { return completeThoseThatDeviceLeft(indices, count: count) }
        if Detectors.areEnabled { detectors.findOvertakenWrites(indices, count: count) }
        complete(indices, count: count, route: .bundled)
    }

    /// ParallelTaskCompletion: takes a slot back with its response. A nil `slot` is found by the response's task ID.
    func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: SlotIndex?) {
        guard let slot = slot ?? slots.slot(ofTaskID: response.pointee.fControllerTaskIdentifier) else {
            return log.report(
                .responseNamesAnotherTask,
                "task \(response.pointee.fControllerTaskIdentifier) was completed, which does not exist")
        }
        withUnsafePointer(to: slot.rawValue) { indices in
            if deviceWorks(on: indices, count: 1) { return }
            if Detectors.areEnabled { detectors.findOvertakenWrites(indices, count: 1) }
            if pool.isWithDriver(slot) { slots.responses[slot.number] = response.pointee }
            complete(indices, count: 1, route: .legacy)
        }
    }

    private func complete(_ indices: UnsafePointer<UInt16>, count: Int, route: TaskRoute) {
        let completion = pool.complete(indices, count: count, route: route)
        if completion.refused != nil { detectors.report(completion, route: route) }
    }

    /// Whether the device works on the memory of any of these slots. Reports the first such slot.
    private func deviceWorks(on indices: UnsafePointer<UInt16>, count: Int) -> Bool {
        for index in 0..<count {
            guard let slot = pool.slot(numbered: indices[index]) else { continue }
            if slots.isInDevice(slot), pool.isWithDriver(slot) {
                detectors.reportDeviceWorks(on: slot)
                return true
            }
        }
        return false
    }

    /// Takes back the slots of a call except those that the device works on.
    private func completeThoseThatDeviceLeft(_ indices: UnsafePointer<UInt16>, count: Int) {
        for index in 0..<count where !deviceWorks(on: indices + index, count: 1) {
            complete(indices + index, count: 1, route: .bundled)
        }
    }

    /// UserGetDataBuffer: takes the task's memory from the device and lends it to the driver.
    func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor? {
        guard let slot = slots.slot(ofTaskID: taskID), pool.isWithDriver(slot),
            slots.commands[slot.number].fTargetID == targetID
        else { return nil }
        let task = tasks[pool.taskIndex(of: slot)].pointee
        guard let buffer = task.buffer else { return nil }
        if !slots.records[slot.number].dataBufferWasTaken && task.direction == .targetToInitiator {
            // The driver's fill is not counted, so bytes that it leaves out must not show old content.
            memset(buffer, 0, Int(task.requestedTransferCount))
        }
        slots.records[slot.number].dataBufferWasTaken = true
        card.dart.unmap(window: slot.number)
        let descriptor = IOBufferMemoryDescriptor(
            borrowing: UnsafeMutableRawBufferPointer(
                start: buffer, count: Int(slots.commands[slot.number].fRequestedTransferCount)))
        // It is not documented whether the caller owns a reference. With this one it may release it, but need not.
        descriptor.retain()
        return descriptor
    }
}
