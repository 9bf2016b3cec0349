import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// Ends tasks that the driver does not end: it keeps them, has died, or was stopped. A task ends only when the device
/// has left its memory.
///
/// Threads: any; `prepareLane` and `giveLaneBack` on one control thread.
final class TaskEnding: @unchecked Sendable {
    // SAFETY: `ownLane` changes only while the driver cannot end; the rest never changes.
    private let card: PCIFunction
    private let slots: SlotTable
    private let pool: TaskSlots
    private let tasks: TaskTable
    private let dispatcher: TaskDispatcher
    private let pump: LanePump
    private let state: DriverState
    private let options: KernelOptions
    /// A lane for the end of a driver's process, when none may be left.
    private var ownLane: Int?

    init(parts: KernelParts, dispatcher: TaskDispatcher, pump: LanePump) {
        card = parts.card
        slots = dispatcher.slots
        pool = dispatcher.pool
        tasks = parts.tasks
        self.dispatcher = dispatcher
        self.pump = pump
        state = parts.state
        options = parts.options
    }

    // MARK: The lane

    /// Takes a lane for the end of a driver that may end at any time.
    /// - Throws: if no lane is left.
    func prepareLane() throws {
        assert(ownLane == nil, "the lane for the driver's end was made twice")
        ownLane = try pump.makeOwnLane()
    }

    func giveLaneBack() {
        if let ownLane { pump.releaseOwnLane(ownLane) }
        ownLane = nil
    }

    /// Calls `body` with a lane for ending tasks; does nothing if none is left.
    private func withLane(_ body: (Int) -> Void) {
        if let ownLane { return body(ownLane) }
        guard let lane = try? pump.makeOwnLane() else { return }
        body(lane)
        pump.releaseOwnLane(lane)
    }

    // MARK: One task

    /// Completes a task that the driver keeps. While the device works on its memory, the task gets another grace
    /// instead.
    func endWithoutDriver(_ task: SentTask, status: UInt32, lane: Int) {
        let taskIndex = pool.abandon(task) {
            // A task that is not ended goes on as it is.
            !slots.isInDevice(task.slot) && card.dart.unmap(window: task.slot.number)
        }
        guard let taskIndex else { return pool.setRecovery(task, .targetReset, deadline: options.afterGrace) }
        tasks.end(taskIndex, status: status, lane: lane)
    }

    /// Takes back a task, wherever it is, since nobody waits for its answer any more. When this returns, the task and
    /// its memory are the caller's again.
    /// - Parameter answered: set by the completion of the task.
    func withdraw(_ taskIndex: TaskIndex, answered: OneShotEvent) {
        assert(tasks.has(taskIndex), "task \(taskIndex) is withdrawn, which does not exist")
        let lane = Int(taskIndex) / TaskTable.tasksPerLane
        let status = kSCSITaskStatus_DeliveryFailure
        while !answered.isSet {
            if let task = pool.sent(taskIndex: taskIndex) {
                endWithoutDriver(task, status: status, lane: lane)
            } else if pool.takeWaiting(taskIndex: taskIndex) {
                tasks.end(taskIndex, status: status, lane: lane)
            } else {
                dispatcher.failUnsent(status: status, lane: lane) { pool.takeUnsent(taskIndex: taskIndex, into: $0) }
            }
            pump.finishWork(lane: lane)
            // The device may work on the task, or another thread may be passing it on.
            if !answered.isSet { _ = OneShotEvent().wait(milliseconds: 1) }
        }
    }

    // MARK: Tasks that the driver has not got

    /// Fails the tasks that wait to be sent and whose time is up: the driver does not fetch them.
    func failExpiredUnsent(lane: Int) {
        dispatcher.failUnsent(status: kSCSITaskStatus_TaskTimeoutOccurred, lane: lane) {
            pool.takeExpiredUnsent(now: options.clock.milliseconds, into: $0)
        }
    }

    private func failAllUnsent(lane: Int) {
        dispatcher.failUnsent(status: kSCSITaskStatus_DeviceNotPresent, lane: lane) {
            (pool.takeUnsent(into: $0), false)
        }
    }

