import Diagnostics
import DriverHost
import HardwareBus
import SCSI
import SCSIControllerDriverKit

/// Detectors of driver faults. They know nothing of the driver, and compare its answers with the commands that its
/// device saw.
///
/// Threads: any.
final class DriverDetectors: Sendable {
    private let slots: SlotTable
    private let card: PCIFunction
    private let log: DiagnosisLog
    private let performsAutoSense: Bool
    private let media: MediaWatch
    private let options: KernelOptions

    init(slots: SlotTable, parts: KernelParts, performsAutoSense: Bool) {
        self.slots = slots
        card = parts.card
        log = parts.log
        media = parts.media
        options = parts.options
        self.performsAutoSense = performsAutoSense
    }

    /// Reports a slot's response that was written after it had been read.
    func checkResponse(_ slot: SlotIndex) {
        let response = slots.responses + slot.number
        if response.pointee.version != 0 {
            log.report(
                .slotMisuse,
                "response slot \(slot) was written while the framework owned it, after it was passed back")
            response.pointee.version = 0
        }
    }

    // MARK: Passing back

    /// Reports the slot of a call that passed slots back, since the device works on the slot's memory.
    func reportDeviceWorks(on slot: SlotIndex) {
        log.report(
            .completedWhileDeviceWorks,
            "slot \(slot) (\(slots.describe(slot))) was completed while a command for its memory "
                + "was still active in the device")
    }

    /// Reports the first refused slot of a call that passed slots back.
    func report(_ completion: TaskSlots.Completion, route: TaskRoute) {
        guard let (number, state, owned) = completion.refused else { return }
        guard let state, let slot = slots.pool.slot(numbered: number) else {
            return log.report(.slotMisuse, "slot \(number) was passed back; there are \(slots.count) slots")
        }
        switch (state.isOfDriver, owned, route) {
        case (true, .legacy, _):
            log.report(
                .legacyTaskCompletedAsBundled,
                "task \(slots.taskID(of: slot)) arrived by UserProcessParallelTask and was passed back as slot \(slot)")
        case (true, .bundled, _):
            log.report(
                .bundledActionCompletedAsLegacy,
                "task \(slots.taskID(of: slot)) arrived bundled in slot \(slot) and was completed with "
                    + "ParallelTaskCompletion")
        default:
            // A driver that completes a task with the first of its commands completes it again with the others.
            if isSplit(slot) { return reportCompletedTooEarly(slot, "was passed back again") }
            let text = state == .completed ? "had been passed back already" : "belongs to the framework"
            log.report(.slotMisuse, "slot \(slot) was completed; it \(text)")
        }
    }

    private func isSplit(_ slot: SlotIndex) -> Bool {
        card.pinsCommands && (slots.records[slot.number].hasBeenSplit || slots.commandCount(of: slot) > 1)
    }

    private func reportCompletedTooEarly(_ slot: SlotIndex, _ what: String) {
        log.report(
            .completedWhileDeviceWorks,
            "slot \(slot) \(what): its task was several commands for the device, and was completed before the last of "
                + "them had ended")
    }

    // MARK: Responses

    /// Compares a response with the commands that the device saw for the task, and reports contradictions.
    func judge(
        _ response: UnsafePointer<SCSIUserParallelResponse>, of slot: SlotIndex, _ task: UnsafePointer<SCSITask>
    ) {
        switch task.pointee.status {
        case .good:
            if response.pointee.fBytesTransferred != task.pointee.requestedTransferCount {
                judgeTransferCount(response, slot, task)
            }
            if card.pinsCommands {
                let count = slots.commandCount(of: slot)
                if count == 0 { reportUnseen(slot) }
                if count > 1 { slots.records[slot.number].hasBeenSplit = true }
            }
        case .checkCondition:
            judgeSense(response, slot)
            if let sense = SenseData(parsing: task.pointee.sense, byteCount: Int(task.pointee.senseByteCount)) {
                media.note(
                    sense, at: slots.address(of: slot), due: options.afterGrace, command: slots.describe(slot))
            }
        default: break
        }
    }

    private func judgeTransferCount(
        _ response: UnsafePointer<SCSIUserParallelResponse>, _ slot: SlotIndex, _ task: UnsafePointer<SCSITask>
    ) {
        let isTooMuch = response.pointee.fBytesTransferred > task.pointee.requestedTransferCount
        // Other commands may answer with fewer bytes than they were offered.
        guard isTooMuch || slots.range(of: slot) != nil else { return }
        log.report(
            .wrongTransferCount,
            "\(slots.describe(slot)) ended with GOOD and \(response.pointee.fBytesTransferred) of "
                + "\(task.pointee.requestedTransferCount) bytes")
    }

    private func judgeSense(_ response: UnsafePointer<SCSIUserParallelResponse>, _ slot: SlotIndex) {
        if response.pointee.fSenseLength == 0 && performsAutoSense {
            log.report(
                .badSenseData,
                "\(slots.describe(slot)) ended with CHECK CONDITION and no sense data, "
                    + "while UserDoesHBAPerformAutoSense is true")
        } else if response.pointee.fSenseLength > 252 {
            log.report(
                .badSenseData, "\(slots.describe(slot)) ended with \(response.pointee.fSenseLength) bytes of sense data"
            )
        }
    }

