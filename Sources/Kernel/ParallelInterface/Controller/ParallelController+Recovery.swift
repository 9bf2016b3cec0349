import Diagnostics
import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// What happens to tasks whose time is up: the driver is asked to abort them, then to reset the logical unit, then the
/// target; what does not come back within a second of each is ended without the driver.
///
/// IOKit's open code times a task out at once and never asks for task management by itself; the steps are SAM's.
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
        // The slot's command is the task's only while the driver has it.
        guard
            let (address, tag) = pool.whileWithDriver(
                task, { (self.address(of: task.slot), slots.commands[Int(task.slot)].fTaskTagIdentifier) })
        else { return }
        let target = UInt64(address.targetID)
        let unit = UInt64(address.logicalUnit)
        if task.recovery != .none { reportOverdue(task) }
        let next: TaskSlots.RecoveryStage
        let function: TaskManagementFunction
        switch task.recovery {
        case .none where !card.dart.isPinned(window: Int(task.slot)):
            // The device may have ended it this moment, and the driver be on its way.
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
        // A request that was refused will change nothing: the next step follows at once.
        case .refused: pool.setRecovery(task, next, deadline: options.clock.milliseconds &- 1)
        case .unreachable:
            // Nor would others be heard; one that waits in vain is enough for this time.
            if isReachable { host.endUnreachable() }
            isReachable = false
            pool.setRecovery(task, .targetReset, deadline: options.clock.milliseconds &- 1)
        }
    }

    /// A reset ends the tasks of others too: a unit's those of the unit, a target's those of all its units. Those that are
    /// in trouble already have the grace to come back, and need not ask for it again.
    private func noteReset(of address: UnitAddress, _ stage: TaskSlots.RecoveryStage) {
        guard stage == .unitReset || stage == .targetReset else { return }
        pool.setRecoveryOfOverdue(stage, deadline: afterGrace) { slot in
            let other = self.address(of: slot)
            return stage == .targetReset ? other.targetID == address.targetID : other == address
        }
    }

    private var afterGrace: UInt64 { options.clock.milliseconds + options.recoveryGraceMilliseconds }

    /// Asks the driver, on a thread of its own: a driver that needs help may not return from this call either.
    private func ask(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let answer = Answer()
        do {
            try OSThread(name: "recovery") { [host] in answer.set(host.perform(function)) }.detach()
        } catch { return .unreachable }
        return answer.wait(milliseconds: 2000, by: options.clock) ?? .unreachable
    }

    /// Completes a task that the driver keeps. One whose memory the device works on has to wait for the device.
    private func endWithoutDriver(_ task: TaskSlots.Sent, status: UInt32, lane: Int) {
        let row = pool.abandon(task) {
            // A task that is not ended may go on as it is.
            !card.dart.isPinned(window: Int(task.slot)) && card.dart.unmap(window: Int(task.slot))
        }
        guard var row else { return pool.setRecovery(task, .targetReset, deadline: afterGrace) }
        fail(row: row, status: status)
        withUnsafeMutablePointer(to: &row) { deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane) }
    }

    /// Takes a task from wherever it is, since its answer is not waited for any more: its row and its memory are the
    /// caller's again when this returns.
    /// - Parameter answered: set by the completion of the row.
    func withdraw(_ row: UInt32, answered: OneShotEvent) {
        let lane = Int(row) / rowsPerLane
        while !answered.isSet {
            if let task = pool.sent(row: row) {
                endWithoutDriver(task, status: kSCSITaskStatus_DeliveryFailure, lane: lane)
            } else if let slot = pool.takeUnsent(row: row) {
                withUnsafePointer(to: slot) {
                    failUnsent(
                        UnsafeBufferPointer(start: $0, count: 1), status: kSCSITaskStatus_DeliveryFailure, lane: lane)
                }
            } else if pool.takeWaiting(row: row) {
                fail(row: row, status: kSCSITaskStatus_DeliveryFailure)
                var row = row
                withUnsafeMutablePointer(to: &row) {
                    deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane)
                }
            }
            finishWork(lane: lane)
            // The device may work on it, or another thread have it in its hands.
            if !answered.isSet { _ = OneShotEvent().wait(milliseconds: 1) }
        }
    }

    /// Says whose fault it is that a task has not come back.
    private func reportOverdue(_ task: TaskSlots.Sent) {
        let slot = task.slot
        let diagnosis: Diagnosis?? = pool.whileWithDriver(task) {
            // The device is at work: it is slow, and the driver is not to blame so far.
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

    /// Fails what waits to be sent to a driver that does not come for it.
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
        for slot in unsent { fail(row: pool.row(of: slot), status: status) }
        finish(unsent, lane: lane)
    }

    /// Fails what waits for a slot when the driver has kept every slot, or was stopped.
    private func failStarvedRows(lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: rowsPerLane) { rows in
            repeat {
                let count = pool.takeStarved(into: rows.baseAddress!, limit: rowsPerLane)
                guard count > 0 else { return }
                for index in 0..<count { fail(row: rows[index], status: kSCSITaskStatus_DeviceNotPresent) }
                deliver(UnsafeMutableBufferPointer(rebasing: rows[..<count]), lane: lane)
            } while isStopping
        }
    }

    /// Ends everything that is left when the driver's Stop has returned: what it owned, what was not sent, what waited.
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

    func endTasksOfDriverThatIsGone(lane: Int) {
        // What came back before that counts.
        _ = deliverCompletions(lane: lane)
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { unsent in
            let count = pool.takeUnsent(into: unsent.baseAddress!)
            failUnsent(
                UnsafeBufferPointer(rebasing: unsent[..<count]), status: kSCSITaskStatus_DeviceNotPresent, lane: lane)
        }
        failStarvedRows(lane: lane)
        endTasksThatDeviceLeaves(lane: lane)
    }

    /// Takes tasks from a stopped driver; whose memory the device works on, when it is done. Its threads see to that.
    private func endTasksThatDeviceLeaves(lane: Int) {
        let limit = options.clock.milliseconds + Self.stopMilliseconds
        while true {
            let owned = pool.ownedByDriver()
            for task in owned { endWithoutDriver(task, status: kSCSITaskStatus_DeviceNotPresent, lane: lane) }
            finishWork(lane: lane)
            let isDone = pool.ownedByDriver().isEmpty && !pool.hasLingering
            if isDone || options.clock.milliseconds >= limit { return }
            _ = OneShotEvent().wait(milliseconds: 5)
        }
    }

    /// How long a stop waits for the device at most.
    private static let stopMilliseconds: UInt64 = 10_000

    /// Waits until the device has done all tasks that the driver has; a driver may keep some from it.
    package func waitForDevice(milliseconds: UInt64) {
        let limit = options.clock.milliseconds + milliseconds
        while card.pinsCommands, options.clock.milliseconds < limit {
            let isDone = pool.ownedByDriver().allSatisfy { task in
                !card.dart.isPinned(window: Int(task.slot))
                    && card.dart.pinCount(window: Int(task.slot)) != records[Int(task.slot)].pinCount
            }
            if isDone { return }
            _ = OneShotEvent().wait(milliseconds: 5)
        }
    }

    /// What each queue does, and every task that the driver owns: for whoever asks why nothing moves.
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

/// What a driver said to a request that is made on another thread.
private final class Answer: @unchecked Sendable {
    // SAFETY: written before `isGiven` is set, read after.
    private var outcome = TaskManagementOutcome.unreachable
    private let isGiven = OneShotEvent()

    func set(_ outcome: TaskManagementOutcome) {
        self.outcome = outcome
        isGiven.set()
    }

    /// Nil when it takes too long.
    func wait(milliseconds: Int, by clock: DeadlineClock) -> TaskManagementOutcome? {
        clock.wait(for: isGiven, milliseconds: milliseconds) ? outcome : nil
    }
}
