import DriverHost
import HardwareBus
import SCSI
import SCSIControllerDriverKit

/// Notes on a slot's task from the time it is sent, by which its answer and the driver are judged.
struct SlotRecord: BitwiseCopyable {
    /// The pin count of the slot's DART window at that time. The same count at the end means that the device saw
    /// nothing.
    var pinCount: UInt16 = 0
    /// The window's count of filled bytes at that time.
    var filledByteCount: UInt64 = 0
    /// The driver took the data itself, with UserGetDataBuffer.
    var dataBufferWasTaken = false
    /// The kernel half wrote the response.
    var isEndedByKernel = false
    /// The task was reported as overdue.
    var isNamedOverdue = false
    /// A task of the slot has been more than one command for the device. Kept for ever, since completing such a task
    /// too early may harm the slot's next task, or the one after.
    var hasBeenSplit = false
}

/// The slots: their memory, which the driver sees, the driver's names for them, the notes on their tasks, and the
/// owner of each (`pool`).
///
/// Threads: any. A slot's memory and record belong to its owner.
final class SlotTable: Sendable {
    let count: Int
    let pool: TaskSlots
    private let memory: SharedSlots
    private let dart: DART
    // SAFETY: the pointers never change. The memory belongs to the slot's owner; `taskIDs` is written before the driver
    // gets the first task.
    nonisolated(unsafe) let commands: UnsafeMutablePointer<SCSIUserParallelTask>
    nonisolated(unsafe) let responses: UnsafeMutablePointer<SCSIUserParallelResponse>
    nonisolated(unsafe) let records: UnsafeMutablePointer<SlotRecord>
    // SAFETY: see above.
    private nonisolated(unsafe) let taskIDs: UnsafeMutablePointer<UInt64>

    /// - Parameters:
    ///   - memory: one command slot and one response slot for each slot.
    ///   - taskCount: the number of tasks that may wait for a slot at most.
    ///   - dart: has a window for each slot.
    init(memory: SharedSlots, taskCount: Int, dart: DART) {
        self.memory = memory
        self.dart = dart
        count = memory.taskCount
        pool = TaskSlots(count: count, taskCount: taskCount)
        commands = memory.commands
        responses = memory.responses
        records = .allocate(capacity: count)
        records.initialize(repeating: SlotRecord(), count: count)
        taskIDs = .allocate(capacity: count)
        taskIDs.initialize(repeating: 0, count: count)
    }

    deinit {
        records.deallocate()
        taskIDs.deallocate()
    }

    // MARK: The driver's names

    /// Takes the driver's ID for the task of each slot.
    func assign(taskIDs ids: [UInt64]) {
        precondition(ids.count == count, "the driver has named \(ids.count) tasks, and there are \(count) slots")
        for (slot, id) in ids.enumerated() { taskIDs[slot] = id }
    }

    func taskID(of slot: UInt16) -> UInt64 { taskIDs[Int(slot)] }

    func slot(ofTaskID id: UInt64) -> UInt16? {
        let guess = Int(truncatingIfNeeded: id &- 1)
        if guess >= 0, guess < count, taskIDs[guess] == id { return UInt16(guess) }
        return (0..<count).first { taskIDs[$0] == id }.map { UInt16($0) }
    }

    // MARK: The device

    /// Whether the device works on a slot's memory.
    func isInDevice(_ slot: UInt16) -> Bool { dart.isPinned(window: Int(slot)) }

    /// The number of commands for a slot's task that the device has seen.
    func commandCount(of slot: UInt16) -> UInt16 { dart.pinCount(window: Int(slot)) &- records[Int(slot)].pinCount }

    /// The number of bytes of a slot's memory that the device has filled.
    func filledByteCount(of slot: UInt16) -> UInt64 {
        (dart.filledByteCount(window: Int(slot)) &- records[Int(slot)].filledByteCount) & DART.filledByteCountMax
    }

    /// Begins the notes on a slot's next task.
    func beginRecord(of slot: UInt16) {
        records[Int(slot)] = SlotRecord(
            pinCount: dart.pinCount(window: Int(slot)), filledByteCount: dart.filledByteCount(window: Int(slot)),
            hasBeenSplit: records[Int(slot)].hasBeenSplit)
    }

    // MARK: The kernel half in place of the driver

    /// Passes a slot back in place of the driver.
    /// - Parameters:
    ///   - status: a SCSITaskStatus.
    ///   - route: the way by which the driver would have to do so.
    func end(_ slot: UInt16, status: UInt32, route: TaskRoute) {
        records[Int(slot)].isEndedByKernel = true
        let response = responses + Int(slot)
        response.pointee = SCSIUserParallelResponse()
        response.pointee.version = kScsiUserParallelTaskResponseCurrentVersion1
        response.pointee.fTargetID = commands[Int(slot)].fTargetID
        response.pointee.fControllerTaskIdentifier = taskIDs[Int(slot)]
        response.pointee.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        response.pointee.fCompletionStatus = status
        _ = withUnsafePointer(to: slot) { pool.complete($0, count: 1, route: route) }
    }

    // MARK: Words

    /// Whether a slot's task moves data to the device.
    func isWrite(_ slot: UInt16) -> Bool {
        commands[Int(slot)].fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget
    }

    /// The blocks of a slot's READ or WRITE; nil for another command.
    func range(of slot: UInt16) -> Range<UInt64>? {
        let cdb = self.cdb(of: slot)
        return cdb.operationCode.isRead || cdb.operationCode.isWrite ? cdb.blockRange.blocks : nil
    }

    func cdb(of slot: UInt16) -> CommandDescriptorBlock {
        let command = commands + Int(slot)
        return CommandDescriptorBlock(bytes: command.pointee.cdb, byteCount: command.pointee.fCommandSize)
    }

    /// The logical unit that a slot's command is for.
    func address(of slot: UInt16) -> UnitAddress {
        let command = commands + Int(slot)
        return UnitAddress(
            targetID: UInt8(truncatingIfNeeded: command.pointee.fTargetID),
            logicalUnit: command.pointee.fLogicalUnitBytes.1)
    }

    /// "WRITE(10) of 8 blocks at LBA 24 (task 3, target 0)".
    func describe(_ slot: UInt16) -> String {
        let blocks = range(of: slot).map { " of \($0.count) blocks at LBA \($0.lowerBound)" } ?? ""
        return "\(cdb(of: slot).name)\(blocks) (task \(taskIDs[Int(slot)]), \(address(of: slot)))"
    }

    /// The tasks that the driver still has of these, in words.
    /// - Parameter prefix: what comes before the words of each.
    func describe(
        _ tasks: some Sequence<TaskSlots.Sent>, prefix: (UInt16) -> String = { _ in "" }
    ) -> [String] {
        tasks.compactMap { task in pool.whileWithDriver(task) { prefix(task.slot) + describe(task.slot) } }
    }
}
