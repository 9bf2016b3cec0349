import Diagnostics
import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// The recovery of tasks whose time is up. The controller asks the driver to abort the task, then to reset the logical
/// unit, then the target. After each step the driver has `recoveryGraceMilliseconds` to complete the task; then the
/// task is ended without the driver.
///
/// IOKit's open code times a task out at once and never asks for task management by itself. The steps are those of
/// SAM's task management functions.
extension ParallelController {
    /// Takes the next step for each task whose time is up. On the watchdog's thread.
    func recoverExpiredTasks(lane: Int) {
        var isReachable = true
        while acceptsTasks.load(ordering: .relaxed), let task = pool.nextExpired(now: options.clock.milliseconds) {
            recover(task, isReachable: &isReachable, lane: lane)
        }
        failExpiredUnsent(lane: lane)
        failStarvedRows(lane: lane)
        finishWork(lane: lane)
    }

    private func recover(_ task: TaskSlots.Sent, isReachable: inout Bool, lane: Int) {
        // The slot holds the task's command only while the driver has the task.
        guard
            let (address, tag) = pool.whileWithDriver(
                task, { (self.address(of: task.slot), slots.commands[Int(task.slot)].fTaskTagIdentifier) })
        else { return }
        let target = UInt64(address.targetID)
        let unit = UInt64(address.logicalUnit)
        if task.recovery != .none { reportOverdue(task) }
        let next: TaskSlots.RecoveryStep
        let function: TaskManagementFunction
        switch task.recovery {
        case .none where !card.dart.isPinned(window: Int(task.slot)):
            // The device may have ended the task just now, and the driver may be about to complete it.
            return pool.setRecovery(task, .overdue, deadline: afterGrace)
        case .none, .overdue:
            next = .aborted
            function = .abortTask(targetID: target, logicalUnit: unit, tag: tag)
        case .aborted:
            next = .unitReset
            function = .logicalUnitReset(targetID: target, logicalUnit: unit)
        case .unitReset:
            next = .targetReset
            function = .targetReset(targetID: target)
        case .targetReset:
            return endWithoutDriver(task, status: kSCSITaskStatus_TaskTimeoutOccurred, lane: lane)
        }
        switch isReachable ? ask(function) : .unreachable {
        case .done:
            pool.setRecovery(task, next, deadline: afterGrace)
            noteReset(of: address, next)
        // A refused request changes nothing, so the next step follows at once.
        case .refused: pool.setRecovery(task, next, deadline: options.clock.milliseconds &- 1)
        case .unreachable:
            // The driver would not hear further requests either. One wait in vain is enough for this look.
            if isReachable { host.end(startsAgain: true) }
            isReachable = false
            pool.setRecovery(task, .targetReset, deadline: options.clock.milliseconds &- 1)
        }
    }

    /// Notes a reset for the other tasks that it ends: those of the logical unit, or of all units of the target. The
    /// ones in recovery get the grace to come back, and no reset of their own.
    private func noteReset(of address: UnitAddress, _ step: TaskSlots.RecoveryStep) {
        guard step == .unitReset || step == .targetReset else { return }
        pool.setRecoveryOfOverdue(step, deadline: afterGrace) { slot in
            let other = self.address(of: slot)
            return step == .targetReset ? other.targetID == address.targetID : other == address
        }
    }

    private var afterGrace: UInt64 { options.clock.milliseconds + options.recoveryGraceMilliseconds }

    /// Asks the driver, on another thread: a driver that is stuck may not return from this call either.
    private func ask(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let answer = Answer()
        do {
            try OSThread(name: "recovery") { [self] in answer.set(host.perform(function)) }.detach()
        } catch { return .unreachable }
        return answer.wait(milliseconds: Self.askMilliseconds, by: options.clock) ?? .unreachable
    }

    /// The time that a driver has to return from a request for task management.
    private static let askMilliseconds = 2000

