import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// From a row to a slot, and back.
extension ParallelController: KernelHalf {
    /// Fills the slots that were claimed for rows, maps their memory for the card, and queues them for the driver.
    /// A task above maxTransferSize fails here: the driver never sees it.
    func prepare(_ claimed: UnsafeBufferPointer<UInt16>, lane: Int) {
        guard !claimed.isEmpty else { return }
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 2 * claimed.count) { buffer in
            var accepted = 0
            var refused = 0
            for slot in claimed {
                if fill(slot) {
                    buffer[accepted] = slot
                    accepted += 1
                } else {
                    buffer[claimed.count + refused] = slot
                    refused += 1
                }
            }
            if accepted > 0 {
                let now = monotonicMilliseconds()
                pool.enqueue(UnsafeBufferPointer(rebasing: buffer[..<accepted])) { row in
                    let timeout = tasks[Int(row)].timeoutMilliseconds
                    return timeout == 0 ? 0 : now + UInt64(timeout)
                }
                noteSubmissions(lane: lane)
            }
            if refused > 0 {
                let slots = UnsafeBufferPointer(rebasing: buffer[claimed.count..<claimed.count + refused])
                for slot in slots { fail(row: pool.row(of: slot), status: kSCSITaskStatus_DeliveryFailure) }
                finish(slots, lane: lane)
            }
        }
    }

    /// Writes a row's task into a command slot. Returns false when the task is larger than the driver takes.
    private func fill(_ slot: UInt16) -> Bool {
        let task = tasks + Int(pool.row(of: slot))
        guard task.pointee.requestedTransferCount <= properties.dma.maxTransferSize else { return false }
        let command = slots.commands + Int(slot)
        command.pointee.version = kScsiUserParallelTaskCurrentVersion1
        command.pointee.fTargetID = UInt64(task.pointee.targetID)
        command.pointee.fControllerTaskIdentifier = taskIDs[Int(slot)]
        command.pointee.fRequestedTransferCount = task.pointee.requestedTransferCount
        command.pointee.fTaskAttribute = 0
        command.pointee.fTaskTagIdentifier = UInt64(slot) + 1
        command.pointee.fLogicalUnitBytes.1 = task.pointee.logicalUnit
        command.pointee.fCommandSize = task.pointee.cdbSize
        command.pointee.fTransferDirection = task.pointee.direction.rawValue
        command.pointee.fTimeoutInMilliSec = task.pointee.timeoutMilliseconds
        // SAFETY: both are 16 bytes without padding.
        command.pointee.fCommandDescriptorBlock = unsafeBitCast(
            task.pointee.cdb, to: type(of: command.pointee.fCommandDescriptorBlock))
        // A task without data has an empty range: the card can say that it works on the task, and touch nothing.
        let hasData = task.pointee.buffer != nil && task.pointee.direction != .none
        command.pointee.fBufferIOVMAddr = card.dart.map(
            window: Int(slot), memory: task.pointee.buffer ?? arena.base,
            byteCount: hasData ? Int(task.pointee.requestedTransferCount) : 0,
            deviceMayWrite: task.pointee.direction == .targetToInitiator)
        return true
    }

    // MARK: Calls from the driver, inside its queues

    package func takeSubmissions(_ indices: UnsafeMutablePointer<UInt16>) -> Int {
        pool.takeQueued(into: indices, limit: kMaxBundledParallelTasks)
    }

    package func submissionRefused(slot: UInt16) {
        slots.responses[Int(slot)] = SCSIUserParallelResponse()
        slots.responses[Int(slot)].version = kScsiUserParallelTaskResponseCurrentVersion1
        slots.responses[Int(slot)].fTargetID = slots.commands[Int(slot)].fTargetID
        slots.responses[Int(slot)].fControllerTaskIdentifier = taskIDs[Int(slot)]
        slots.responses[Int(slot)].fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        slots.responses[Int(slot)].fCompletionStatus = kSCSITaskStatus_No_Status
        _ = withUnsafePointer(to: slot) { pool.complete($0, count: 1) }
    }

    package func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int) {
        let accepted = pool.complete(indices, count: count)
        if accepted != count { report("the driver completed \(count - accepted) slots that it does not own") }
    }

    package func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>) {
        guard let slot = slot(ofTaskID: response.pointee.fControllerTaskIdentifier) else {
            report("the driver completed task \(response.pointee.fControllerTaskIdentifier), which does not exist")
            return
        }
        slots.responses[Int(slot)] = response.pointee
        if withUnsafePointer(to: slot, { pool.complete($0, count: 1) }) != 1 {
            report("the driver completed task \(response.pointee.fControllerTaskIdentifier) that it does not own")
        }
    }

    package func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask> {
        UnsafePointer(slots.commands + Int(slot))
    }

    private func slot(ofTaskID id: UInt64) -> UInt16? {
        let guess = Int(truncatingIfNeeded: id &- 1)
        if guess >= 0, guess < taskIDs.count, taskIDs[guess] == id { return UInt16(guess) }
        return taskIDs.firstIndex(of: id).map { UInt16($0) }
    }

    // MARK: Completions, outside of every queue

    /// Reads the responses of slots that came back, gives the slots to rows that wait, and hands the rows up.
    /// - Returns: whether there were any.
    func deliverCompletions(lane: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { completed in
            let count = pool.takeCompleted(into: completed.baseAddress!, limit: pool.count)
            if count == 0 { return false }
            let batch = UnsafeBufferPointer(rebasing: completed[..<count])
            for slot in batch { readResponse(slot) }
            finish(batch, lane: lane)
            return true
        }
    }

    private func readResponse(_ slot: UInt16) {
        let response = slots.responses + Int(slot)
        let row = pool.row(of: slot)
        if row == TaskSlots.noRow { return }
        guard response.pointee.version == kScsiUserParallelTaskResponseCurrentVersion1,
            response.pointee.fControllerTaskIdentifier == taskIDs[Int(slot)],
            response.pointee.fTargetID == UInt64(tasks[Int(row)].targetID)
        else {
            report("the response in slot \(slot) names another task or has a version other than 1")
            return fail(row: row, status: kSCSITaskStatus_DeliveryFailure)
        }
        let task = tasks + Int(row)
        task.pointee.serviceResponse = UInt8(truncatingIfNeeded: response.pointee.fServiceResponse)
        task.pointee.taskStatus = UInt8(truncatingIfNeeded: response.pointee.fCompletionStatus)
        task.pointee.realizedTransferCount = min(
            response.pointee.fBytesTransferred, task.pointee.requestedTransferCount)
        task.pointee.senseByteCount = min(response.pointee.fSenseLength, 32)
        if response.pointee.fSenseLength > 0 {
            withUnsafeBytes(of: &response.pointee.fSenseBuffer) { sense in
                for index in 0..<Int(task.pointee.senseByteCount) { task.pointee.sense[index] = sense[index] }
            }
        }
    }

    /// Gives a row the outcome of a task that did not reach the device, or did not come back.
    func fail(row: UInt32, status: UInt32) {
        let task = tasks + Int(row)
        task.pointee.serviceResponse = UInt8(kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE)
        task.pointee.taskStatus = UInt8(status)
        task.pointee.realizedTransferCount = 0
        task.pointee.senseByteCount = 0
    }

    /// Ends the tasks in these slots: their memory is unmapped, the slots go to waiting rows, the rows go up.
    private func finish(_ ended: UnsafeBufferPointer<UInt16>, lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: ended.count) { rows in
            var count = 0
            for slot in ended {
                card.dart.unmap(window: Int(slot))
                let row = pool.row(of: slot)
                if row == TaskSlots.noRow { continue }
                rows[count] = row
                count += 1
            }
            withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { claimed in
                let count = pool.release(ended, into: claimed.baseAddress!)
                prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
            }
            deliver(UnsafeMutableBufferPointer(rebasing: rows[..<count]), lane: lane)
        }
    }

    /// Hands finished rows to their targets' owners, one call a target.
    func deliver(_ rows: UnsafeMutableBufferPointer<UInt32>, lane: Int) {
        var start = 0
        while start < rows.count {
            let targetID = tasks[Int(rows[start])].targetID
            var end = start + 1
            for index in end..<rows.count where tasks[Int(rows[index])].targetID == targetID {
                rows.swapAt(index, end)
                end += 1
            }
            owner(of: targetID)?.tasksCompleted(UnsafeBufferPointer(rebasing: rows[start..<end]), lane: lane)
            start = end
        }
    }

    /// Says on standard error what a driver did wrong.
    func report(_ message: String) { writeDiagnostic("nbdext: driver error: \(message)\n") }
}
