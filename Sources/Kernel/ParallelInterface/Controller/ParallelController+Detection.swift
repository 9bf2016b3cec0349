import Diagnostics
import DriverHost
import Glibc
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

/// Detectors of driver faults. They know nothing of the driver, and compare its answers with the commands that its
/// device saw.
extension ParallelController {
    /// Reports a slot's response that was written after it had been read.
    func checkResponse(_ slot: UInt16) {
        let response = slots.responses + Int(slot)
        if response.pointee.version != 0 {
            log.report(
                .slotMisuse,
                "response slot \(slot) was written while the framework owned it, after it was passed back")
            response.pointee.version = 0
        }
    }

    // MARK: Passing back

    /// Whether the device works on the memory of any of these slots. Reports the first such slot.
    func deviceWorks(on indices: UnsafePointer<UInt16>, count: Int) -> Bool {
        for index in 0..<count where Int(indices[index]) < pool.count {
            if card.dart.isPinned(window: Int(indices[index])), pool.isWithDriver(indices[index]) {
                log.report(
                    .completedWhileDeviceWorks,
                    "slot \(indices[index]) (\(describe(indices[index]))) was completed while a command for its memory "
                        + "was still active in the device")
                return true
            }
        }
        return false
    }

    /// Takes back the slots of a call except those that the device works on.
    func completeThoseThatDeviceLeft(_ indices: UnsafePointer<UInt16>, count: Int) {
        for index in 0..<count where !deviceWorks(on: indices + index, count: 1) {
            let completion = pool.complete(indices + index, count: 1, route: .bundled)
            if completion.refused != nil { report(completion, route: .bundled) }
        }
    }

    /// Reports the first refused slot of a call that passed slots back.
    func report(_ completion: TaskSlots.Completion, route: TaskRoute) {
        guard let (slot, state, owned) = completion.refused else { return }
        guard let state else {
            return log.report(.slotMisuse, "slot \(slot) was passed back; there are \(pool.count) slots")
        }
        let isOwned = state == .withDriver || state == .abandoned
        switch (isOwned, owned, route) {
        case (true, .legacy, _):
            log.report(
                .legacyTaskCompletedAsBundled,
                "task \(taskIDs[Int(slot)]) arrived by UserProcessParallelTask and was passed back as slot \(slot)")
        case (true, .bundled, _):
            log.report(
                .bundledActionCompletedAsLegacy,
                "task \(taskIDs[Int(slot)]) arrived bundled in slot \(slot) and was completed with "
                    + "ParallelTaskCompletion")
        default:
            // A driver that completes a task with the first of its commands completes it again with the others.
            if isSplit(slot) { return reportCompletedTooEarly(slot, "was passed back again") }
            let text = state == .completed ? "had been passed back already" : "belongs to the framework"
            log.report(.slotMisuse, "slot \(slot) was completed; it \(text)")
        }
    }

    /// The number of commands for a slot's task that the device has seen.
    private func commandCount(of slot: UInt16) -> UInt16 {
        card.dart.pinCount(window: Int(slot)) &- records[Int(slot)].pinCount
    }

    private func isSplit(_ slot: UInt16) -> Bool {
        card.pinsCommands && (records[Int(slot)].hasBeenSplit || commandCount(of: slot) > 1)
    }

    private func reportCompletedTooEarly(_ slot: UInt16, _ what: String) {
        log.report(
            .completedWhileDeviceWorks,
            "slot \(slot) \(what): its task was several commands for the device, and was completed before the last of "
                + "them had ended")
    }

    // MARK: Responses

    /// Compares a response with the commands that the device saw for the task, and reports contradictions.
    func judge(
        _ response: UnsafePointer<SCSIUserParallelResponse>, of slot: UInt16, _ task: UnsafePointer<SCSITask>
    ) {
        switch task.pointee.status {
        case .good:
            if response.pointee.fBytesTransferred != task.pointee.requestedTransferCount {
                judgeTransferCount(response, slot, task)
            }
            if card.pinsCommands {
                let count = commandCount(of: slot)
                if count == 0 { reportUnseen(slot) }
                if count > 1 { records[Int(slot)].hasBeenSplit = true }
            }
        case .checkCondition: judgeSense(response, slot)
        default: break
        }
    }

    private func judgeTransferCount(
        _ response: UnsafePointer<SCSIUserParallelResponse>, _ slot: UInt16, _ task: UnsafePointer<SCSITask>
    ) {
        let isTooMuch = response.pointee.fBytesTransferred > task.pointee.requestedTransferCount
        // Other commands may answer with fewer bytes than they were offered.
        guard isTooMuch || range(of: slot) != nil else { return }
        log.report(
            .wrongTransferCount,
            "\(describe(slot)) ended with GOOD and \(response.pointee.fBytesTransferred) of "
                + "\(task.pointee.requestedTransferCount) bytes")
    }

    private func judgeSense(_ response: UnsafePointer<SCSIUserParallelResponse>, _ slot: UInt16) {
        if response.pointee.fSenseLength == 0 && properties.performsAutoSense {
            log.report(
                .badSenseData,
                "\(describe(slot)) ended with CHECK CONDITION and no sense data, while UserDoesHBAPerformAutoSense is true"
            )
        } else if response.pointee.fSenseLength > 252 {
            log.report(
                .badSenseData, "\(describe(slot)) ended with \(response.pointee.fSenseLength) bytes of sense data")
        }
    }

