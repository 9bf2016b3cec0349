// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit
import Synchronization

// Drivers with one mistake each in their life cycle or in their use of queues: the reference driver with one change.
// Each comment names the fault (`DriverFault`).

/// B01.
final class NamesQueueOnTaskEntry: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override class func QUEUENAME(_ method: String) -> String? {
        method == "UserProcessParallelTask" ? "MyParallelIOQueue" : nil
    }
}

/// B02.
final class CreatesOnDefaultQueue: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserStartController() -> kern_return_t {
        _ = UserCreateTargetForID(0, [:])
        return kIOReturnSuccess
    }
}

/// B03.
final class RegistersNoAuxiliaryQueue: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func makeAuxiliaryQueue() -> IODispatchQueue? {
        var queue: IODispatchQueue?
        _ = IODispatchQueue.Create("AuxiliaryQueue", 0, 0, &queue)
        return queue
    }
}

/// B04.
final class TakesInterruptsOnAuxiliaryQueue: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func makeInterruptQueue() -> IODispatchQueue? {
        var queue: IODispatchQueue?
        _ = CopyDispatchQueue("AuxiliaryQueue", &queue)
        return queue
    }
}

/// B04, by blocks that the interrupt handler leaves on that queue.
final class CompletesOnCreatingQueue: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func makeAuxiliaryQueue() -> IODispatchQueue? {
        var queue: IODispatchQueue?
        guard IODispatchQueue.Create("FCQ", 0, 0, &queue) == kIOReturnSuccess else { return nil }
        return SetDispatchQueue("AuxiliaryQueue", queue!) == kIOReturnSuccess ? queue : nil
    }

    override func InterruptOccurred(_ action: OSAction, _ count: UInt64) {
        auxiliaryQueue?.DispatchAsync { super.InterruptOccurred(action, count) }
    }
}

/// B04, by waiting for that queue.
final class WaitsForCreatingQueue: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func InterruptOccurred(_ action: OSAction, _ count: UInt64) {
        auxiliaryQueue?.DispatchSync { super.InterruptOccurred(action, count) }
    }
}

/// B05.
final class TakesInterruptsOnDefaultQueue: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func makeInterruptQueue() -> IODispatchQueue? {
        var queue: IODispatchQueue?
        _ = CopyDispatchQueue("Default", &queue)
        return queue
    }
}

/// B06, by waiting for the queue that creates the targets.
final class WaitsInStartController: RAIDDriver, @unchecked Sendable {
    // SAFETY: the only state of its own is atomic.
    private let isCreating = Atomic<Bool>(false)

    override func UserStartController() -> kern_return_t {
        let status = super.UserStartController()
        while !isCreating.load(ordering: .acquiring) { IOSleep(1) }
        auxiliaryQueue?.DispatchSync {}
        return status
    }

    override func createTargets() {
        isCreating.store(true, ordering: .releasing)
        super.createTargets()
    }
}

/// B06, by sleeping.
final class SleepsInStartController: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserStartController() -> kern_return_t {
        IOSleep(1500)
        return super.UserStartController()
    }
}

/// B07.
final class GuardsUntilRegistered: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: the only state of its own is atomic.
    private let isRegistered = Atomic<Bool>(false)

    override func createTargets() {
        super.createTargets()
        isRegistered.store(true, ordering: .releasing)
    }

    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        guard !isRegistered.load(ordering: .acquiring) else { return }
        response.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
        response.fCompletionStatus = kSCSITaskStatus_DeviceNotResponding
    }
}

/// B08: the card interrupts before the driver has its record.
final class InterruptsBeforeInitialization: RAIDDriver, @unchecked Sendable {
    // SAFETY: `record` never changes.
    /// The address of a tracking record as a C driver has it: a token, then the action.
    private var record: UInt = 0

    override func UserInitializeController() -> kern_return_t {
        let status = super.UserInitializeController()
        provider.MemoryWrite32(0, UInt64(RAIDControllerRegister.interruptTest), 1)
        return status
    }

    override func InterruptOccurred(_ action: OSAction, _ count: UInt64) {
        let actionField = UnsafePointer<UInt>(bitPattern: record + 8)!
        if actionField.pointee != 0 { super.InterruptOccurred(action, count) }
    }
}

