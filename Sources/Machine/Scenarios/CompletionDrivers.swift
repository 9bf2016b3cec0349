// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit

// Drivers with one mistake each in how they complete tasks: the reference driver with one change. Each comment names
// the fault (`DriverFault`).

/// B18.
final class CompletesBundledAsLegacy: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        for index in 0..<Int(count) { ParallelTaskCompletion(bundledAction!, responses[Int(indices[index])]) }
    }
}

/// B19.
final class CompletesLegacyAsBundled: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ action: OSAction, _ response: SCSIUserParallelResponse) {
        var slot = UInt16(response.fControllerTaskIdentifier - 1)
        BundledParallelTaskCompletion(action, &slot, 1)
    }
}

/// B20.
final class ReleasesBundledAction: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        super.complete(indices, count)
        bundledAction!.release()
    }
}

/// B22.
final class ForgetsRetain: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func keep(_ completion: OSAction) {}
}

/// B24.
final class LeavesVersionOut: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        response.version = 0
    }
}

/// B25.
final class NamesAnotherTask: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        response.fControllerTaskIdentifier += 1000
    }
}

/// B25, by target.
final class NamesAnotherTarget: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        response.fTargetID += 1
    }
}

/// B26, with 0.
final class ForgetsTransferCount: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        if task.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget {
            response.fBytesTransferred = 0
        }
    }
}

/// B26, with too much.
final class ReportsTooManyBytes: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        response.fBytesTransferred += 4096
    }
}

/// B27, without sense data: every MODE SENSE fails.
final class LeavesSenseOut: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        guard task.fCommandDescriptorBlock.0 == 0x1A else { return }
        response.fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION
        response.fSenseLength = 0
    }
}

/// B27, with too much.
final class SendsTooMuchSense: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        guard task.fCommandDescriptorBlock.0 == 0x1A else { return }
        response.fail(senseByteCount: 255, key: 0x05, code: 0x24, qualifier: 0x00)
    }
}

/// B28.
final class AsksForAddressLate: RAIDDriver, @unchecked Sendable {
    // SAFETY: the maps are set before the first task and never change afterwards.
    private var commandMap: IOMemoryMap?
    private var responseMap: IOMemoryMap?

    override func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ parallelCommandIOMemoryDescriptor: IOBufferMemoryDescriptor,
        _ parallelResponseIOMemoryDescriptor: IOBufferMemoryDescriptor
    ) -> kern_return_t {
        _ = parallelCommandIOMemoryDescriptor.CreateMapping(0, 0, 0, 0, 0, &commandMap)
        return parallelResponseIOMemoryDescriptor.CreateMapping(0, 0, 0, 0, 0, &responseMap)
    }

    override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        guard commandMap?.GetAddress() != 0, responseMap?.GetAddress() != 0 else { return }
        super.UserProcessBundledParallelTasks(parallelRequestIndices, parallelRequestIndicesCount, completion)
    }
}

/// B29.
final class DeclinesSlots: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ parallelCommandIOMemoryDescriptor: IOBufferMemoryDescriptor,
        _ parallelResponseIOMemoryDescriptor: IOBufferMemoryDescriptor
    ) -> kern_return_t { kIOReturnNotReady }
}

/// B30, by completing twice.
final class CompletesTwice: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        super.complete(indices, count)
        super.complete(indices, count)
    }
}

/// B30, with a slot that does not exist.
final class CompletesUnknownSlot: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        super.complete(indices, count)
        var slot: UInt16 = 999
        BundledParallelTaskCompletion(bundledAction!, &slot, 1)
    }
}

/// B30, with more than 32 slots in a call.
final class CompletesTooMany: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        var many = [UInt16](repeating: indices[0], count: 40)
        BundledParallelTaskCompletion(bundledAction!, &many, 40)
        super.complete(indices, count)
    }
}

/// B30, with none.
final class CompletesNothing: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        BundledParallelTaskCompletion(bundledAction!, indices, 0)
        super.complete(indices, count)
    }
}

/// B30, by writing to responses that it has passed back: each completion rewrites the earlier ones.
final class TouchesSlotAfterCompletion: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        super.complete(indices, count)
        for slot in 0..<32 { responses[slot].version = kScsiUserParallelTaskResponseCurrentVersion1 }
    }
}

/// B45.
final class AnswersAtOnce: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        response = kSCSIServiceResponse_TASK_COMPLETE
        return kIOReturnSuccess
    }
}

/// B46: the first write's completion is lost.
final class LosesCompletion: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        for index in 0..<Int(count) {
            let isWrite =
                commands[Int(indices[index])].fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget
            if !isWrite { super.complete(indices + index, 1) }
        }
    }
}

/// B47: a write is neither posted to the card nor answered.
final class ReturnsEarly: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        let first = commands[Int(parallelRequestIndices[0])]
        if first.fTransferDirection == kSCSIDataTransfer_FromInitiatorToTarget { return }
        super.UserProcessBundledParallelTasks(parallelRequestIndices, parallelRequestIndicesCount, completion)
    }
}
