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
        while acceptsTasks.load(ordering: .relaxed),
            let (slot, stage) = pool.nextExpired(now: monotonicMilliseconds())
        {
            recover(slot, stage, lane: lane)
        }
        failStarvedRows(lane: lane)
        pump(lane: lane)
        while hasOutstandingWork(lane: lane) { wait(lane: lane, orReadable: -1) }
    }

    private func recover(_ slot: UInt16, _ stage: TaskSlots.RecoveryStage, lane: Int) {
        let target = slots.commands[Int(slot)].fTargetID
        let next: TaskSlots.RecoveryStage
        let wasDone: Bool
        switch stage {
        case .none:
            reportOverdue(slot)
            next = .aborted
            wasDone = host.perform(
                .abortTask(targetID: target, logicalUnit: 0, tag: slots.commands[Int(slot)].fTaskTagIdentifier))
        case .aborted:
            next = .unitReset
            wasDone = host.perform(.logicalUnitReset(targetID: target, logicalUnit: 0))
        case .unitReset:
            next = .targetReset
            wasDone = host.perform(.targetReset(targetID: target))
        case .targetReset:
            return endWithoutDriver(slot, status: kSCSITaskStatus_TaskTimeoutOccurred, lane: lane)
        }
        // A request that was refused will change nothing: the next step follows at once.
        let pause = wasDone ? options.recoveryGraceMilliseconds : 0
        pool.setRecovery(slot, next, deadline: monotonicMilliseconds() &- 1 &+ pause)
    }

    /// Completes a task that the driver keeps. One whose memory the device works on has to wait for the device.
    private func endWithoutDriver(_ slot: UInt16, status: UInt32, lane: Int) {
        let wasEnded = pool.abandon(slot) {
            guard !card.dart.isPinned(window: Int(slot)) else { return false }
            card.dart.unmap(window: Int(slot))
            return true
        }
        guard wasEnded else {
            return pool.setRecovery(
                slot, .targetReset, deadline: monotonicMilliseconds() + options.recoveryGraceMilliseconds)
        }
        var row = pool.row(of: slot)
        fail(row: row, status: status)
        withUnsafeMutablePointer(to: &row) { deliver(UnsafeMutableBufferPointer(start: $0, count: 1), lane: lane) }
    }

    /// Says whose fault it is that a task has not come back.
    private func reportOverdue(_ slot: UInt16) {
        let isPinned = card.dart.isPinned(window: Int(slot))
        // The device is at work: it is slow, and the driver is not to blame.
        if isPinned { return }
        let wasSeen = card.dart.pinCount(window: Int(slot)) != records[Int(slot)].pinCount
        let text = "\(describe(slot)) in slot \(slot) was not completed in time"
        if card.pinsCommands && !wasSeen && pool.route(of: slot) == .bundled {
            log.report(.bundledSlotDropped, "\(text), and the device has never seen it")
        } else {
            let device =
                !card.pinsCommands ? "" : wasSeen ? "; the device has done it" : "; the device has never seen it"
            log.report(.taskNeverCompleted, text + device)
        }
    }

    /// Fails what waits for a slot when the driver has kept every slot.
    private func failStarvedRows(lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: rowsPerLane) { rows in
            let count = pool.takeStarved(into: rows.baseAddress!, limit: rowsPerLane)
            guard count > 0 else { return }
            for index in 0..<count { fail(row: rows[index], status: kSCSITaskStatus_DeviceNotPresent) }
            deliver(UnsafeMutableBufferPointer(rebasing: rows[..<count]), lane: lane)
        }
    }

    /// Ends what a driver still owned when its Stop returned.
    func endTasksOfStoppedDriver() {
        let owned = pool.ownedByDriver()
        guard !owned.isEmpty, let lane = try? makeLane() else { return }
        let list = owned.prefix(8).map { describe($0) }.joined(separator: "; ")
        log.report(.tasksOutstandingAtStop, "\(owned.count) tasks were outstanding when Stop returned: \(list)")
        for slot in owned { endWithoutDriver(slot, status: kSCSITaskStatus_DeviceNotPresent, lane: lane) }
        releaseLane(lane)
    }

    /// What each queue does, and every task that the driver owns: for whoever asks why nothing moves.
    package func dump() -> String {
        var lines = ["queues"] + host.context.waits.picture().map { "  " + $0 }
        let owned = pool.ownedByDriver()
        lines.append("tasks with the driver: \(owned.count) of \(pool.count) slots")
        for slot in owned {
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
