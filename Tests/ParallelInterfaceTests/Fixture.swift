import Diagnostics
import DriverHost
import HardwareBus
import ParallelInterface
import Platform
import SCSIControllerDriverKit
import TestTraits

/// Notes which tasks came back, in order.
final class RowRecorder: SCSITaskOwner, @unchecked Sendable {
    // SAFETY: `list` and `isFull` under `lock`; `whenCompleted` is set while nothing is under way.
    private let lock = Lock()
    private var list: [UInt32] = []
    private var expected = Int.max
    private let isFull = OneShotEvent()
    /// Called with each batch, on the lane that delivered it.
    var whenCompleted: (([UInt32], Int) -> Void)?

    var taskIndices: [UInt32] { lock.withLock { list } }

    func tasksCompleted(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        let isEnough = lock.withLock {
            list.append(contentsOf: taskIndices)
            return list.count >= expected
        }
        if isEnough { isFull.set() }
        whenCompleted?(Array(taskIndices), lane)
    }

    /// Waits until so many tasks came back. Once.
    func wait(for count: Int) -> Bool {
        let isEnough = lock.withLock {
            expected = count
            return list.count >= count
        }
        return isEnough || isFull.comes()
    }
}

/// A controller over a driver of the tests, with one lane and one target.
struct Fixture {
    let controller: ParallelController
    let card: InterruptingCard
    let recorder = RowRecorder()
    let lane: Int
    let driver: EchoDriver
    let log: DiagnosisLog
    let clock = DeadlineClock.standing()

    /// Time stands still, and deadlines with it, until the test turns it.
    /// - Parameters:
    ///   - targetCreated: called when the driver or the kernel created a target.
    init(
        mode: DriverMode, driverClass: EchoDriver.Type = EchoDriver.self, log: DiagnosisLog = DiagnosisLog { _ in },
        pinsCommands: Bool = false, countsFilledBytes: Bool = false,
        options: (inout KernelOptions) -> Void = { _ in },
        targetCreated: @escaping @Sendable (UInt64, kern_return_t) -> Bool = { _, status in status == kIOReturnSuccess }
    ) throws {
        var kernelOptions = KernelOptions()
        kernelOptions.policy = .macos
        options(&kernelOptions)
        kernelOptions.clock = clock
        self.log = log
        card = InterruptingCard(
            dart: DART(windowCount: 32, reservedCount: 16), pinsCommands: pinsCommands,
            countsFilledBytes: countsFilledBytes)
        let host = InProcessDextHost(mode: mode, driverClass: driverClass, function: card, log: log)
        driver = EchoDriver.takeMade()
        controller = ParallelController(
            host: host, card: card, arena: try DataArena(byteCount: 1 << 20), options: kernelOptions,
            targetCreated: targetCreated)
        do { try controller.start() } catch {
            controller.stop()
            throw error
        }
        controller.attach(recorder, at: UnitAddress(targetID: 0))
        lane = try controller.makeLane()
        // From here on a turn is one for the watchdog too.
        clock.awaitSleepers(1)
    }

    /// Lets time pass until something is so, also while the watchdog waits for a driver that is stuck.
    func push(until isSo: () -> Bool) -> Bool {
        eventually {
            clock.push(byMilliseconds: 100)
            return isSo()
        }
    }

    func submit(_ taskIndices: [UInt32], byteCount: UInt64 = 512, logicalUnit: UInt8 = 0, lane: Int? = nil) {
        for taskIndex in taskIndices {
            controller.fillTask(taskIndex, byteCount: byteCount)
            controller.tasks[Int(taskIndex)].logicalUnit = logicalUnit
        }
        taskIndices.withUnsafeBufferPointer { controller.submit($0, lane: lane ?? self.lane) }
    }

    /// How a task ended: its service response and task status.
    func outcome(_ taskIndex: TaskIndex) -> [UInt8] {
        [controller.tasks[Int(taskIndex)].serviceResponse, controller.tasks[Int(taskIndex)].taskStatus]
    }

    /// The faults that were seen, without those of the configuration.
    var faults: [DriverFault] {
        let configuration: Set<DriverFault> = [
            .maxTransferSizeTooSmall, .requiredConstraintMissing, .constraintNotSettable, .badDMASpecification,
        ]
        return log.diagnoses.map(\.fault).filter { !configuration.contains($0) }
    }
}

extension ParallelController {
    /// Makes an entry of the table a task that reads so many bytes from target 0.
    func fillTask(_ taskIndex: TaskIndex, byteCount: UInt64) {
        tasks[Int(taskIndex)] = SCSITask()
        tasks[Int(taskIndex)].cdbSize = 10
        tasks[Int(taskIndex)].direction = .targetToInitiator
        tasks[Int(taskIndex)].requestedTransferCount = byteCount
        tasks[Int(taskIndex)].buffer = arena.base
    }
}