/// B09.
final class CreatesTargetAboveHighestID: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserReportHighestSupportedDeviceID(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        identifier = 3
        return kIOReturnSuccess
    }

    override func createTargets() {
        super.createTargets()
        _ = UserCreateTargetForID(5, [:])
    }
}

/// B10.
final class HasInitiatorIDOfTarget: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        identifier = 0
        return kIOReturnSuccess
    }
}

/// B11, by calling twice.
final class CreatesTwice: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func createTargets() {
        super.createTargets()
        _ = UserCreateTargetForID(0, [:])
    }
}

/// B11, by letting the kernel scan as well.
final class CreatesAndIsScanned: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }
}

/// B12, by destroying targets.
final class DestroysInStop: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func Stop(_ provider: IOService) -> kern_return_t {
        _ = UserDestroyTargetForID(0)
        return super.Stop(provider)
    }
}

/// B12, by waiting for the queue that creates a target.
final class WaitsInStop: RAIDDriver, @unchecked Sendable {
    // SAFETY: the only state of its own is atomic.
    private let isStopping = Atomic<Bool>(false)
    private let isCreating = Atomic<Bool>(false)

    override func createTargets() {
        super.createTargets()
        // A disk arrives at the moment of the shutdown.
        while !isStopping.load(ordering: .acquiring) { IOSleep(1) }
        isCreating.store(true, ordering: .releasing)
        _ = UserCreateTargetForID(1, [:])
    }

    override func Stop(_ provider: IOService) -> kern_return_t {
        isStopping.store(true, ordering: .releasing)
        while !isCreating.load(ordering: .acquiring) { IOSleep(1) }
        auxiliaryQueue?.DispatchSync {}
        return super.Stop(provider)
    }
}

/// B13.
final class HasNoTasks: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t {
        count = 0
        return kIOReturnSuccess
    }
}

/// B14, by never setting the ID.
final class LeavesTaskIDZero: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t { kIOReturnSuccess }
}

/// B14, with the same ID for all.
final class RepeatsTaskID: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t {
        uniqueTaskID = 1
        return kIOReturnSuccess
    }
}

/// B15: writes are never answered.
final class KeepsTasksAtStop: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) {
        if task.pointee.fTransferDirection != kSCSIDataTransfer_FromInitiatorToTarget { super.post(task, tag: tag) }
    }
}

/// B16: TEST UNIT READY fails with 02/04/01 for ever: NOT READY, becoming ready.
final class BecomesReadyForEver: ResponseAlteringDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `ResponseAlteringDriver`.
    override func alter(_ response: inout SCSIUserParallelResponse, of task: SCSIUserParallelTask) {
        guard task.fCommandDescriptorBlock.0 == 0x00 else { return }
        response.fail(senseByteCount: 18, key: 0x02, code: 0x04, qualifier: 0x01)
    }
}

/// B52.
final class KeepsPowerChange: RAIDDriver, @unchecked Sendable {
    // SAFETY: no state beyond that of `RAIDDriver`.
    override func SetPowerState(_ powerFlags: UInt32) -> kern_return_t { kIOReturnSuccess }
}

/// B50: two queues of the driver's own wait for each other.
final class CrossesQueues: RAIDDriver, @unchecked Sendable {
    // SAFETY: the only state of its own is atomic.
    private let isSecondTaken = Atomic<Bool>(false)

    override func createTargets() {
        crossQueues()
        super.createTargets()
    }

    private func crossQueues() {
        var first: IODispatchQueue?
        var second: IODispatchQueue?
        _ = IODispatchQueue.Create("FirstQueue", 0, 0, &first)
        _ = IODispatchQueue.Create("SecondQueue", 0, 0, &second)
        guard let first, let second else { return }
        first.DispatchAsync { [self] in
            while !isSecondTaken.load(ordering: .acquiring) { IOSleep(1) }
            second.DispatchSync {}
        }
        second.DispatchSync { [self] in
            isSecondTaken.store(true, ordering: .releasing)
            IOSleep(20)
            first.DispatchSync {}
        }
    }
}

/// B51.
final class Crashes: RAIDDriver, @unchecked Sendable {
    // SAFETY: `ring` never changes.
    private let ring: [UInt32] = []

    override func UserStartController() -> kern_return_t {
        let status = super.UserStartController()
        return ring[Int(status)] == 0 ? status : kIOReturnError
    }
}