    /// Reports a task that ended with GOOD although the device never got its command.
    private func reportUnseen(_ slot: UInt16) {
        guard !records[Int(slot)].dataBufferWasTaken else { return }
        let opcode = cdb(of: slot).operationCode
        let isFlush = opcode == .synchronizeCache10 || opcode == .synchronizeCache16
        // A driver may know a device's type and size. Only the device knows the content of the medium.
        guard isFlush || opcode.isRead || opcode.isWrite || opcode == .unmap || opcode == .writeSame16 else { return }
        if records[Int(slot)].hasBeenSplit {
            return reportCompletedTooEarly(slot, "was passed back before the device had seen its task")
        }
        if isFlush {
            let address = address(of: slot)
            let held = card.dirtyByteCount(target: UInt16(address.targetID), logicalUnit: address.logicalUnit)
            log.report(
                .flushNotHonoured,
                "\(describe(slot)) ended with GOOD, and the device has not seen it; it holds \(held) bytes in its cache"
            )
        } else {
            log.report(.writeNotExecuted, "\(describe(slot)) ended with GOOD, and the device has not seen it")
        }
    }

    /// Reports writes that end while an older write to the same blocks still waits in the driver.
    func findOvertakenWrites(_ indices: UnsafePointer<UInt16>, count: Int) {
        guard card.pinsCommands,
            (0..<count).contains(where: { Int(indices[$0]) < pool.count && isWrite(indices[$0]) })
        else { return }
        pool.forEachWithDriver { held in
            // Writes that the device has are in the right order. Nearly always that is all of them.
            guard card.dart.pinCount(window: Int(held)) == records[Int(held)].pinCount, isWrite(held),
                let range = range(of: held)
            else { return }
            for index in 0..<count {
                let slot = indices[index]
                guard Int(slot) < pool.count, slot != held, pool.slots[Int(slot)].state == .withDriver,
                    isWrite(slot), pool.isEarlier(held, than: slot),
                    address(of: held) == address(of: slot), let other = self.range(of: slot), other.overlaps(range)
                else { continue }
                log.report(
                    .overlappingWritesReordered,
                    "\(describe(slot)) ended while the earlier \(describe(held)) to the same blocks has not been begun")
            }
        }
    }

    private func isWrite(_ slot: UInt16) -> Bool {
        slots.commands[Int(slot)].fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget
    }

    // MARK: The device

    /// Reports an access of the device to a bus address that is not mapped for it.
    func reportDARTFault(_ address: DART.BusAddress, byteCount: Int, deviceWrites: Bool) {
        let text =
            "the device tried to \(deviceWrites ? "write" : "read") \(byteCount) bytes at bus address "
            + "0x\(String(address, radix: 16))"
        guard let window = card.dart.window(of: address), window < pool.count else {
            return log.report(.dartFault, "\(text), which no task has")
        }
        if records[window].dataBufferWasTaken {
            return log.report(
                .dataBufferOutsideTask, "\(text), of task \(taskIDs[window]) whose data went to UserGetDataBuffer")
        }
        let command = slots.commands[window]
        log.report(
            .dartFault,
            "\(text); task \(taskIDs[window]) has \(command.fRequestedTransferCount) bytes at "
                + "0x\(String(command.fBufferIOVMAddr, radix: 16))")
    }

    /// UserGetDataBuffer: takes the task's memory from the device and lends it to the driver.
    package func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor? {
        guard areTasksMapped.load(ordering: .acquiring), let slot = slot(ofTaskID: taskID), pool.isWithDriver(slot),
            slots.commands[Int(slot)].fTargetID == targetID, let buffer = tasks[Int(pool.taskIndex(of: slot))].buffer
        else { return nil }
        let task = tasks[Int(pool.taskIndex(of: slot))]
        if !records[Int(slot)].dataBufferWasTaken && task.direction == .targetToInitiator {
            // The driver's fill is not counted, so bytes that it leaves out must not show old content.
            memset(buffer, 0, Int(task.requestedTransferCount))
        }
        records[Int(slot)].dataBufferWasTaken = true
        card.dart.unmap(window: Int(slot))
        let descriptor = IOBufferMemoryDescriptor(
            borrowing: UnsafeMutableRawBufferPointer(
                start: buffer, count: Int(slots.commands[Int(slot)].fRequestedTransferCount)))
        // It is not documented whether the caller owns a reference. With this one it may release it, but need not.
        descriptor.retain()
        return descriptor
    }

    // MARK: Words

    /// The blocks of a slot's READ or WRITE; nil for another command.
    func range(of slot: UInt16) -> Range<UInt64>? {
        let cdb = self.cdb(of: slot)
        return cdb.operationCode.isRead || cdb.operationCode.isWrite ? cdb.blockRange.blocks : nil
    }

    private func cdb(of slot: UInt16) -> CommandDescriptorBlock {
        let command = slots.commands + Int(slot)
        return CommandDescriptorBlock(bytes: command.pointee.cdb, byteCount: command.pointee.fCommandSize)
    }

    /// The logical unit that a slot's command is for.
    func address(of slot: UInt16) -> UnitAddress {
        let command = slots.commands + Int(slot)
        return UnitAddress(
            targetID: UInt8(truncatingIfNeeded: command.pointee.fTargetID),
            logicalUnit: command.pointee.fLogicalUnitBytes.1)
    }

    /// "WRITE(10) of 8 blocks at LBA 24 (task 3, target 0)".
    func describe(_ slot: UInt16) -> String {
        let blocks = range(of: slot).map { " of \($0.count) blocks at LBA \($0.lowerBound)" } ?? ""
        return "\(cdb(of: slot).name)\(blocks) (task \(taskIDs[Int(slot)]), \(address(of: slot)))"
    }
}
