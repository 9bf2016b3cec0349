import DriverHost
import HardwareBus
import SCSI
import SCSIControllerDriverKit
import Synchronization

/// Notes on a slot's task from the time it is sent, by which its answer and the driver are judged.
struct SlotRecord: BitwiseCopyable {
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
    // SAFETY: the pointer never changes, and the elements are atomics.
    /// The pin count of each slot's DART window when its task was filled in. The same count at the end means that the
    /// device saw nothing. A detector looks at the counts of slots that may be passed back meanwhile.
    private nonisolated(unsafe) let pinCounts: UnsafeMutablePointer<Atomic<UInt16>>

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
        pinCounts = .allocate(capacity: count)
        for slot in 0..<count { (pinCounts + slot).initialize(to: Atomic(0)) }
    }

    deinit {
        records.deallocate()
        taskIDs.deallocate()
        pinCounts.deinitialize(count: count)
        pinCounts.deallocate()
    }

    // MARK: The driver's names

    /// Takes the driver's ID for the task of each slot.
    func assign(taskIDs ids: [UInt64]) {
        assert(!ids.contains(0), "a task has the ID 0, which is that of no task")
        precondition(ids.count == count, "the driver has named \(ids.count) tasks, and there are \(count) slots")
        for (slot, id) in ids.enumerated() { taskIDs[slot] = id }
    }

    func taskID(of slot: SlotIndex) -> UInt64 { taskIDs[slot.number] }

    func slot(ofTaskID id: UInt64) -> SlotIndex? {
        let guess = Int(truncatingIfNeeded: id &- 1)
        if guess >= 0, guess < count, taskIDs[guess] == id { return SlotIndex(rawValue: UInt16(guess)) }
        return pool.all.first { taskIDs[$0.number] == id }
    }

    // MARK: The device

    /// Whether the device works on a slot's memory.
    func isInDevice(_ slot: SlotIndex) -> Bool { dart.isPinned(window: slot.number) }

    /// The number of commands for a slot's task that the device has seen.
    func commandCount(of slot: SlotIndex) -> UInt16 {
        dart.pinCount(window: slot.number) &- pinCounts[slot.number].load(ordering: .relaxed)
    }

    /// The number of bytes of a slot's memory that the device has filled.
    func filledByteCount(of slot: SlotIndex) -> UInt64 {
        (dart.filledByteCount(window: slot.number) &- records[slot.number].filledByteCount) & DART.filledByteCountMax
    }

    /// Begins the notes on a slot's next task.
    func beginRecord(of slot: SlotIndex) {
        assert(pool.word(of: slot).state == .claimed, "slot \(slot) gets a new task, and nobody has claimed it")
        assert(!isInDevice(slot), "slot \(slot) gets a new task, and the device works on the last one's memory")
        pinCounts[slot.number].store(dart.pinCount(window: slot.number), ordering: .relaxed)
        records[slot.number] = SlotRecord(
            filledByteCount: dart.filledByteCount(window: slot.number), hasBeenSplit: records[slot.number].hasBeenSplit)
    }

    // MARK: The kernel half in place of the driver

    /// Passes a slot back in place of the driver.
    /// - Parameters:
    ///   - status: a SCSITaskStatus.
    ///   - route: the way by which the driver would have to do so.
    func end(_ slot: SlotIndex, status: UInt32, route: TaskRoute) {
        assert(status != kSCSITaskStatus_GOOD, "the kernel half ends slot \(slot) with the status GOOD")
        records[slot.number].isEndedByKernel = true
        let response = responses + slot.number
        response.pointee = SCSIUserParallelResponse()
        response.pointee.version = kScsiUserParallelTaskResponseCurrentVersion1
        response.pointee.fTargetID = commands[slot.number].fTargetID
        response.pointee.fControllerTaskIdentifier = taskIDs[slot.number]
        response.pointee.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        response.pointee.fCompletionStatus = status
        _ = withUnsafePointer(to: slot.rawValue) { pool.complete($0, count: 1, route: route) }
    }

    // MARK: Words

    /// Whether a slot's task moves data to the device.
    func isWrite(_ slot: SlotIndex) -> Bool {
        commands[slot.number].fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget
    }

    /// The blocks of a slot's READ or WRITE; nil for another command.
    func range(of slot: SlotIndex) -> Range<UInt64>? {
        let cdb = self.cdb(of: slot)
        return cdb.operationCode.isRead || cdb.operationCode.isWrite ? cdb.blockRange.blocks : nil
    }

    func cdb(of slot: SlotIndex) -> CommandDescriptorBlock {
        let command = commands + slot.number
        return CommandDescriptorBlock(bytes: command.pointee.cdb, byteCount: command.pointee.fCommandSize)
    }

    /// The logical unit that a slot's command is for.
    func address(of slot: SlotIndex) -> UnitAddress {
        let command = commands + slot.number
        return UnitAddress(
            targetID: UInt8(truncatingIfNeeded: command.pointee.fTargetID),
            logicalUnit: command.pointee.fLogicalUnitBytes.1)
    }

    /// "WRITE(10) of 8 blocks at LBA 24 (task 3, target 0)".
    func describe(_ slot: SlotIndex) -> String {
        let blocks = range(of: slot).map { " of \($0.count) blocks at LBA \($0.lowerBound)" } ?? ""
        return "\(cdb(of: slot).name)\(blocks) (task \(taskIDs[slot.number]), \(address(of: slot)))"
    }

    /// The tasks that the driver still has of these, in words.
    /// - Parameter prefix: what comes before the words of each.
    func describe(
        _ tasks: some Sequence<SentTask>, prefix: (SlotIndex) -> String = { _ in "" }
    ) -> [String] {
        tasks.compactMap { task in pool.whileWithDriver(task) { prefix(task.slot) + describe(task.slot) } }
    }
}
