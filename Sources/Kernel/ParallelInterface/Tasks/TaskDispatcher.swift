import Diagnostics
import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// The way of a task into a slot and to the driver, and back.
///
/// Threads: any. Calls from the driver come inside its queues, so they only take note; `deliverCompletions` does the
/// work that follows, outside of every queue.
final class TaskDispatcher: Sendable {
    let slots: SlotTable
    let tasks: TaskTable
    let detectors: DriverDetectors
    let pool: TaskSlots
    private let lanes: LaneTable
    private let targets: TargetTable
    private let state: DriverState
    let card: PCIFunction
    private let arena: DataArena
    private let options: KernelOptions
    private let maxTransferSize: UInt64
    private let isKext: Bool
    let log: DiagnosisLog
    private let trace: TaskTrace?
    /// The driver has answered a task since its start.
    let hasWorked = Atomic<Bool>(false)

    /// - Parameters:
    ///   - parts: what the whole kernel half shares.
    ///   - slots: the slots of the driver that runs.
    ///   - properties: what that driver has said of itself.
    init(parts: KernelParts, slots: SlotTable, properties: DriverProperties) {
        self.slots = slots
        pool = slots.pool
        tasks = parts.tasks
        lanes = parts.lanes
        targets = parts.targets
        state = parts.state
        card = parts.card
        arena = parts.arena
        options = parts.options
        maxTransferSize = properties.dma.maxTransferSize
        isKext = parts.host.hosted.mode == .kext
        log = parts.log
        trace = parts.trace
        detectors = DriverDetectors(
            slots: slots, parts: parts, performsAutoSense: properties.performsAutoSense)
    }

    // MARK: Down: from a task to the driver