    /// Completes a task that the driver keeps. While the device works on its memory, the task gets another grace
    /// instead.
    private func endWithoutDriver(_ task: TaskSlots.Sent, status: UInt32, lane: Int) {
        let taskIndex = pool.abandon(task) {
            // A task that is not ended goes on as it is.
            !card.dart.isPinned(window: Int(task.slot)) && card.dart.unmap(window: Int(task.slot))
        }
        guard var taskIndex else { return pool.setRecovery(task, .targetReset, deadline: afterGrace) }
        fail(taskIndex: taskIndex, status: status)
        withUnsafeMutablePointer(to: &taskIndex) {
            deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane)
        }
    }

    /// Takes back a task, wherever it is, since nobody waits for its answer any more. When this returns, the task and
    /// its memory are the caller's again.
    /// - Parameter answered: set by the completion of the task.
    func withdraw(_ taskIndex: TaskIndex, answered: OneShotEvent) {
        let lane = Int(taskIndex) / tasksPerLane
        while !answered.isSet {
            if let task = pool.sent(taskIndex: taskIndex) {
                endWithoutDriver(task, status: kSCSITaskStatus_DeliveryFailure, lane: lane)
            } else if let slot = pool.takeUnsent(taskIndex: taskIndex) {
                withUnsafePointer(to: slot) {
                    failUnsent(
                        UnsafeBufferPointer(start: $0, count: 1), status: kSCSITaskStatus_DeliveryFailure, lane: lane)
                }
            } else if pool.takeWaiting(taskIndex: taskIndex) {
                fail(taskIndex: taskIndex, status: kSCSITaskStatus_DeliveryFailure)
                var taskIndex = taskIndex
                withUnsafeMutablePointer(to: &taskIndex) {
                    deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane)
                }
            }
            finishWork(lane: lane)
            // The device may work on the task, or another thread may be passing it on.
            if !answered.isSet { _ = OneShotEvent().wait(milliseconds: 1) }
        }
    }

    /// Reports who is to blame for a task that has not come back.
    private func reportOverdue(_ task: TaskSlots.Sent) {
        let slot = task.slot
        let diagnosis: Diagnosis?? = pool.whileWithDriver(task) {
            // A device at work is slow. The driver is not to blame so far.
            if card.dart.isPinned(window: Int(slot)) || records[Int(slot)].isNamedOverdue { return nil }
            records[Int(slot)].isNamedOverdue = true
            let wasSeen = card.dart.pinCount(window: Int(slot)) != records[Int(slot)].pinCount
            let text = "\(describe(slot)) in slot \(slot) was not completed in time"
            if card.pinsCommands && !wasSeen && pool.route(of: slot) == .bundled {
                return Diagnosis(.bundledSlotDropped, "\(text), and the device has never seen it")
            }
            let device =
                !card.pinsCommands ? "" : wasSeen ? "; the device has done it" : "; the device has never seen it"
            return Diagnosis(.taskNeverCompleted, text + device)
        }
        if let diagnosis, let diagnosis { log.report(diagnosis) }
    }

    /// Fails the tasks that wait to be sent and whose time is up: the driver does not fetch them.
    private func failExpiredUnsent(lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { unsent in
            let count = pool.takeExpiredUnsent(now: options.clock.milliseconds, into: unsent.baseAddress!)
            failUnsent(
                UnsafeBufferPointer(rebasing: unsent[..<count]), status: kSCSITaskStatus_TaskTimeoutOccurred, lane: lane
            )
        }
    }

    private func failUnsent(_ unsent: UnsafeBufferPointer<UInt16>, status: UInt32, lane: Int) {
        guard !unsent.isEmpty else { return }
        for slot in unsent { fail(taskIndex: pool.taskIndex(of: slot), status: status) }
        finish(unsent, lane: lane)
    }

    /// Fails the tasks that wait for a slot when the driver has kept every slot, or was stopped.
    private func failStarvedRows(lane: Int) {
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: tasksPerLane) { taskIndices in
            repeat {
                let count = pool.takeStarved(into: taskIndices.baseAddress!, limit: tasksPerLane)
                guard count > 0 else { return }
                for index in 0..<count { fail(taskIndex: taskIndices[index], status: kSCSITaskStatus_DeviceNotPresent) }
                deliver(UnsafeMutableBufferPointer(rebasing: taskIndices[..<count]), lane: lane)
            } while isStopping
        }
    }

    /// Ends all tasks that are left when the driver's Stop has returned: those that it owned, those not sent, and those
    /// that waited for a slot.
    func endTasksOfStoppedDriver() {
        let owned = pool.ownedByDriver()
        if !owned.isEmpty {
            let list = owned.prefix(8).compactMap { task in pool.whileWithDriver(task) { describe(task.slot) } }
            log.report(
                .tasksOutstandingAtStop,
                "\(owned.count) tasks were outstanding when Stop returned: \(list.joined(separator: "; "))")
        }
        withEndingLane { endTasksOfDriverThatIsGone(lane: $0) }
    }

    /// Ends all tasks of a driver that was stopped or given up. Returns when the device has left their memory.
    func endTasksOfDriverThatIsGone(lane: Int) {
        // A completion that came before this counts.
        _ = deliverCompletions(lane: lane)
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { unsent in
            let count = pool.takeUnsent(into: unsent.baseAddress!)
            failUnsent(
                UnsafeBufferPointer(rebasing: unsent[..<count]), status: kSCSITaskStatus_DeviceNotPresent, lane: lane)
        }
        failStarvedRows(lane: lane)
        endTasksThatDeviceLeaves(lane: lane)
    }

    /// Takes the tasks from a stopped driver, each when the device has left its memory. The card's threads go on
    /// meanwhile.
    private func endTasksThatDeviceLeaves(lane: Int) {
        waitForDevice(milliseconds: Self.stopMilliseconds) {
            for task in pool.ownedByDriver() {
                endWithoutDriver(task, status: kSCSITaskStatus_DeviceNotPresent, lane: lane)
            }
            finishWork(lane: lane)
            return pool.ownedByDriver().isEmpty && !pool.hasLingering
        }
    }

    /// The longest time for which a stop waits for the device.
    private static let stopMilliseconds: UInt64 = 10_000

    /// Waits until the device has done all tasks that the driver has, or the time is up: a driver may keep some tasks
    /// from the device.
    package func waitForDevice(milliseconds: UInt64) {
        guard card.pinsCommands else { return }
        waitForDevice(milliseconds: milliseconds) {
            pool.ownedByDriver().allSatisfy { task in
                !card.dart.isPinned(window: Int(task.slot))
                    && card.dart.pinCount(window: Int(task.slot)) != records[Int(task.slot)].pinCount
            }
        }
    }

    /// Looks at once and every 5 ms until the device is done or the time is up.
    private func waitForDevice(milliseconds: UInt64, until isDone: () -> Bool) {
        let limit = options.clock.milliseconds + milliseconds
        if isDone() { return }
        _ = options.clock.wait(for: OneShotEvent(), everyMilliseconds: 5) {
            isDone() || options.clock.milliseconds >= limit
        }
    }

    /// Describes why nothing moves: what each queue does, and every task that the driver has.
    package func dump() -> String {
        var lines = ["queues"] + host.picture().map { "  " + $0 }
        let owned = pool.ownedByDriver()
        lines.append("tasks with the driver: \(owned.count) of \(pool.count) slots")
        for task in owned {
            let slot = task.slot
            let seen =
                card.dart.isPinned(window: Int(slot))
                ? "in the device"
                : card.dart.pinCount(window: Int(slot)) != records[Int(slot)].pinCount
                    ? "done by the device" : "not seen by the device"
            lines.append("  slot \(slot): \(describe(slot)), \(pool.route(of: slot)), \(seen)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// A driver's answer to a request that another thread makes.
private final class Answer: @unchecked Sendable {
    // SAFETY: written before `isGiven` is set, read after.
    private var outcome = TaskManagementOutcome.unreachable
    private let isGiven = OneShotEvent()

    func set(_ outcome: TaskManagementOutcome) {
        self.outcome = outcome
        isGiven.set()
    }

    /// The answer; nil when it takes too long.
    func wait(milliseconds: Int, by clock: DeadlineClock) -> TaskManagementOutcome? {
        clock.wait(for: isGiven, milliseconds: milliseconds) ? outcome : nil
    }
}
