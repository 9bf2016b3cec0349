// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import DriverHost
import HardwareBus
import ParallelInterface
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

/// Notes every call, and creates target 0 from its AuxiliaryQueue.
final class NotingDriver: EchoDriver, @unchecked Sendable {
    private var auxiliaryQueue: IODispatchQueue?
    let isCreated = OneShotEvent()

    override func UserInitializeController() -> kern_return_t {
        _ = IODispatchQueue.Create("AuxiliaryQueue", 0, 0, &auxiliaryQueue)
        _ = SetDispatchQueue("AuxiliaryQueue", auxiliaryQueue!)
        return super.UserInitializeController()
    }

    override func UserStartController() -> kern_return_t {
        defer { auxiliaryQueue?.DispatchAsync { [unowned self] in createTarget() } }
        return super.UserStartController()
    }

    private func createTarget() {
        let status = UserCreateTargetForID(0, [:])
        note("UserCreateTargetForID returned \(status)")
        isCreated.set()
    }

    override func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        note("UserReportInitiatorIdentifier")
        return super.UserReportInitiatorIdentifier(&identifier)
    }

    override func UserReportHighestSupportedDeviceID(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        note("UserReportHighestSupportedDeviceID")
        return super.UserReportHighestSupportedDeviceID(&identifier)
    }

    override func UserDoesHBAPerformAutoSense(_ result: inout Bool) -> kern_return_t {
        note("UserDoesHBAPerformAutoSense")
        return super.UserDoesHBAPerformAutoSense(&result)
    }

    override func UserReportHBAHighestLogicalUnitNumber(_ value: inout UInt64) -> kern_return_t {
        note("UserReportHBAHighestLogicalUnitNumber")
        return super.UserReportHBAHighestLogicalUnitNumber(&value)
    }

    override func UserGetDMASpecification(
        _ maxTransferSize: inout UInt64, _ alignment: inout UInt32, _ numAddressBits: inout UInt8,
        _ segmentType: inout DMAOutputSegmentType
    ) -> kern_return_t {
        note("UserGetDMASpecification")
        return super.UserGetDMASpecification(&maxTransferSize, &alignment, &numAddressBits, &segmentType)
    }

    override func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t {
        note("UserMapHBAData")
        return super.UserMapHBAData(&uniqueTaskID)
    }

    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        note("UserDoesHBAPerformDeviceManagement")
        return super.UserDoesHBAPerformDeviceManagement(&result)
    }

    override func UserDoesHBASupportMultiPathing(_ result: inout Bool) -> kern_return_t {
        note("UserDoesHBASupportMultiPathing")
        return super.UserDoesHBASupportMultiPathing(&result)
    }

    override func UserProcessParallelTask(
        _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        note("UserProcessParallelTask")
        return super.UserProcessParallelTask(request, &response, completion)
    }
}

/// Lets the kernel look for targets.
class ScannedDriver: EchoDriver, @unchecked Sendable {
    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }

    override func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        note("UserInitializeTargetForID(\(targetID))")
        return targetID < 2 ? kIOReturnSuccess : kIOReturnNoDevice
    }
}

/// Lets the kernel look for targets, and keeps what it is given.
final class KeepingDriver: ScannedDriver, @unchecked Sendable {
    let hasTask = OneShotEvent()

    override func UserProcessParallelTask(
        _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        defer { hasTask.set() }
        return super.UserProcessParallelTask(request, &response, completion)
    }
}

/// Says nothing of the alignment mask.
final class MasklessDriver: EchoDriver, @unchecked Sendable {
    override class var constraints: OSDictionary { [kIOMaximumSegmentCountReadKey: 7] }
}

