// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit

// Drivers with one mistake each in what they report or in how they move data: the reference driver with one change.
// Each comment names the fault (`DriverFault`).

/// B34, by never reporting.
final class ReportsNoConstraints: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func reportConstraints() -> kern_return_t { kIOReturnSuccess }
}

/// B34, by reporting too late.
final class ReportsConstraintsLate: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserStartController() -> kern_return_t {
        _ = reportConstraints()
        return super.UserStartController()
    }
}

/// B39.
final class DereferencesBusAddress: RAIDDriver, @unchecked Sendable {
    // SAFETY: `lastByte` belongs to the Default queue.
    override func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) {
        if task.pointee.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget,
            let memory = UnsafePointer<UInt8>(bitPattern: UInt(task.pointee.fBufferIOVMAddr))
        {
            lastByte = memory.pointee
        }
        super.post(task, tag: tag)
    }

    private var lastByte: UInt8 = 0
}

/// B40, by asking for the buffer in a bundled call.
final class AsksForBufferInBundledCall: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        let task = commands[Int(parallelRequestIndices[0])]
        var buffer: IOBufferMemoryDescriptor?
        _ = UserGetDataBuffer(task.fTargetID, task.fControllerTaskIdentifier, &buffer)
        super.UserProcessBundledParallelTasks(parallelRequestIndices, parallelRequestIndicesCount, completion)
    }
}

/// B40, by using the bus address after taking the buffer.
final class UsesAddressAfterBuffer: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        if parallelRequest.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget {
            var buffer: IOBufferMemoryDescriptor?
            _ = UserGetDataBuffer(parallelRequest.fTargetID, parallelRequest.fControllerTaskIdentifier, &buffer)
        }
        return super.UserProcessParallelTask(parallelRequest, &response, completion)
    }
}

/// B41: a write goes to the card in two commands, and is completed with the first.
final class SplitsAndCompletesEarly: RAIDDriver, @unchecked Sendable {
    // SAFETY: `hasSplit` belongs to InterruptQueue, which posts only while the client waits for the write.
    private static let slotCountMax: UInt32 = 4096
    private var hasSplit = false

    override func fill(
        _ response: UnsafeMutablePointer<SCSIUserParallelResponse>, for task: UnsafePointer<SCSIUserParallelTask>,
        from completion: UnsafePointer<RAIDCompletionDescriptor>
    ) {
        super.fill(response, for: task, from: completion)
        // A legacy task's action is gone after its first completion.
        guard task.pointee.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget, !hasSplit,
            bundledAction != nil, completion.pointee.tag < Self.slotCountMax
        else { return }
        hasSplit = true
        super.post(task, tag: completion.pointee.tag)
        ringDoorbell()
    }
}

/// B42: the first write of a bundle is held back until another write to the same blocks has ended.
final class ReordersWrites: RAIDDriver, @unchecked Sendable {
    // SAFETY: Default sets `held` before it rings the doorbell; InterruptQueue takes it after the card has answered.
    private var held: (task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32)?
    private var hasHeld = false

    override func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) {
        if blocks(task) != nil, !hasHeld, bundledAction != nil {
            hasHeld = true
            held = (task, tag)
        } else {
            super.post(task, tag: tag)
        }
    }

    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        let ended = (0..<Int(count)).map { blocks(commands + Int(indices[$0])) }
        super.complete(indices, count)
        if let held, let range = blocks(held.task), ended.contains(where: { $0?.overlaps(range) == true }) {
            self.held = nil
            super.post(held.task, tag: held.tag)
            ringDoorbell()
        }
    }
}

extension ReordersWrites {
    /// The blocks of a WRITE(10); nil for other commands.
    private func blocks(_ task: UnsafePointer<SCSIUserParallelTask>) -> Range<Int>? {
        let cdb = task.pointee.fCommandDescriptorBlock
        guard cdb.0 == 0x2A else { return nil }
        let first = Int(cdb.2) << 24 | Int(cdb.3) << 16 | Int(cdb.4) << 8 | Int(cdb.5)
        return first..<first + (Int(cdb.7) << 8 | Int(cdb.8))
    }
}

/// B43 and B44: commands with one operation code are answered with GOOD, without the card.
class AnswersWithoutCard: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    /// That operation code: SYNCHRONIZE CACHE(10).
    class var operationCode: UInt8 { 0x35 }

    override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        for index in 0..<Int(parallelRequestIndicesCount) {
            let task = commands + Int(parallelRequestIndices[index])
            guard task.pointee.fCommandDescriptorBlock.0 == Self.operationCode else {
                super.UserProcessBundledParallelTasks(parallelRequestIndices + index, 1, completion)
                continue
            }
            let response = responses + Int(parallelRequestIndices[index])
            response.pointee.version = kScsiUserParallelTaskResponseCurrentVersion1
            response.pointee.fTargetID = task.pointee.fTargetID
            response.pointee.fControllerTaskIdentifier = task.pointee.fControllerTaskIdentifier
            response.pointee.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE
            response.pointee.fCompletionStatus = kSCSITaskStatus_GOOD
            response.pointee.fBytesTransferred = task.pointee.fRequestedTransferCount
            response.pointee.fSenseLength = 0
            complete(parallelRequestIndices + index, 1)
        }
    }
}

/// B43.
// SAFETY: no state beyond that of `AnswersWithoutCard`.
final class IgnoresSynchronizeCache: AnswersWithoutCard, @unchecked Sendable {}

/// B44.
final class AcknowledgesWritesItself: AnswersWithoutCard, @unchecked Sendable {
    // SAFETY: no state beyond that of `AnswersWithoutCard`.
    override class var operationCode: UInt8 { 0x2A }
}

/// B48: reads fail with 02/3A/00: NOT READY, MEDIUM NOT PRESENT.
final class LosesMedium: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        guard task.fCommandDescriptorBlock.0 == 0x28 else { return }
        response.fail(senseByteCount: 18, key: 0x02, code: 0x3A, qualifier: 0x00)
    }
}

/// B49: the card gets twice the length.
final class ProgramsBeyondRange: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) {
        guard task.pointee.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget else {
            return super.post(task, tag: tag)
        }
        var longer = task.pointee
        longer.fRequestedTransferCount *= 2
        withUnsafePointer(to: longer) { super.post($0, tag: tag) }
    }
}
