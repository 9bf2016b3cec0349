// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit
import Synchronization

/// The reference driver, which makes a mistake from some command on.
final class UnreliableDriver: RAIDDriver, @unchecked Sendable {
    /// What the next driver does wrong, and with which command it begins. Tests that use it run one at a time.
    nonisolated(unsafe) static var mistake = Mistake.completesTwice
    nonisolated(unsafe) static var firstCommand = 0

    // SAFETY: `previous`, `split` belong to the InterruptQueue; `held` is handed over by `hasHeld`.
    private let mistake = UnreliableDriver.mistake
    private let firstCommand = UnreliableDriver.firstCommand
    private let commandCount = Atomic<Int>(0)
    private var previous: [UInt16] = []
    private var split: Set<UInt32> = []
    private var held: (task: SCSIUserParallelTask, tag: UInt32)?
    private let hasHeld = Atomic<Bool>(false)

    private func makes(_ mistake: Mistake) -> Bool {
        self.mistake == mistake && commandCount.load(ordering: .relaxed) >= firstCommand
    }

    private func isWrite(_ task: UnsafePointer<SCSIUserParallelTask>) -> Bool {
        [0x2A, 0x8A].contains(task.pointee.fCommandDescriptorBlock.0)
    }

    /// The block at which a READ or WRITE begins; the first two writes of a batch begin at blocks 8 and 16, and
    /// overlap.
    private func block(_ task: UnsafePointer<SCSIUserParallelTask>) -> Int {
        Int(task.pointee.fCommandDescriptorBlock.4) << 8 + Int(task.pointee.fCommandDescriptorBlock.5)
    }

    // MARK: Submission

    override func UserProcessBundledParallelTasks(
        _ indices: UnsafePointer<UInt16>, _ count: UInt16, _ completion: OSAction
    ) {
        for index in 0..<Int(count) {
            let slot = indices[index]
            let opcode = commands[Int(slot)].fCommandDescriptorBlock.0
            if makes(.dropsSlot) {
                commandCount.add(1, ordering: .relaxed)
            } else if makes(.answersFlushItself) && opcode == 0x35
                || makes(.answersWriteItself) && isWrite(commands + Int(slot))
            {
                answer(slot)
            } else {
                super.UserProcessBundledParallelTasks(indices + index, 1, completion)
            }
        }
    }

    private func answer(_ slot: UInt16) {
        let task = commands + Int(slot)
        var response = SCSIUserParallelResponse()
        response.version = kScsiUserParallelTaskResponseCurrentVersion1
        response.fTargetID = task.pointee.fTargetID
        response.fControllerTaskIdentifier = task.pointee.fControllerTaskIdentifier
        response.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE
        response.fBytesTransferred = task.pointee.fRequestedTransferCount
        responses[Int(slot)] = response
        withUnsafePointer(to: slot) { super.complete($0, 1) }
    }

    override func UserProcessParallelTask(
        _ task: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        if makes(.refusesTask) {
            response = kSCSIServiceResponse_TASK_COMPLETE
            return kIOReturnSuccess
        }
        let forgets = makes(.forgetsRetain)
        let status = super.UserProcessParallelTask(task, &response, completion)
        if forgets { completion.release() }
        return status
    }

    override func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) {
        commandCount.add(1, ordering: .relaxed)
        if makes(.programsBeyondRange) && isWrite(task) {
            var longer = task.pointee
            longer.fRequestedTransferCount *= 2
            return super.post(&longer, tag: tag)
        }
        if makes(.reordersWrites) && isWrite(task) && block(task) == 8 && !hasHeld.load(ordering: .acquiring) {
            held = (task.pointee, tag)
            return hasHeld.store(true, ordering: .releasing)
        }
        super.post(task, tag: tag)
    }

    // MARK: Completion

    override func fill(
        _ response: UnsafeMutablePointer<SCSIUserParallelResponse>, for task: UnsafePointer<SCSIUserParallelTask>,
        from completion: UnsafePointer<RAIDCompletionDescriptor>
    ) {
        super.fill(response, for: task, from: completion)
        if makes(.leavesVersionOut) { response.pointee.version = 0 }
        if makes(.namesOtherTask) {
            // One that exists.
            response.pointee.fControllerTaskIdentifier = response.pointee.fControllerTaskIdentifier % 64 + 1
        }
        if makes(.namesOtherTarget) { response.pointee.fTargetID += 1 }
        if makes(.forgetsByteCount) { response.pointee.fBytesTransferred = 0 }
        if makes(.leavesSenseOut) {
            response.pointee.fCompletionStatus = kSCSITaskStatus_CHECK_CONDITION
            response.pointee.fSenseLength = 0
        }
        if makes(.splitsAndCompletesEarly) && isWrite(task), split.remove(completion.pointee.tag) == nil {
            split.insert(completion.pointee.tag)
            super.post(task, tag: completion.pointee.tag)
            ringDoorbell()
        }
    }

    override func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        if makes(.dropsCompletion) { return }
        if makes(.completesSlotAsTask) {
            for index in 0..<Int(count) { ParallelTaskCompletion(bundledAction!, responses[Int(indices[index])]) }
            return
        }
        let endsSecondWrite = (0..<Int(count)).contains {
            isWrite(commands + Int(indices[$0])) && block(commands + Int(indices[$0])) == 16
        }
        super.complete(indices, count)
        if makes(.completesTwice) { super.complete(indices, count) }
        if makes(.completesUnknownSlot) { withUnsafePointer(to: UInt16(999)) { super.complete($0, 1) } }
        if makes(.releasesAction) { bundledAction!.release() }
        if makes(.touchesResponse) {
            for slot in previous { responses[Int(slot)].version = kScsiUserParallelTaskResponseCurrentVersion1 }
        }
        previous = (0..<Int(count)).map { indices[$0] }
        if endsSecondWrite, hasHeld.load(ordering: .acquiring), let held {
            withUnsafePointer(to: held.task) { super.post($0, tag: held.tag) }
            ringDoorbell()
            hasHeld.store(false, ordering: .releasing)
        }
    }

    override func complete(_ action: OSAction, _ response: SCSIUserParallelResponse) {
        if makes(.dropsCompletion) { return }
        if makes(.completesTaskAsSlot) {
            var slot = UInt16(response.fControllerTaskIdentifier - 1)
            return BundledParallelTaskCompletion(action, &slot, 1)
        }
        if makes(.completesTwice) { ParallelTaskCompletion(action, response) }
        super.complete(action, response)
    }
}
