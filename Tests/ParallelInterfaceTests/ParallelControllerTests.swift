import Diagnostics
import DriverHost
import HardwareBus
import ParallelInterface
import Platform
import SCSI
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

@Suite("The HBA's kernel half", .serialized, .blocks)
struct ParallelControllerTests {
    @Test("a lane that works for others is given back when that work is done")
    func releasedLane() throws {
        let fixture = try Fixture(mode: .bundled)
        fixture.card.outstanding.store(3, ordering: .relaxed)
        fixture.controller.releaseLane(fixture.lane)
        #expect(fixture.card.outstanding.load(ordering: .relaxed) == 0)
        #expect(fixture.card.outstandingAtRelease.load(ordering: .relaxed) == 0)
        fixture.controller.stop()
    }

    @Test("starts the driver in the documented order")
    func startOrder() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(
            fixture.driver.calls == [
                "Start", "UserInitializeController", "UserReportMaximumTaskCount",
                "UserMapBundledParallelTaskCommandAndResponseBuffers", "UserStartController",
            ])
        fixture.controller.stop()
    }

    @Test("ignores the limits that a DEXT cannot set")
    func dextLimits() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(fixture.controller.constraints.maximumSegmentCountRead == 7)
        #expect(fixture.controller.constraints.maximumByteCountRead == 0)
        #expect(fixture.controller.constraints.maximumBlockCountRead == 65535)
        fixture.controller.stop()
    }

    @Test("completes every task once", arguments: [DriverMode.bundled, .legacy])
    func completesAll(mode: DriverMode) throws {
        let fixture = try Fixture(mode: mode)
        fixture.submit([3, 1, 2])
        #expect(fixture.recorder.taskIndices == [3, 1, 2])
        for taskIndex in [1, 2, 3] {
            #expect(fixture.controller.tasks[taskIndex].serviceResponse == UInt8(kSCSIServiceResponse_TASK_COMPLETE))
            #expect(fixture.controller.tasks[taskIndex].realizedTransferCount == 512)
        }
        fixture.controller.stop()
    }

    @Test(
        "lets tasks wait when the pool is empty and sends them as slots come back",
        arguments: [
            DriverMode.bundled, .legacy,
        ])
    func poolExhaustion(mode: DriverMode) throws {
        let fixture = try Fixture(mode: mode)
        fixture.driver.answersInReverse = true
        fixture.driver.answersPerInterrupt = 3
        let taskIndices = Array(UInt32(0)..<100)
        fixture.submit(taskIndices)
        #expect(fixture.recorder.taskIndices.sorted() == taskIndices)
        #expect(fixture.recorder.taskIndices != taskIndices)
        #expect(fixture.driver.seenTasks.count == taskIndices.count)
        fixture.controller.stop()
    }

    @Test("sends a batch as one bundle and a backlog as one more")
    func bundles() throws {
        let fixture = try Fixture(mode: .bundled)
        fixture.submit(Array(0..<12))
        // The first two tasks of a driver's life come by the legacy route.
        #expect(fixture.driver.bundleSizes == [6, 4])
        fixture.controller.stop()
    }

    @Test("gives each task in flight an action of its own in legacy mode, and balances its references")
    func legacyActions() throws {
        let fixture = try Fixture(mode: .legacy)
        fixture.driver.answersNothing = true
        fixture.submit([0, 1, 2])
        let actions = fixture.driver.held.map(\.action)
        #expect(Set(actions.map { ObjectIdentifier($0) }).count == 3)
        #expect(actions.allSatisfy { $0.retainCount == 2 })
        fixture.driver.answersNothing = false
        fixture.card.hasWork.store(true, ordering: .releasing)
        fixture.submit([3])
        #expect(fixture.recorder.taskIndices.count == 4)
        #expect(actions.allSatisfy { $0.retainCount == 1 })
        fixture.controller.stop()
    }

    @Test("refuses a task above maxTransferSize before the driver sees it")
    func transferGate() throws {
        let fixture = try Fixture(mode: .bundled)
        fixture.submit([0], byteCount: 65536 + 512)
        fixture.submit([1], byteCount: 65536)
        #expect(fixture.recorder.taskIndices == [0, 1])
        #expect(fixture.driver.seenTasks.count == 1)
        #expect(
            fixture.controller.tasks[0].serviceResponse
                == UInt8(kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE))
        fixture.controller.stop()
    }

    @Test("treats an immediate response other than Request_In_Process as a failure")
    func immediateResponse() throws {
        let fixture = try Fixture(mode: .legacy)
        fixture.driver.refusesTasks = true
        fixture.submit([5])
        #expect(fixture.recorder.taskIndices == [5])
        #expect(fixture.controller.tasks[5].taskStatus == 0xFF)
        fixture.controller.stop()
    }

    /// Gives a task to the device, and refuses it.
    private final class GivingDriver: EchoDriver, @unchecked Sendable {
        let pin = Mutex<DART.Pin?>(nil)

        override func UserProcessParallelTask(
            _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
        ) -> kern_return_t {
            if !refusesTasks { return super.UserProcessParallelTask(request, &response, completion) }
            pin.withLock { $0 = card.dart.pin(request.fBufferIOVMAddr) }
            return super.UserProcessParallelTask(request, &response, completion)
        }
    }

    @Test(
        "a task whose memory the device works on does not end, whatever the driver says", arguments: [false, true])
    func deviceWorksOnRefused(pinsCommands: Bool) throws {
        let fixture = try Fixture(mode: .legacy, driverClass: GivingDriver.self, pinsCommands: pinsCommands)
        let driver = fixture.driver as! GivingDriver
        driver.refusesTasks = true
        fixture.submit([5])
        #expect(fixture.recorder.taskIndices == [])
        #expect(fixture.controller.hasTasks)
        driver.refusesTasks = false
        // Others go on; the slot is nobody's meanwhile.
        fixture.submit(Array(10..<UInt32(10 + 2 * EchoDriver.taskCount)))
        #expect(fixture.recorder.taskIndices.count == 2 * EchoDriver.taskCount)
        #expect(Set(driver.seenTasks.map(\.fTaskTagIdentifier)).count == EchoDriver.taskCount - 1)
        driver.pin.withLock { $0 = nil }
        fixture.controller.pump(lane: fixture.lane)
        #expect(fixture.recorder.taskIndices.last == 5 && fixture.outcome(5) == [1, 0xFF])
        #expect(!fixture.controller.hasTasks)
        fixture.submit(Array(40..<UInt32(40 + EchoDriver.taskCount)))
        #expect(Set(driver.seenTasks.map(\.fTaskTagIdentifier)).count == EchoDriver.taskCount)
        fixture.controller.stop()
    }

    /// Answers GOOD for all bytes of a task, whatever of them was filled.
    private final class FillingDriver: EchoDriver, @unchecked Sendable {
        /// How many bytes the device fills of each task, in commands of half of that.
        var filledByteCount: UInt64 = 0
        var takesBuffer = false

        override func UserProcessParallelTask(
            _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
        ) -> kern_return_t {
            for _ in 0..<2 {
                if let pin = card.dart.pin(request.fBufferIOVMAddr) { pin.end(filling: filledByteCount / 2) }
            }
            if takesBuffer {
                for byteCount in [100, 200] {
                    var buffer: IOBufferMemoryDescriptor?
                    _ = UserGetDataBuffer(request.fTargetID, request.fControllerTaskIdentifier, &buffer)
                    var map: IOMemoryMap?
                    _ = buffer?.CreateMapping(0, 0, 0, 0, 0, &map)
                    let memory = UnsafeMutableRawPointer(bitPattern: UInt(map!.GetAddress()))!
                    memory.storeBytes(of: 7, toByteOffset: byteCount, as: UInt8.self)
                }
            }
            return super.UserProcessParallelTask(request, &response, completion)
        }
    }

    @Test("what a read has moved is no more than its device has filled, whatever the driver says")
    func goodWithoutData() throws {
        let fixture = try Fixture(mode: .legacy, driverClass: FillingDriver.self, countsFilledBytes: true)
        let driver = fixture.driver as! FillingDriver
        for (taskIndex, filled) in [UInt64(0), 2, 256, 512, 1 << 20].enumerated() {
            driver.filledByteCount = filled
            fixture.submit([UInt32(taskIndex)])
            #expect(fixture.outcome(UInt32(taskIndex)) == [2, 0])
            #expect(fixture.controller.tasks[taskIndex].realizedTransferCount == min(filled, 512))
        }
        fixture.controller.stop()
    }

    @Test("a driver that fills a read's memory itself finds zeros there, the first time")
    func bufferForDriver() throws {
        let fixture = try Fixture(mode: .legacy, driverClass: FillingDriver.self, countsFilledBytes: true)
        let memory = fixture.controller.arena.base
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE, count: 1024)
        (fixture.driver as! FillingDriver).takesBuffer = true
        fixture.submit([0])
        #expect(fixture.controller.tasks[0].realizedTransferCount == 512)
        let bytes = UnsafeRawBufferPointer(start: memory, count: 1024)
        #expect(bytes.indices.allSatisfy { bytes[$0] == ($0 >= 512 ? 0xEE : $0 == 100 || $0 == 200 ? 7 : 0) })
        fixture.controller.stop()
    }

    @Test("lets a completion submit the next task on the same lane")
    func resubmission() throws {
        let fixture = try Fixture(mode: .bundled)
        fixture.recorder.whenCompleted = { taskIndices, _ in
            if taskIndices == [0] { fixture.submit([1]) }
        }
        fixture.submit([0])
        #expect(fixture.recorder.taskIndices == [0, 1])
        fixture.recorder.whenCompleted = nil
        fixture.controller.stop()
    }

    @Test("creates a target once, never above the highest ID nor at the initiator's")
    func targets() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(fixture.controller.createTarget(3, properties: [:]) == kIOReturnSuccess)
        #expect(fixture.controller.createTarget(3, properties: [:]) == kIOReturnExclusiveAccess)
        #expect(fixture.controller.createTarget(7, properties: [:]) == kIOReturnBadArgument)
        #expect(fixture.controller.createTarget(8, properties: [:]) == kIOReturnBadArgument)
        fixture.controller.stop()
    }

    /// A driver that ends the younger of two writes while its device has seen neither.
    @Test("a write overtakes another only at the same logical unit", arguments: [0, 1])
    func overtaking(secondUnit: UInt8) throws {
        let fixture = try Fixture(mode: .bundled, pinsCommands: true)
        let controller = fixture.controller
        controller.attach(fixture.recorder, at: UnitAddress(targetID: 0, logicalUnit: 1))
        fixture.driver.answersInReverse = true
        for (taskIndex, unit) in [(UInt32(0), UInt8(0)), (1, secondUnit)] {
            controller.fillTask(taskIndex, byteCount: 512)
            let cdb = CommandDescriptorBlock.transfer(isWrite: true, lba: 5, blockCount: 1, forceUnitAccess: false)
            controller.tasks[Int(taskIndex)].cdb = cdb.bytes
            controller.tasks[Int(taskIndex)].direction = .initiatorToTarget
            controller.tasks[Int(taskIndex)].logicalUnit = unit
        }
        [UInt32(0), 1].withUnsafeBufferPointer { controller.submit($0, lane: fixture.lane) }
        #expect(fixture.recorder.wait(for: 2))
        #expect(fixture.faults.contains(.overlappingWritesReordered) == (secondUnit == 0))
        #expect(fixture.faults.contains(.writeNotExecuted))
        controller.stop()
    }
}
