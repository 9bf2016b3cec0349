// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import DriverHost
import ParallelInterface
import Platform
import SCSIControllerDriverKit
import TestTraits
import Testing

/// Notes requests for task management and says that it has done them.
class ObedientDriver: EchoDriver, @unchecked Sendable {
    var answersAtAbort = false
    var response = kSCSIServiceResponse_FUNCTION_COMPLETE

    override func UserAbortTaskRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ tag: SCSITaggedTaskIdentifier,
        _ response: inout UInt32
    ) -> kern_return_t {
        note("abort")
        if answersAtAbort { answerAll() }
        response = self.response
        return kIOReturnSuccess
    }

    override func UserLogicalUnitResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t {
        note("unit reset")
        noteReset(target: targetID, unit: logicalUnit)
        response = self.response
        return kIOReturnSuccess
    }

    override func UserTargetResetRequest(_ targetID: SCSIDeviceIdentifier, _ response: inout UInt32) -> kern_return_t {
        note("target reset")
        noteReset(target: targetID, unit: nil)
        response = self.response
        return kIOReturnSuccess
    }

    /// "0:1" for a reset of a logical unit, "0" for that of a target.
    private(set) var resets: [String] = []

    // On the Default queue; read when all is over.
    private func noteReset(target: UInt64, unit: UInt64?) {
        resets.append("\(target)" + (unit.map { ":\($0)" } ?? ""))
    }

    var requests: [String] { calls.filter { $0 == "abort" || $0.hasSuffix(" reset") } }
}

/// Does not return from the call that brings a task, or from an abort, before it is told to.
final class StuckDriver: ObedientDriver, @unchecked Sendable {
    let mayReturn = OneShotEvent()
    let isStuck = OneShotEvent()
    var sticksAtAbort = false
    var sticksAtTask = false

    override func UserProcessParallelTask(
        _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        let status = super.UserProcessParallelTask(request, &response, completion)
        if sticksAtTask { stick() }
        return status
    }

    override func UserAbortTaskRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ tag: SCSITaggedTaskIdentifier,
        _ response: inout UInt32
    ) -> kern_return_t {
        if sticksAtAbort { stick() }
        return super.UserAbortTaskRequest(targetID, logicalUnit, tag, &response)
    }

    private func stick() {
        isStuck.set()
        mayReturn.wait()
    }
}

@Suite("Recovery", .blocks)
struct RecoveryTests {
    private static let timedOut: [UInt8] = [1, 1]
    /// Time for all steps.
    private static let untilEnded: UInt64 = 300

    private func makeFixture(_ driverClass: EchoDriver.Type, mode: DriverMode = .legacy) throws -> Fixture {
        try Fixture(
            mode: mode, driverClass: driverClass,
            options: {
                $0.taskTimeoutMilliseconds = 60
                $0.recoveryGraceMilliseconds = 40
                $0.watchdogMilliseconds = 10
                $0.slowCallMilliseconds = 200
            })
    }

    @Test("a task that is never completed is aborted, its unit reset, its target reset, and then ended")
    func steps() throws {
        let fixture = try makeFixture(ObedientDriver.self)
        fixture.driver.answersNothing = true
        fixture.submit([3])
        // It is seen at 70 ms, and may be on its way then.
        let steps = ["abort", "unit reset", "target reset"]
        for (milliseconds, count) in [(70, 0), (40, 0), (10, 1), (40, 1), (10, 2), (40, 2), (10, 3), (40, 3)] {
            fixture.clock.turn(byMilliseconds: UInt64(milliseconds))
            #expect((fixture.driver as! ObedientDriver).requests == Array(steps[..<count]))
        }
        #expect(fixture.recorder.taskIndices == [])
        fixture.clock.turn(byMilliseconds: 10)
        #expect(fixture.recorder.taskIndices == [3])
        #expect(fixture.outcome(3) == Self.timedOut)
        #expect(fixture.faults == [.taskNeverCompleted])
        fixture.controller.stop()
        #expect(fixture.recorder.taskIndices == [3])
    }

