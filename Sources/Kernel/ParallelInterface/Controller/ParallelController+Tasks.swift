import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// The way of a task into a slot, and back.
extension ParallelController: KernelHalf {
    /// Fills slots that were claimed for tasks, maps their memory for the card, and queues them for the driver. A task
    /// that a gate refuses fails here, and the driver never sees it.
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
                let slots = UnsafeBufferPointer(rebasing: buffer[..<accepted])
                let now = options.clock.milliseconds
                if pool.enqueue(slots, now: now, deadline: { deadline(ofTask: $0, now: now) }) {
                    noteSubmissions(lane: lane)
                } else {
                    for slot in slots {
                        fail(taskIndex: pool.taskIndex(of: slot), status: kSCSITaskStatus_DeviceNotPresent)
                    }
                    finish(slots, lane: lane)
                }
            }
            if refused > 0 {
                let slots = UnsafeBufferPointer(rebasing: buffer[claimed.count..<claimed.count + refused])
                finish(slots, lane: lane)
            }
        }
    }

    /// The time by which a task has to be back, milliseconds of the clock; 0 for no limit.
    private func deadline(ofTask taskIndex: TaskIndex, now: UInt64) -> UInt64 {
        // A task's 0 is "no limit".
        let own = tasks[Int(taskIndex)].timeoutMilliseconds == 0 ? .max : tasks[Int(taskIndex)].timeoutMilliseconds
        let timeout = min(own, options.taskTimeoutMilliseconds ?? .max)
        return timeout == .max ? 0 : now + UInt64(timeout)
    }

    /// Writes a slot's task into its command slot.
    /// - Returns: false if the task cannot be sent; then its outcome is set.
    private func fill(_ slot: UInt16) -> Bool {
        let taskIndex = pool.taskIndex(of: slot)
        let task = tasks + Int(taskIndex)
        guard passesGates(task, taskIndex: taskIndex) else { return false }
        records[Int(slot)] = SlotRecord(
            pinCount: card.dart.pinCount(window: Int(slot)),
            filledByteCount: card.dart.filledByteCount(window: Int(slot)),
            hasBeenSplit: records[Int(slot)].hasBeenSplit)
        if Detectors.areEnabled { checkResponse(slot) }
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
        command.pointee.cdb = task.pointee.cdb
        // A task without data gets an empty range. The card can pin it, but touch no memory.
        let hasData = task.pointee.buffer != nil && task.pointee.direction != .none
        let address = card.dart.map(
            window: Int(slot), memory: task.pointee.buffer ?? arena.base,
            byteCount: hasData ? Int(task.pointee.requestedTransferCount) : 0,
            deviceMayWrite: task.pointee.direction == .targetToInitiator)
        guard let address else { preconditionFailure("slot \(slot) was free, and its window is not") }
        command.pointee.fBufferIOVMAddr = address
        return true
    }

    /// Whether a task may be sent. If not, its outcome is set.
    private func passesGates(_ task: UnsafeMutablePointer<SCSITask>, taskIndex: TaskIndex) -> Bool {
        guard acceptsTasks.load(ordering: .relaxed), !targets.refusesTasks(task.pointee.targetID) else {
            fail(taskIndex: taskIndex, status: kSCSITaskStatus_DeviceNotPresent)
            return false
        }
        switch TaskGate.refusing(
            byteCount: task.pointee.requestedTransferCount, segmentCount: segmentCount(of: task),
            maxTransferSize: properties.dma.maxTransferSize, isKext: host.hosted.mode == .kext)
        {
        case nil: return true
        case .maxTransferSize:
            log.report(
                .maxTransferSizeTooSmall,
                "a task of \(task.pointee.requestedTransferCount) bytes is within what the block layer may send and "
                    + "above maxTransferSize (\(properties.dma.maxTransferSize)): it fails, and the driver never sees it"
            )
        case .singleSegment:
            log.report(
                .severalSegments,
                "a task of \(task.pointee.requestedTransferCount) bytes has \(segmentCount(of: task)) segments without "
                    + "a mapper: it fails, and the driver never sees it")
        }
        fail(taskIndex: taskIndex, status: kSCSITaskStatus_DeliveryFailure)
        return false
    }

    /// The number of segments of a task's memory, as the device sees it.
    func segmentCount(of task: UnsafePointer<SCSITask>) -> UInt64 {
        guard task.pointee.requestedTransferCount > 0, let buffer = task.pointee.buffer else { return 0 }
        return options.segmentCount(
            address: UInt64(UInt(bitPattern: buffer)), byteCount: task.pointee.requestedTransferCount)
    }

    // MARK: Calls from the driver, inside its queues

    /// Gives queued slots to the driver, and traces them. Called inside the driver's queue.
    package func takeSubmissions(
        _ indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, domain: SequenceDomain
    ) -> Int {
        let count = pool.takeQueued(into: indices, limit: limit, route: route, domain: domain)
        if let trace {
            for index in 0..<count {
                let slot = indices[index]
                trace.submitted(
                    slots.commands + Int(slot), slot: slot, route: route, isKext: host.hosted.mode == .kext,
                    segmentCount: segmentCount(of: tasks + Int(pool.taskIndex(of: slot))))
            }
        }
        return count
    }

    /// Ends a task whose UserProcessParallelTask returned a response at once, which is a fault.
    package func submissionRefused(slot: UInt16, response: UInt32) {
        log.report(
            .immediateResponse,
            "UserProcessParallelTask returned the response \(response) for task \(taskIDs[Int(slot)])")
        records[Int(slot)].isEndedByKernel = true
        slots.responses[Int(slot)] = SCSIUserParallelResponse()
        slots.responses[Int(slot)].version = kScsiUserParallelTaskResponseCurrentVersion1
        slots.responses[Int(slot)].fTargetID = slots.commands[Int(slot)].fTargetID
        slots.responses[Int(slot)].fControllerTaskIdentifier = taskIDs[Int(slot)]
        slots.responses[Int(slot)].fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        slots.responses[Int(slot)].fCompletionStatus = kSCSITaskStatus_No_Status
        _ = withUnsafePointer(to: slot) { pool.complete($0, count: 1, route: .legacy) }
    }

    /// BundledParallelTaskCompletion: takes slots back, whose responses are in place.
    package func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int) {
        if deviceWorks(on: indices, count: count) { return completeThoseThatDeviceLeft(indices, count: count) }
        if Detectors.areEnabled { findOvertakenWrites(indices, count: count) }
        let completion = pool.complete(indices, count: count, route: .bundled)
        if completion.refused != nil { report(completion, route: .bundled) }
    }

    /// ParallelTaskCompletion: takes a slot back with its response. A nil `slot` is found by the response's task ID.
    package func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: UInt16?) {
        guard let slot = slot ?? self.slot(ofTaskID: response.pointee.fControllerTaskIdentifier) else {
            return log.report(
                .responseNamesAnotherTask,
                "task \(response.pointee.fControllerTaskIdentifier) was completed, which does not exist")
        }
        if withUnsafePointer(to: slot, { deviceWorks(on: $0, count: 1) }) { return }
        if Detectors.areEnabled { withUnsafePointer(to: slot) { findOvertakenWrites($0, count: 1) } }
        guard pool.isWithDriver(slot) else {
            var completion = TaskSlots.Completion()
            withUnsafePointer(to: slot) { completion = pool.complete($0, count: 1, route: .legacy) }
            if completion.refused != nil { report(completion, route: .legacy) }
            return
        }
        slots.responses[Int(slot)] = response.pointee
        let completion = withUnsafePointer(to: slot) { pool.complete($0, count: 1, route: .legacy) }
        if completion.refused != nil { report(completion, route: .legacy) }
    }

    /// A slot's command, in the memory that is shared with the driver.
    package func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask> {
        UnsafePointer(slots.commands + Int(slot))
    }

    func slot(ofTaskID id: UInt64) -> UInt16? {
        let guess = Int(truncatingIfNeeded: id &- 1)
        if guess >= 0, guess < taskIDs.count, taskIDs[guess] == id { return UInt16(guess) }
        return taskIDs.firstIndex(of: id).map { UInt16($0) }
    }

    // MARK: Completions, outside of every queue

    /// Reads the responses of returned slots, gives the slots to waiting tasks, and hands the finished tasks up.
    /// - Returns: whether there were any.
    func deliverCompletions(lane: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { ended in
            let hasLeft = pool.hasLingeringToTake && finishLingering(ended.baseAddress!, lane: lane)
            let count = pool.takeCompleted(into: ended.baseAddress!, limit: pool.count)
            if count == 0 { return hasLeft }
            let batch = UnsafeBufferPointer(rebasing: ended[..<count])
            for slot in batch { readResponse(slot) }
            finish(batch, lane: lane)
            return true
        }
    }

    /// Ends lingering tasks whose memory the device has left.
    /// - Returns: whether there were any.
    private func finishLingering(_ slots: UnsafeMutablePointer<UInt16>, lane: Int) -> Bool {
        let count = pool.takeLingering(into: slots)
        return count > 0 && finish(UnsafeBufferPointer(start: slots, count: count), lane: lane)
    }

    private func readResponse(_ slot: UInt16) {
        let response = slots.responses + Int(slot)
        let taskIndex = pool.taskIndex(of: slot)
        defer { response.pointee.version = 0 }
        if taskIndex == TaskSlots.noTask { return }
        if let trace {
            trace.completed(response, slot: slot, route: pool.route(of: slot), isKext: host.hosted.mode == .kext)
        }
        guard isAnswer(response, to: slot, taskIndex: taskIndex) else {
            return fail(taskIndex: taskIndex, status: kSCSITaskStatus_DeliveryFailure)
        }
        let task = tasks + Int(taskIndex)
        task.pointee.isAnsweredByDriver = !records[Int(slot)].isEndedByKernel
        if !hasWorked.load(ordering: .relaxed) && !records[Int(slot)].isEndedByKernel {
            hasWorked.store(true, ordering: .relaxed)
        }
        task.pointee.serviceResponse = UInt8(truncatingIfNeeded: response.pointee.fServiceResponse)
        task.pointee.taskStatus = UInt8(truncatingIfNeeded: response.pointee.fCompletionStatus)
        task.pointee.realizedTransferCount = min(response.pointee.fBytesTransferred, movedByteCountMax(slot, task))
        task.pointee.senseByteCount = min(response.pointee.fSenseLength, 32)
        if response.pointee.fSenseLength > 0 {
            withUnsafeBytes(of: &response.pointee.fSenseBuffer) { sense in
                for index in 0..<Int(task.pointee.senseByteCount) { task.pointee.sense[index] = sense[index] }
            }
        }
        if Detectors.areEnabled { judge(response, of: slot, task) }
    }

    /// The upper limit of an answer's byte count. For a read it is the number of bytes that the device has filled, so
    /// that old content of the memory is never taken for data. A driver that fills the memory itself got it zeroed.
    private func movedByteCountMax(_ slot: UInt16, _ task: UnsafePointer<SCSITask>) -> UInt64 {
        let requested = task.pointee.requestedTransferCount
        guard task.pointee.direction == .targetToInitiator, card.countsFilledBytes,
            !records[Int(slot)].dataBufferWasTaken
        else { return requested }
        let filled = card.dart.filledByteCount(window: Int(slot)) &- records[Int(slot)].filledByteCount
        return min(requested, filled & DART.filledByteCountMax)
    }

    /// Whether a response is complete and belongs to its slot. Reports why not otherwise.
    private func isAnswer(
        _ response: UnsafePointer<SCSIUserParallelResponse>, to slot: UInt16, taskIndex: TaskIndex
    ) -> Bool {
        guard response.pointee.version == kScsiUserParallelTaskResponseCurrentVersion1 else {
            log.report(
                .responseVersion,
                "slot \(slot) was passed back with a response of version \(response.pointee.version); the version must "
                    + "be 1. The kernel would drop it")
            return false
        }
        guard response.pointee.fControllerTaskIdentifier == taskIDs[Int(slot)],
            response.pointee.fTargetID == UInt64(tasks[Int(taskIndex)].targetID)
        else {
            log.report(
                .responseNamesAnotherTask,
                "the response in slot \(slot) names task \(response.pointee.fControllerTaskIdentifier) of target "
                    + "\(response.pointee.fTargetID); the slot holds task \(taskIDs[Int(slot)]) of target "
                    + "\(tasks[Int(taskIndex)].targetID)")
            return false
        }
        return true
    }

    /// Sets the outcome of a task that did not reach the device, or did not come back.
    /// - Parameter status: a SCSITaskStatus.
    func fail(taskIndex: TaskIndex, status: UInt32) {
        let task = tasks + Int(taskIndex)
        task.pointee.isAnsweredByDriver = false
        task.pointee.serviceResponse = UInt8(kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE)
        task.pointee.taskStatus = UInt8(status)
        task.pointee.realizedTransferCount = 0
        task.pointee.senseByteCount = 0
    }

    /// Ends the tasks in these slots: takes their memory from the device, gives the slots to waiting tasks, and hands
    /// the tasks up. A task lingers while the device works on its memory, since the memory's owner may reuse it at
    /// once.
    /// - Returns: whether any task has ended.
    @discardableResult
    func finish(_ ended: UnsafeBufferPointer<UInt16>, lane: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 2 * ended.count) { slots in
            var left = 0
            var held = 0
            for slot in ended {
                if card.dart.unmap(window: Int(slot)) {
                    slots[left] = slot
                    left += 1
                } else {
                    slots[ended.count + held] = slot
                    held += 1
                }
            }
            if held > 0 { pool.linger(UnsafeBufferPointer(rebasing: slots[ended.count..<ended.count + held])) }
            if left > 0 { release(UnsafeBufferPointer(rebasing: slots[..<left]), lane: lane) }
            return left > 0
        }
    }

    private func release(_ slots: UnsafeBufferPointer<UInt16>, lane: Int) {
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: slots.count) { taskIndices in
            var count = 0
            for slot in slots {
                let taskIndex = pool.taskIndex(of: slot)
                if taskIndex == TaskSlots.noTask { continue }
                taskIndices[count] = taskIndex
                count += 1
            }
            withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { claimed in
                let count = pool.release(slots, into: claimed.baseAddress!)
                prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
            }
            deliver(UnsafeMutableBufferPointer(rebasing: taskIndices[..<count]), lane: lane)
        }
    }

    /// Hands finished tasks to the owners of their logical units, with one call for each unit.
    func deliver(_ taskIndices: UnsafeMutableBufferPointer<TaskIndex>, lane: Int) {
        var start = 0
        while start < taskIndices.count {
            let address = tasks[Int(taskIndices[start])].address
            var end = start + 1
            for index in end..<taskIndices.count where tasks[Int(taskIndices[index])].address == address {
                taskIndices.swapAt(index, end)
                end += 1
            }
            owners[address]?.tasksCompleted(UnsafeBufferPointer(rebasing: taskIndices[start..<end]), lane: lane)
            start = end
        }
    }
}