    /// Fails the tasks that wait for a slot when the driver has kept every slot, or was stopped.
    func failStarved(lane: Int) {
        let countMax = TaskTable.tasksPerLane
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: countMax) { taskIndices in
            repeat {
                let count = pool.takeStarved(into: taskIndices.baseAddress!, limit: countMax)
                guard count > 0 else { return }
                tasks.end(
                    UnsafeMutableBufferPointer(rebasing: taskIndices[..<count]),
                    status: kSCSITaskStatus_DeviceNotPresent, lane: lane)
            } while state.isStopping
        }
    }

    // MARK: A driver that is gone

    /// Takes all tasks back from a driver whose process ended, so that the upper layers send them again.
    func takeAllBack() { withLane { takeAllBack(lane: $0) } }

    private func takeAllBack(lane: Int) {
        pump.pump(lane: lane)
        for slot in pool.ownedOrAbandoned() {
            slots.end(slot, status: kSCSITaskStatus_DeliveryFailure, route: pool.route(of: slot))
        }
        while true {
            pump.finishWork(lane: lane)
            if !pool.hasTasksOfDriver { return }
            // The card works on the memory of the remaining tasks, or another thread reads their responses.
            _ = OneShotEvent().wait(milliseconds: 1)
        }
    }

    /// Ends all tasks that are left when the driver's Stop has returned: those that it owned, those not sent, and those
    /// that waited for a slot.
    func endTasksOfStoppedDriver() {
        let owned = pool.ownedByDriver()
        if !owned.isEmpty {
            let list = slots.describe(owned.prefix(8))
            dispatcher.log.report(
                .tasksOutstandingAtStop,
                "\(owned.count) tasks were outstanding when Stop returned: \(list.joined(separator: "; "))")
        }
        withLane { endTasksOfDriverThatIsGone(lane: $0) }
    }

    /// Ends all tasks of a driver that was stopped or given up. Returns when the device has left their memory.
    func endTasksOfDriverThatIsGone(lane: Int) {
        assert(
            state.isStopping || state.isDriverGone.load(ordering: .acquiring),
            "the tasks of a driver that is at work were ended")
        // A completion that came before this counts.
        _ = dispatcher.deliverCompletions(lane: lane)
        failAllUnsent(lane: lane)
        failStarved(lane: lane)
        endTasksThatDeviceLeaves(lane: lane)
    }

    /// Takes the tasks from a stopped driver, each when the device has left its memory. The card's threads go on
    /// meanwhile.
    private func endTasksThatDeviceLeaves(lane: Int) {
        waitForDevice(milliseconds: Self.stopMilliseconds) {
            for task in pool.ownedByDriver() {
                endWithoutDriver(task, status: kSCSITaskStatus_DeviceNotPresent, lane: lane)
            }
            pump.finishWork(lane: lane)
            // A slot may have been on its way into the queue or to the driver when the pool was closed.
            if pool.hasUnsent { failAllUnsent(lane: lane) }
            return pool.ownedByDriver().isEmpty && !pool.hasLingering && !pool.hasUnsent
        }
    }

    /// The longest time for which a stop waits for the device.
    private static let stopMilliseconds: UInt64 = 10_000

    /// Waits until the device has done all tasks that the driver has, or the time is up: a driver may keep some tasks
    /// from the device.
    func waitForDevice(milliseconds: UInt64) {
        guard card.pinsCommands else { return }
        waitForDevice(milliseconds: milliseconds) {
            pool.ownedByDriver().allSatisfy { !slots.isInDevice($0.slot) && slots.commandCount(of: $0.slot) != 0 }
        }
    }

    /// Looks at once and every 5 ms until the device is done or the time is up.
    private func waitForDevice(milliseconds: UInt64, until isDone: () -> Bool) {
        assert(milliseconds > 0, "a wait for the device takes no time")
        let limit = options.clock.milliseconds + milliseconds
        if isDone() { return }
        _ = options.clock.wait(for: OneShotEvent(), everyMilliseconds: 5) {
            isDone() || options.clock.milliseconds >= limit
        }
    }
}
