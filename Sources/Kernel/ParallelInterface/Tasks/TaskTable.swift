import SCSIControllerDriverKit

/// The tasks of all lanes, and the owners who get their outcomes.
///
/// Threads: any. A task belongs to one thread at a time.
final class TaskTable: Sendable {
    /// Tasks of each lane; requests' tags are below it.
    static let tasksPerLane = 128
    let count: Int
    // SAFETY: the pointer never changes; see `SCSITask` for who may touch an entry.
    nonisolated(unsafe) let entries: UnsafeMutablePointer<SCSITask>
    let owners = TaskOwners()

    init(laneCount: Int) {
        count = laneCount * Self.tasksPerLane
        assert(count < TaskSlots.noTask, "\(laneCount) lanes have more tasks than there are indices")
        entries = .allocate(capacity: count)
        entries.initialize(repeating: SCSITask(), count: count)
    }

    deinit { entries.deallocate() }

    func has(_ taskIndex: TaskIndex) -> Bool { taskIndex < count }

    subscript(taskIndex: TaskIndex) -> UnsafeMutablePointer<SCSITask> { entries + Int(taskIndex) }

    /// Sets the outcome of a task that did not reach the device, or did not come back.
    /// - Parameter status: a SCSITaskStatus.
    func fail(_ taskIndex: TaskIndex, status: UInt32) {
        assert(has(taskIndex), "task \(taskIndex) failed, which does not exist")
        assert(status != kSCSITaskStatus_GOOD, "task \(taskIndex) failed with the status GOOD")
        let task = self[taskIndex]
        task.pointee.isAnsweredByDriver = false
        task.pointee.serviceResponse = UInt8(kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE)
        task.pointee.taskStatus = UInt8(status)
        task.pointee.realizedTransferCount = 0
        task.pointee.senseByteCount = 0
    }

    /// Fails tasks that have no slot, and hands them up.
    func end(_ taskIndices: UnsafeMutableBufferPointer<TaskIndex>, status: UInt32, lane: Int) {
        for taskIndex in taskIndices { fail(taskIndex, status: status) }
        deliver(taskIndices, lane: lane)
    }

    /// Fails a task that has no slot, and hands it up.
    func end(_ taskIndex: TaskIndex, status: UInt32, lane: Int) {
        var taskIndex = taskIndex
        withUnsafeMutablePointer(to: &taskIndex) {
            end(UnsafeMutableBufferPointer(start: $0, count: 1), status: status, lane: lane)
        }
    }

    /// Hands finished tasks to the owners of their logical units, with one call for each unit.
    func deliver(_ taskIndices: UnsafeMutableBufferPointer<TaskIndex>, lane: Int) {
        assert(Set(taskIndices).count == taskIndices.count, "a task ends twice at once")
        var start = 0
        while start < taskIndices.count {
            assert(has(taskIndices[start]), "task \(taskIndices[start]) ends, which does not exist")
            let address = self[taskIndices[start]].pointee.address
            var end = start + 1
            for index in end..<taskIndices.count where self[taskIndices[index]].pointee.address == address {
                taskIndices.swapAt(index, end)
                end += 1
            }
            let owner = owners[address]
            assert(owner != nil, "tasks of \(address) end, and nobody is told")
            owner?.tasksCompleted(UnsafeBufferPointer(rebasing: taskIndices[start..<end]), lane: lane)
            start = end
        }
    }
}