    /// Reports a task that ended with GOOD although the device never got its command.
    private func reportUnseen(_ slot: SlotIndex) {
        guard !slots.records[slot.number].dataBufferWasTaken else { return }
        let opcode = slots.cdb(of: slot).operationCode
        let isFlush = opcode == .synchronizeCache10 || opcode == .synchronizeCache16
        // A driver may know a device's type and size. Only the device knows the content of the medium.
        guard isFlush || opcode.isRead || opcode.isWrite || opcode == .unmap || opcode == .writeSame16 else { return }
        if slots.records[slot.number].hasBeenSplit {
            return reportCompletedTooEarly(slot, "was passed back before the device had seen its task")
        }
        if isFlush {
            let address = slots.address(of: slot)
            let held = card.dirtyByteCount(target: UInt16(address.targetID), logicalUnit: address.logicalUnit)
            log.report(
                .flushNotHonoured,
                "\(slots.describe(slot)) ended with GOOD, and the device has not seen it; it holds \(held) bytes in "
                    + "its cache")
        } else {
            log.report(.writeNotExecuted, "\(slots.describe(slot)) ended with GOOD, and the device has not seen it")
        }
    }

    /// Reports writes that end while an older write to the same blocks still waits in the driver.
    func findOvertakenWrites(_ indices: UnsafePointer<UInt16>, count: Int) {
        guard card.pinsCommands,
            (0..<count).contains(where: { slots.pool.slot(numbered: indices[$0]).map(slots.isWrite) ?? false })
        else { return }
        // Writes that the device has are in the right order. Nearly always that is all of them.
        let isUnseen = { [slots] in slots.commandCount(of: $0) == 0 }
        slots.pool.forEachWithDriver(where: isUnseen) { held in
            guard isUnseen(held), slots.isWrite(held), let range = slots.range(of: held) else { return }
            for index in 0..<count {
                guard let slot = slots.pool.slot(numbered: indices[index]), overtakes(slot, held, range) else {
                    continue
                }
                log.report(
                    .overlappingWritesReordered,
                    "\(slots.describe(slot)) ended while the earlier \(slots.describe(held)) to the same "
                        + "blocks has not been begun")
            }
        }
    }

    /// Whether a slot that is passed back holds a later write to the range of a write that the driver has.
    private func overtakes(_ slot: SlotIndex, _ held: SlotIndex, _ range: Range<UInt64>) -> Bool {
        guard slot != held, slots.pool.isWithDriver(slot),
            slots.isWrite(slot), slots.pool.isEarlier(held, than: slot),
            slots.address(of: held) == slots.address(of: slot), let other = slots.range(of: slot)
        else { return false }
        return other.overlaps(range)
    }

    // MARK: Tasks that do not come back

    /// Reports who is to blame for a task that has not come back.
    func reportOverdue(_ task: SentTask) {
        let diagnosis = slots.pool.whileWithDriver(task) { overdueDiagnosis(task.slot) }
        if let diagnosis, let diagnosis { log.report(diagnosis) }
    }

    private func overdueDiagnosis(_ slot: SlotIndex) -> Diagnosis? {
        // A device at work is slow. The driver is not to blame so far.
        if slots.isInDevice(slot) || slots.records[slot.number].isNamedOverdue { return nil }
        slots.records[slot.number].isNamedOverdue = true
        let wasSeen = slots.commandCount(of: slot) != 0
        let text = "\(slots.describe(slot)) in slot \(slot) was not completed in time"
        if card.pinsCommands && !wasSeen && slots.pool.route(of: slot) == .bundled {
            return Diagnosis(.bundledSlotDropped, "\(text), and the device has never seen it")
        }
        let device = !card.pinsCommands ? "" : wasSeen ? "; the device has done it" : "; the device has never seen it"
        return Diagnosis(.taskNeverCompleted, text + device)
    }

    // MARK: The device

    /// Reports an access of the device to a bus address that is not mapped for it.
    func reportDARTFault(_ address: DART.BusAddress, byteCount: Int, deviceWrites: Bool) {
        let text =
            "the device tried to \(deviceWrites ? "write" : "read") \(byteCount) bytes at bus address "
            + "0x\(String(address, radix: 16))"
        guard let window = card.dart.window(of: address), window < slots.count else {
            return log.report(.dartFault, "\(text), which no task has")
        }
        let slot = SlotIndex(rawValue: UInt16(window))
        let taskID = slots.taskID(of: slot)
        if slots.records[slot.number].dataBufferWasTaken {
            return log.report(
                .dataBufferOutsideTask, "\(text), of task \(taskID) whose data went to UserGetDataBuffer")
        }
        let command = slots.commands[slot.number]
        log.report(
            .dartFault,
            "\(text); task \(taskID) has \(command.fRequestedTransferCount) bytes at "
                + "0x\(String(command.fBufferIOVMAddr, radix: 16))")
    }
}