    /// Puts tasks into slots, and queues them for the driver. Tasks that find no free slot wait.
    func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        for taskIndex in taskIndices {
            assert(tasks.has(taskIndex), "task \(taskIndex) is in no lane's part of the table")
        }
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: pool.count) { claimed in
            guard let count = pool.claim(for: taskIndices, into: claimed.baseAddress!) else {
                return refuse(taskIndices, lane: lane)
            }
            prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
        }
    }

    /// Fails tasks that come after the driver was stopped.
    private func refuse(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        guard !taskIndices.isEmpty else { return }
        assert(pool.isClosed.load(ordering: .relaxed), "tasks are refused, and the driver takes them")
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: taskIndices.count) { refused in
            _ = refused.initialize(from: taskIndices)
            tasks.end(
                UnsafeMutableBufferPointer(rebasing: refused[...]), status: kSCSITaskStatus_DeviceNotPresent, lane: lane
            )
        }
    }

    /// Fills slots that were claimed for tasks, maps their memory for the card, and queues them for the driver. A task
    /// that a gate refuses fails here, and the driver never sees it.
    private func prepare(_ claimed: UnsafeBufferPointer<SlotIndex>, lane: Int) {
        guard !claimed.isEmpty else { return }
        for slot in claimed { assert(pool.word(of: slot).state == .claimed, "slot \(slot) is filled, and not claimed") }
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: 2 * claimed.count) { buffer in
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
            assert(accepted + refused == claimed.count, "a claimed slot is neither sent nor given back")
            if accepted > 0 { enqueue(UnsafeBufferPointer(rebasing: buffer[..<accepted]), lane: lane) }
            if refused > 0 {
                finish(
                    UnsafeBufferPointer(rebasing: buffer[claimed.count..<claimed.count + refused]), lane: lane)
            }
        }
    }

    private func enqueue(_ filled: UnsafeBufferPointer<SlotIndex>, lane: Int) {
        let now = options.clock.milliseconds
        if pool.enqueue(filled, now: now, deadline: { deadline(ofTask: $0, now: now) }) {
            lanes[lane].pointee.mustSend = true
        } else {
            failUnsent(status: kSCSITaskStatus_DeviceNotPresent, lane: lane) { (pool.takeUnsent(into: $0), false) }
        }
    }

    /// The time by which a task has to be back, milliseconds of the clock; 0 for no limit.
    private func deadline(ofTask taskIndex: TaskIndex, now: UInt64) -> UInt64 {
        let task = tasks[taskIndex]
        // A task's 0 is "no limit".
        let own = task.pointee.timeoutMilliseconds == 0 ? .max : task.pointee.timeoutMilliseconds
        let timeout = min(own, options.taskTimeoutMilliseconds ?? .max)
        return timeout == .max ? 0 : now + UInt64(timeout)
    }

    /// Writes a slot's task into its command slot.
    /// - Returns: false if the task cannot be sent; then its outcome is set.
    private func fill(_ slot: SlotIndex) -> Bool {
        let taskIndex = pool.taskIndex(of: slot)
        let task = tasks[taskIndex]
        assert(task.pointee.hasValidCDB, "task \(taskIndex) has a command of \(task.pointee.cdbSize) bytes")
        assert(
            task.pointee.direction == .none || task.pointee.requestedTransferCount == 0 || task.pointee.buffer != nil,
            "task \(taskIndex) moves data, and has no memory")
        assert(
            task.pointee.direction != .none || task.pointee.requestedTransferCount == 0,
            "task \(taskIndex) has data that goes nowhere")
        guard passesGates(task, taskIndex: taskIndex) else { return false }
        assert(isInArena(task), "the memory of task \(taskIndex) is not the arena's")
        slots.beginRecord(of: slot)
        if Detectors.areEnabled { detectors.checkResponse(slot) }
        let command = slots.commands + slot.number
        command.pointee.version = kScsiUserParallelTaskCurrentVersion1
        command.pointee.fTargetID = UInt64(task.pointee.targetID)
        command.pointee.fControllerTaskIdentifier = slots.taskID(of: slot)
        command.pointee.fRequestedTransferCount = task.pointee.requestedTransferCount
        command.pointee.fTaskAttribute = 0
        command.pointee.fTaskTagIdentifier = UInt64(slot.rawValue) + 1
        command.pointee.fLogicalUnitBytes.1 = task.pointee.logicalUnit
        command.pointee.fCommandSize = task.pointee.cdbSize
        command.pointee.fTransferDirection = task.pointee.direction.rawValue
        command.pointee.fTimeoutInMilliSec = task.pointee.timeoutMilliseconds
        command.pointee.cdb = task.pointee.cdb
        // A task without data gets an empty range. The card can pin it, but touch no memory.
        let hasData = task.pointee.buffer != nil && task.pointee.direction != .none
        let address = card.dart.map(
            window: slot.number, memory: task.pointee.buffer ?? arena.base,
            byteCount: hasData ? Int(task.pointee.requestedTransferCount) : 0,
            deviceMayWrite: task.pointee.direction == .targetToInitiator)
        guard let address else { preconditionFailure("slot \(slot) was free, and its window is not") }
        command.pointee.fBufferIOVMAddr = address
        return true
    }

    /// Whether a task's memory is where its driver and the card may reach it.
    private func isInArena(_ task: UnsafePointer<SCSITask>) -> Bool {
        guard let buffer = task.pointee.buffer else { return true }
        let offset = buffer - arena.base
        return offset >= 0 && offset + Int(task.pointee.requestedTransferCount) <= arena.byteCount
    }

    /// Whether a task may be sent. If not, its outcome is set.
    private func passesGates(_ task: UnsafeMutablePointer<SCSITask>, taskIndex: TaskIndex) -> Bool {
        guard state.acceptsTasks.load(ordering: .relaxed), !targets.refusesTasks(task.pointee.targetID) else {
            tasks.fail(taskIndex, status: kSCSITaskStatus_DeviceNotPresent)
            return false
        }
        switch TaskGate.refusing(
            byteCount: task.pointee.requestedTransferCount, segmentCount: segmentCount(of: task),
            maxTransferSize: maxTransferSize, isKext: isKext)
        {
        case nil: return true
        case .maxTransferSize:
            log.report(
                .maxTransferSizeTooSmall,
                "a task of \(task.pointee.requestedTransferCount) bytes is within what the block layer may send and "
                    + "above maxTransferSize (\(maxTransferSize)): it fails, and the driver never sees it")
        case .singleSegment:
            log.report(
                .severalSegments,
                "a task of \(task.pointee.requestedTransferCount) bytes has \(segmentCount(of: task)) segments without "
                    + "a mapper: it fails, and the driver never sees it")
        }
        tasks.fail(taskIndex, status: kSCSITaskStatus_DeliveryFailure)
        return false
    }

    /// The number of segments of a task's memory, as the device sees it.
    private func segmentCount(of task: UnsafePointer<SCSITask>) -> UInt64 {
        guard task.pointee.requestedTransferCount > 0, let buffer = task.pointee.buffer else { return 0 }
        return options.segmentCount(
            address: UInt64(UInt(bitPattern: buffer)), byteCount: task.pointee.requestedTransferCount)
    }

    /// Gives queued slots to the driver, and traces them. Called inside the driver's queue.
    func takeSubmissions(
        _ indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, domain: SequenceDomain
    ) -> Int {
        let count = pool.takeQueued(into: indices, limit: limit, route: route, domain: domain)
        // Nothing of these slots can be asserted here: a driver that lies may have completed them already, by their
        // numbers.
        if let trace {
            for index in 0..<count {
                let slot = SlotIndex(rawValue: indices[index])
                trace.submitted(
                    slots.commands + slot.number, slot: slot, route: route, isKext: isKext,
                    segmentCount: segmentCount(of: tasks[pool.taskIndex(of: slot)]))
            }
        }
        return count
    }

    // MARK: Up: from the driver's answer to the task's owner

    /// Reads the responses of returned slots, gives the slots to waiting tasks, and hands the finished tasks up.
    /// Outside of every queue.
    /// - Returns: whether there were any.
    func deliverCompletions(lane: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: pool.count) { ended in
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
    private func finishLingering(_ slots: UnsafeMutablePointer<SlotIndex>, lane: Int) -> Bool {
        let count = pool.takeLingering(into: slots)
        return count > 0 && finish(UnsafeBufferPointer(start: slots, count: count), lane: lane)
    }

    private func readResponse(_ slot: SlotIndex) {
        let response = slots.responses + slot.number
        let taskIndex = pool.taskIndex(of: slot)
        defer { response.pointee.version = 0 }
        assert(pool.word(of: slot).isIn(.completed), "an answer is read that nobody has passed back")
        if taskIndex == TaskSlots.noTask { return }
        assert(tasks.has(taskIndex), "slot \(slot) came back for task \(taskIndex), which does not exist")
        if let trace { trace.completed(response, slot: slot, route: pool.route(of: slot), isKext: isKext) }
        guard isAnswer(response, to: slot, taskIndex: taskIndex) else {
            return tasks.fail(taskIndex, status: kSCSITaskStatus_DeliveryFailure)
        }
        let task = tasks[taskIndex]
        let isDrivers = !slots.records[slot.number].isEndedByKernel
        task.pointee.isAnsweredByDriver = isDrivers
        if isDrivers, !hasWorked.load(ordering: .relaxed) { hasWorked.store(true, ordering: .relaxed) }
        task.pointee.serviceResponse = UInt8(truncatingIfNeeded: response.pointee.fServiceResponse)
        task.pointee.taskStatus = UInt8(truncatingIfNeeded: response.pointee.fCompletionStatus)
        task.pointee.realizedTransferCount = min(response.pointee.fBytesTransferred, movedByteCountMax(slot, task))
        task.pointee.senseByteCount = min(response.pointee.fSenseLength, 32)
        if response.pointee.fSenseLength > 0 {
            withUnsafeBytes(of: &response.pointee.fSenseBuffer) { sense in
                for index in 0..<Int(task.pointee.senseByteCount) { task.pointee.sense[index] = sense[index] }
            }
        }
        assert(
            task.pointee.realizedTransferCount <= task.pointee.requestedTransferCount,
            "task \(taskIndex) moved more bytes than its memory has")
        assert(task.pointee.senseByteCount <= 32, "task \(taskIndex) has more sense data than its entry has room for")
        if Detectors.areEnabled { detectors.judge(response, of: slot, task) }
    }

    /// The upper limit of an answer's byte count. For a read it is the number of bytes that the device has filled, so
    /// that old content of the memory is never taken for data. A driver that fills the memory itself got it zeroed.
    private func movedByteCountMax(_ slot: SlotIndex, _ task: UnsafePointer<SCSITask>) -> UInt64 {
        let requested = task.pointee.requestedTransferCount
        guard task.pointee.direction == .targetToInitiator, card.countsFilledBytes,
            !slots.records[slot.number].dataBufferWasTaken
        else { return requested }
        return min(requested, slots.filledByteCount(of: slot))
    }

    /// Whether a response is complete and belongs to its slot. Reports why not otherwise.
    private func isAnswer(
        _ response: UnsafePointer<SCSIUserParallelResponse>, to slot: SlotIndex, taskIndex: TaskIndex
    ) -> Bool {
        guard response.pointee.version == kScsiUserParallelTaskResponseCurrentVersion1 else {
            log.report(
                .responseVersion,
                "slot \(slot) was passed back with a response of version \(response.pointee.version); the version must "
                    + "be 1. The kernel would drop it")
            return false
        }
        guard response.pointee.fControllerTaskIdentifier == slots.taskID(of: slot),
            response.pointee.fTargetID == UInt64(tasks[taskIndex].pointee.targetID)
        else {
            log.report(
                .responseNamesAnotherTask,
                "the response in slot \(slot) names task \(response.pointee.fControllerTaskIdentifier) of target "
                    + "\(response.pointee.fTargetID); the slot holds task \(slots.taskID(of: slot)) of target "
                    + "\(tasks[taskIndex].pointee.targetID)")
            return false
        }
        return true
    }

    /// Ends the tasks in these slots: takes their memory from the device, gives the slots to waiting tasks, and hands
    /// the tasks up. A task lingers while the device works on its memory, since the memory's owner may reuse it at
    /// once.
    /// - Returns: whether any task has ended.
    @discardableResult
    private func finish(_ ended: UnsafeBufferPointer<SlotIndex>, lane: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: 2 * ended.count) { slots in
            var left = 0
            var held = 0
            for slot in ended {
                assert(!pool.word(of: slot).state.isOfDriver, "slot \(slot) ends, and the driver has it")
                if card.dart.unmap(window: slot.number) {
                    slots[left] = slot
                    left += 1
                } else {
                    slots[ended.count + held] = slot
                    held += 1
                }
            }
            assert(left + held == ended.count, "a slot that ended is neither released nor lingers")
            if held > 0 { pool.linger(UnsafeBufferPointer(rebasing: slots[ended.count..<ended.count + held])) }
            if left > 0 { release(UnsafeBufferPointer(rebasing: slots[..<left]), lane: lane) }
            return left > 0
        }
    }

    private func release(_ slots: UnsafeBufferPointer<SlotIndex>, lane: Int) {
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: slots.count) { taskIndices in
            var count = 0
            for slot in slots {
                let taskIndex = pool.taskIndex(of: slot)
                assert(
                    card.dart.isFree(window: slot.number),
                    "slot \(slot) is released, and the device may reach its memory")
                if taskIndex == TaskSlots.noTask { continue }
                taskIndices[count] = taskIndex
                count += 1
            }
            withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: pool.count) { claimed in
                let count = pool.release(slots, into: claimed.baseAddress!)
                prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
            }
            tasks.deliver(UnsafeMutableBufferPointer(rebasing: taskIndices[..<count]), lane: lane)
        }
    }

    /// Fails the tasks in slots that wait to be sent.
    /// - Parameter take: takes the slots, and returns their number, and whether others still wait.
    func failUnsent(
        status: UInt32, lane: Int, _ take: (UnsafeMutablePointer<SlotIndex>) -> (count: Int, hasOthers: Bool)
    ) {
        withUnsafeTemporaryAllocation(of: SlotIndex.self, capacity: pool.count) { unsent in
            let taken = take(unsent.baseAddress!)
            if taken.hasOthers { lanes[lane].pointee.mustSend = true }
            end(unsent: UnsafeBufferPointer(rebasing: unsent[..<taken.count]), status: status, lane: lane)
        }
    }

    /// Fails the tasks in slots that the driver has not got.
    private func end(unsent: UnsafeBufferPointer<SlotIndex>, status: UInt32, lane: Int) {
        guard !unsent.isEmpty else { return }
        for slot in unsent {
            assert(pool.word(of: slot).isIn(.claimed), "slot \(slot) fails as unsent, and may have been sent")
            tasks.fail(pool.taskIndex(of: slot), status: status)
        }
        finish(unsent, lane: lane)
    }
}