@Suite("The life of a driver", .blocks)
struct LifeCycleTests {
    @Test("starts with the questions in the kernel's order, and a target is probed before its creation returns")
    func start() throws {
        let controller = Late()
        let fixture = try Fixture(
            mode: .bundled, driverClass: NotingDriver.self,
            // The probe: one command, whose answer is waited for.
            targetCreated: { _, status in status == kIOReturnSuccess && controller.probe() })
        controller.set(fixture.controller)
        let driver = fixture.driver as! NotingDriver
        #expect(driver.isCreated.comes())
        let creation = [
            "UserInitializeTargetForID", "UserDoesHBASupportMultiPathing", "UserProcessParallelTask",
            "UserCreateTargetForID returned 0",
        ]
        // Creation begins while the kernel asks its last question.
        let calls = driver.calls
        #expect(calls.filter { creation.contains($0) } == creation)
        #expect(
            calls.filter { !creation.contains($0) }
                == [
                    "Start", "UserInitializeController", "UserReportInitiatorIdentifier",
                    "UserReportHighestSupportedDeviceID", "UserReportMaximumTaskCount", "UserDoesHBAPerformAutoSense",
                    "UserReportHBAHighestLogicalUnitNumber", "UserGetDMASpecification",
                ] + Array(repeating: "UserMapHBAData", count: EchoDriver.taskCount) + [
                    "UserMapBundledParallelTaskCommandAndResponseBuffers", "UserStartController",
                    "UserDoesHBAPerformDeviceManagement",
                ])
        let begin = try #require(calls.firstIndex(of: "UserInitializeTargetForID"))
        #expect(calls.firstIndex(of: "UserStartController")! < begin)
        fixture.controller.stop()
        #expect(fixture.faults == [])
    }

    /// The controller, for a probe that may begin before its owner has it.
    private final class Late: @unchecked Sendable {
        // SAFETY: written before `isSet` is set, read after.
        private var controller: ParallelController!
        private let isSet = OneShotEvent()

        func set(_ controller: ParallelController) {
            self.controller = controller
            isSet.set()
        }

        func probe() -> Bool {
            isSet.wait()
            guard let lane = try? controller.makeLane() else { return false }
            defer { controller.releaseLane(lane) }
            let recorder = RowRecorder()
            controller.attach(recorder, at: UnitAddress(targetID: 0))
            let taskIndex = TaskIndex(lane * controller.tasksPerLane)
            controller.fillTask(taskIndex, byteCount: 512)
            withUnsafePointer(to: taskIndex) { controller.submit(UnsafeBufferPointer(start: $0, count: 1), lane: lane) }
            return recorder.wait(for: 1)
        }
    }

    @Test("sends the first commands by the legacy route, and takes each back by its own")
    func mixedRoutes() throws {
        let fixture = try Fixture(mode: .bundled, driverClass: NotingDriver.self, targetCreated: { _, _ in false })
        #expect((fixture.driver as! NotingDriver).isCreated.comes())
        // Both routes at once.
        fixture.driver.answersNothing = true
        fixture.submit([0, 1, 2, 3, 4])
        #expect(fixture.driver.held.map(\.isBundled) == [false, false, true, true, true])
        fixture.driver.answersNothing = false
        fixture.driver.answersInReverse = true
        fixture.card.hasWork.store(true, ordering: .releasing)
        fixture.submit([5])
        #expect(fixture.recorder.taskIndices.sorted() == [0, 1, 2, 3, 4, 5])
        for taskIndex in UInt32(0)...5 { #expect(fixture.outcome(taskIndex) == [2, 0]) }
        fixture.controller.stop()
        #expect(fixture.faults == [])
    }

    @Test("tries every ID for a driver that does not manage its devices")
    func scan() throws {
        let fixture = try Fixture(mode: .bundled, driverClass: ScannedDriver.self)
        let tried = fixture.driver.calls.filter { $0.hasPrefix("UserInitializeTargetForID") }
        #expect(tried == (0...6).map { "UserInitializeTargetForID(\($0))" })
        #expect(
            (0...8).map { fixture.controller.isTargetPresent($0) } == [true, true] + Array(repeating: false, count: 7))
        #expect(fixture.faults == [])
        #expect(fixture.controller.createTarget(1, properties: [:]) == kIOReturnExclusiveAccess)
        #expect(fixture.log.diagnoses.first { $0.fault == .targetCreatedTwice }!.detail.contains("the kernel's scan"))
        fixture.controller.stop()
    }

    @Test("a start that is cancelled does not wait for what the driver keeps of the scan")
    func cancelledScan() throws {
        let card = InterruptingCard(dart: DART(windowCount: 32, reservedCount: 16))
        let host = InProcessDextHost(
            mode: .legacy, driverClass: KeepingDriver.self, function: card, log: DiagnosisLog { _ in })
        let driver = EchoDriver.takeMade() as! KeepingDriver
        driver.answersNothing = true
        var options = KernelOptions()
        options.policy = .macos
        options.watchdogMilliseconds = 5
        options.clock = .standing()
        let late = Late()
        let controller = ParallelController(
            host: host, card: card, arena: try DataArena(byteCount: 1 << 20), options: options,
            targetCreated: { _, status in status == kIOReturnSuccess && late.probe() })
        late.set(controller)
        let isOver = OneShotEvent()
        try OSThread(name: "start") {
            try? controller.start()
            isOver.set()
        }.detach()
        #expect(driver.hasTask.comes())
        options.clock.awaitSleepers(1)
        options.clock.turn(byMilliseconds: 30)
        #expect(!isOver.isSet)
        controller.cancelStart()
        options.clock.turn(byMilliseconds: 5)
        #expect(isOver.comes())
        controller.stop()
    }

    @Test("does not say that a scan made what the driver made")
    func creationBeforeScan() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(fixture.controller.createTarget(1, properties: [:]) == kIOReturnSuccess)
        #expect(fixture.controller.createTarget(1, properties: [:]) == kIOReturnExclusiveAccess)
        #expect(fixture.log.diagnoses.first { $0.fault == .targetCreatedTwice }!.detail.contains("an earlier call"))
        fixture.controller.stop()
    }

    @Test("fails the tasks of a target that was destroyed, until it is created again")
    func destroyedTarget() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(fixture.controller.createTarget(0, properties: [:]) == kIOReturnSuccess)
        #expect(fixture.controller.destroyTarget(0) == kIOReturnSuccess)
        #expect(fixture.controller.destroyTarget(0) == kIOReturnBadArgument)
        fixture.submit([0])
        #expect(fixture.outcome(0) == [1, 4])
        #expect(fixture.driver.seenTasks.isEmpty)
        #expect(fixture.controller.createTarget(0, properties: [:]) == kIOReturnSuccess)
        fixture.submit([1])
        #expect(fixture.outcome(1) == [2, 0])
        fixture.controller.stop()
    }

    @Test("a target that is destroyed and created again from several threads is built once, and every task ends")
    func recreatedUnderLoad() throws {
        let built = Atomic<Int>(0)
        let fixture = try Fixture(
            mode: .bundled,
            targetCreated: { _, status in
                if status == kIOReturnSuccess { built.add(1, ordering: .relaxed) }
                return status == kIOReturnSuccess
            })
        let controller = fixture.controller
        #expect(controller.createTarget(0, properties: [:]) == kIOReturnSuccess)
        let isOver = Atomic<Bool>(false)
        let finished = (0..<3).map { _ in OneShotEvent() }
        for event in finished {
            try OSThread(name: "recreate") {
                while !isOver.load(ordering: .relaxed) {
                    _ = controller.destroyTarget(0)
                    _ = controller.createTarget(0, properties: [:])
                }
                event.set()
            }.detach()
        }
        var ended = 0
        for round in 0..<200 {
            fixture.submit((0..<16).map { UInt32($0) })
            ended += 16
            #expect(fixture.recorder.wait(for: ended), "round \(round)")
        }
        isOver.store(true, ordering: .relaxed)
        for event in finished { #expect(event.comes()) }
        #expect(built.load(ordering: .relaxed) == 1)
        if !controller.isTargetPresent(0) { #expect(controller.createTarget(0, properties: [:]) == kIOReturnSuccess) }
        fixture.submit([20])
        #expect(fixture.outcome(20) == [2, 0])
        controller.stop()
        #expect(Set(fixture.faults).subtracting([.targetCreatedTwice]).isEmpty)
    }

    @Test("an interrupt source takes another handler as often as its driver likes, and calls the last one")
    func handlers() throws {
        final class Fickle: EchoDriver, @unchecked Sendable {
            let handled = Atomic<Int>(0)

            override func UserInitializeController() -> kern_return_t {
                let status = super.UserInitializeController()
                for turn in 0..<100 {
                    _ = source!.SetHandler(
                        OSAction.Create { [unowned self] _, _ in handled.store(turn, ordering: .relaxed) })
                }
                return status
            }
        }
        let fixture = try Fixture(mode: .bundled, driverClass: Fickle.self)
        fixture.card.interruptHandler?()
        #expect((fixture.driver as? Fickle)?.handled.load(ordering: .relaxed) == 99)
        fixture.controller.stop()
    }

    @Test("a driver has worked when an answer of it counts, not when it says that it has")
    func hasWorked() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(!fixture.controller.driverHasWorked)
        let foreign: [UInt16] = [0, 3, 500]
        fixture.controller.completeBundledParallelTasks(foreign, count: foreign.count)
        fixture.submit([0])
        #expect(fixture.controller.driverHasWorked)
        fixture.controller.driverReturned()
        fixture.controller.completeBundledParallelTasks(foreign, count: foreign.count)
        #expect(!fixture.controller.driverHasWorked)
        fixture.controller.stop()
    }

    @Test("a target cannot be created before services start")
    func tooEarly() throws {
        final class Hasty: EchoDriver, @unchecked Sendable {
            override func UserInitializeController() -> kern_return_t {
                var queue: IODispatchQueue?
                _ = IODispatchQueue.Create("AuxiliaryQueue", 0, 0, &queue)
                _ = SetDispatchQueue("AuxiliaryQueue", queue!)
                note("UserCreateTargetForID returned \(UserCreateTargetForID(0, [:]))")
                return super.UserInitializeController()
            }
        }
        let fixture = try Fixture(mode: .bundled, driverClass: Hasty.self)
        #expect(fixture.driver.calls.contains("UserCreateTargetForID returned \(kIOReturnNotReady)"))
        #expect(fixture.faults == [.targetNotReady])
        fixture.controller.stop()
    }

    @Test(
        "a stop ends each task once: those that the driver has, and those that wait for a slot",
        arguments: [DriverMode.bundled, .legacy])
    func stopWithTasks(mode: DriverMode) throws {
        let fixture = try Fixture(mode: mode)
        fixture.driver.answersNothing = true
        let taskIndices = Array(UInt32(0)..<UInt32(EchoDriver.taskCount + 5))
        fixture.submit(taskIndices)
        #expect(fixture.driver.held.count == EchoDriver.taskCount)
        fixture.controller.stop()
        #expect(fixture.recorder.taskIndices.sorted() == taskIndices)
        for taskIndex in taskIndices { #expect(fixture.outcome(taskIndex) == [1, 4]) }
        #expect(fixture.faults == [.tasksOutstandingAtStop])
        #expect(fixture.log.diagnoses[0].detail.hasPrefix("\(EchoDriver.taskCount) tasks were outstanding"))
        // Whoever comes too late hears the same, and the driver nothing.
        fixture.submit([100])
        #expect(fixture.outcome(100) == [1, 4])
        #expect(fixture.driver.seenTasks.count == EchoDriver.taskCount)
    }

    @Test("a stop waits for the device before it ends a task whose memory the device works on")
    func stopWithBusyDevice() throws {
        let fixture = try Fixture(mode: .bundled)
        fixture.driver.answersNothing = true
        fixture.submit([0, 1])
        let busy = fixture.driver.held[0].task.fBufferIOVMAddr
        let pin = fixture.card.dart.pin(busy)
        let isStopped = OneShotEvent()
        try OSThread(name: "stop") {
            fixture.controller.stop()
            isStopped.set()
        }.detach()
        #expect(fixture.recorder.wait(for: 1))
        fixture.clock.awaitSleepers(1)
        fixture.clock.turn(byMilliseconds: 500)
        #expect(fixture.clock.sleeperCount == 1 && !isStopped.isSet)
        #expect(fixture.recorder.taskIndices == [1])
        _ = consume pin
        fixture.clock.turn(byMilliseconds: 5)
        #expect(isStopped.comes())
        #expect(fixture.recorder.taskIndices == [1, 0])
        #expect(fixture.outcome(0) == [1, 4])
    }

    @Test("a driver that gives back each reference that it was given is not blamed")
    func references() throws {
        final class Thrifty: EchoDriver, @unchecked Sendable {
            override func UserInitializeController() -> kern_return_t {
                var queue: IODispatchQueue?
                _ = IODispatchQueue.Create("Own", 0, 0, &queue)
                _ = SetDispatchQueue("Own", queue!)
                queue!.release()
                for name in ["Own", "Default", "Own", "Default"] {
                    _ = CopyDispatchQueue(name, &queue)
                    queue!.release()
                }
                return super.UserInitializeController()
            }

            override func UserProcessParallelTask(
                _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
            ) -> kern_return_t {
                var buffer: IOBufferMemoryDescriptor?
                if UserGetDataBuffer(request.fTargetID, request.fControllerTaskIdentifier, &buffer) == kIOReturnSuccess
                {
                    buffer!.release()
                }
                return super.UserProcessParallelTask(request, &response, completion)
            }
        }
        let fixture = try Fixture(mode: .legacy, driverClass: Thrifty.self)
        fixture.submit([0, 1])
        #expect(fixture.recorder.taskIndices == [0, 1])
        fixture.controller.stop()
        #expect(fixture.faults == [])
    }

    @Test("a driver that answers everything in Stop is not blamed")
    func cleanStop() throws {
        final class Tidy: EchoDriver, @unchecked Sendable {
            override func Stop(_ provider: IOService) -> kern_return_t {
                answerAll()
                return super.Stop(provider)
            }
        }
        let fixture = try Fixture(mode: .bundled, driverClass: Tidy.self)
        fixture.driver.answersNothing = true
        fixture.submit([0, 1, 2])
        fixture.controller.stop()
        #expect(fixture.recorder.taskIndices.sorted() == [0, 1, 2])
        for taskIndex in UInt32(0)...2 { #expect(fixture.outcome(taskIndex) == [2, 0]) }
        #expect(fixture.faults == [])
    }

    @Test("the strict policy refuses what macOS starts with, and both what macOS panics with")
    func policies() throws {
        #expect(throws: DriverStartError.self) { try Fixture(mode: .bundled, options: { $0.policy = .strict }) }
        try Fixture(mode: .bundled, options: { $0.policy = .macos }).controller.stop()
        let log = DiagnosisLog { _ in }
        #expect(throws: DriverStartError.self) {
            try Fixture(mode: .bundled, driverClass: MasklessDriver.self, log: log, options: { $0.policy = .macos })
        }
        #expect(log.count(of: .requiredConstraintMissing) == 1)
    }
}