    @Test("a unit's reset is asked for once for each unit, and the target's once for all of them")
    func logicalUnits() throws {
        let fixture = try makeFixture(ObedientDriver.self)
        fixture.controller.attach(fixture.recorder, at: UnitAddress(targetID: 0, logicalUnit: 1))
        fixture.driver.answersNothing = true
        fixture.submit([0, 1])
        fixture.submit([2, 3], logicalUnit: 1)
        fixture.clock.turn(byMilliseconds: Self.untilEnded)
        #expect(fixture.recorder.taskIndices.count == 4)
        let driver = fixture.driver as! ObedientDriver
        #expect(driver.requests.filter { $0 == "abort" }.count == 4)
        #expect(driver.resets.sorted() == ["0", "0:0", "0:1"])
        for taskIndex in UInt32(0)...3 { #expect(fixture.outcome(taskIndex) == Self.timedOut) }
        fixture.controller.stop()
    }

    @Test("a driver that rejects the requests is asked for each all the same")
    func rejections() throws {
        let fixture = try makeFixture(ObedientDriver.self, mode: .bundled)
        (fixture.driver as! ObedientDriver).response = kSCSIServiceResponse_FUNCTION_REJECTED
        fixture.driver.answersNothing = true
        fixture.submit([3])
        // None of the steps is waited for.
        fixture.clock.turn(byMilliseconds: 120)
        #expect(fixture.recorder.taskIndices == [3])
        #expect((fixture.driver as! ObedientDriver).requests == ["abort", "unit reset", "target reset"])
        #expect(fixture.outcome(3) == Self.timedOut)
        fixture.controller.stop()
    }

    @Test("a task that comes back after the abort has its own status, and the next one in its slot is left alone")
    func completionAfterAbort() throws {
        let fixture = try makeFixture(ObedientDriver.self)
        let driver = fixture.driver as! ObedientDriver
        driver.answersNothing = true
        driver.answersAtAbort = true
        for taskIndex in UInt32(0)..<5 {
            fixture.submit([taskIndex])
            fixture.clock.turn(byMilliseconds: 120)
            #expect(fixture.recorder.taskIndices.last == taskIndex)
            #expect(fixture.outcome(taskIndex) == [2, 0])
        }
        fixture.clock.turn(byMilliseconds: Self.untilEnded)
        #expect(driver.requests == Array(repeating: "abort", count: 5))
        fixture.controller.stop()
    }

    @Test("a late completion changes nothing, and gives the slot back", arguments: [DriverMode.legacy, .bundled])
    func lateCompletion(mode: DriverMode) throws {
        let fixture = try makeFixture(ObedientDriver.self, mode: mode)
        fixture.driver.answersNothing = true
        fixture.submit([0, 1, 2, 3])
        fixture.clock.turn(byMilliseconds: Self.untilEnded)
        #expect(fixture.recorder.taskIndices.count == 4)
        fixture.driver.answersNothing = false
        fixture.card.hasWork.store(true, ordering: .releasing)
        // Each slot is used again, the late ones too.
        let taskIndices = Array(UInt32(10)..<40)
        fixture.submit(taskIndices)
        #expect(fixture.recorder.taskIndices.sorted() == [0, 1, 2, 3] + taskIndices)
        for taskIndex in UInt32(0)...3 { #expect(fixture.outcome(taskIndex) == Self.timedOut) }
        for taskIndex in taskIndices { #expect(fixture.outcome(taskIndex) == [2, 0]) }
        #expect(fixture.faults == [.taskNeverCompleted])
        fixture.controller.stop()
    }

    @Test("tasks fail when the driver has kept every slot")
    func starvation() throws {
        let fixture = try makeFixture(ObedientDriver.self)
        fixture.driver.answersNothing = true
        let count = UInt32(EchoDriver.taskCount)
        fixture.submit(Array(0..<count + 3))
        fixture.clock.turn(byMilliseconds: Self.untilEnded)
        #expect(fixture.recorder.taskIndices.sorted() == Array(0..<count + 3))
        for taskIndex in 0..<count { #expect(fixture.outcome(taskIndex) == Self.timedOut) }
        for taskIndex in count..<count + 3 { #expect(fixture.outcome(taskIndex) == [1, 4]) }
        fixture.controller.stop()
    }

    @Test("a driver that is stuck in a call is reported; its tasks, and those that wait to be sent, time out")
    func stuckInTask() throws {
        let fixture = try makeFixture(StuckDriver.self)
        let driver = fixture.driver as! StuckDriver
        driver.sticksAtTask = true
        driver.answersNothing = true
        let otherLane = try fixture.controller.makeLane()
        let isFree = OneShotEvent()
        try OSThread(name: "stuck client") {
            fixture.submit([UInt32(otherLane * fixture.controller.tasksPerLane)], lane: otherLane)
            isFree.set()
        }.detach()
        driver.isStuck.wait()
        fixture.submit([0, 1])
        #expect(fixture.push { fixture.recorder.taskIndices.count == 3 && fixture.faults.contains(.queueCycle) })
        #expect(fixture.outcome(0) == Self.timedOut)
        #expect(fixture.outcome(1) == Self.timedOut)
        #expect(driver.requests == [])
        #expect(driver.seenTasks.count == 1)
        #expect(Set(fixture.faults) == [.taskNeverCompleted, .queueCycle])
        driver.mayReturn.set()
        isFree.wait()
        driver.sticksAtTask = false
        fixture.controller.stop()
        fixture.controller.releaseLane(otherLane)
    }

    @Test("a driver that does not return from an abort does not stop the watchdog")
    func stuckInAbort() throws {
        let fixture = try makeFixture(StuckDriver.self)
        let driver = fixture.driver as! StuckDriver
        driver.sticksAtAbort = true
        driver.answersNothing = true
        fixture.submit([0, 1, 2])
        #expect(fixture.push { fixture.recorder.taskIndices.count == 3 && fixture.faults.contains(.queueCycle) })
        for taskIndex in UInt32(0)...2 { #expect(fixture.outcome(taskIndex) == Self.timedOut) }
        driver.mayReturn.set()
        fixture.controller.stop()
    }
}
