import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// The recovery of tasks whose time is up. The kernel half asks the driver to abort the task, then to reset the logical
/// unit, then the target. After each step the driver has `recoveryGraceMilliseconds` to complete the task; then the
/// task is ended without the driver.
///
/// IOKit's open code times a task out at once and never asks for task management by itself. The steps are those of
/// SAM's task management functions.
///
/// Threads: `start` and `stop` on one control thread; the recovery on the watchdog's thread.
final class TaskRecovery: @unchecked Sendable {
    // SAFETY: `watchdog` belongs to the control thread; the rest never changes.
    private let host: any DriverHost
    private let slots: SlotTable
    private let pool: TaskSlots
    private let detectors: DriverDetectors
    private let ending: TaskEnding
    private let pump: LanePump
    private let lanes: LaneTable
    private let state: DriverState
    private let media: MediaWatch
    private let options: KernelOptions
    private var watchdog: LaneThread?

    init(parts: KernelParts, dispatcher: TaskDispatcher, pump: LanePump, ending: TaskEnding) {
        host = parts.host
        slots = dispatcher.slots
        pool = dispatcher.pool
        detectors = dispatcher.detectors
        self.ending = ending
        self.pump = pump
        lanes = parts.lanes
        state = parts.state
        media = parts.media
        options = parts.options
    }

    // MARK: The watchdog

    /// Starts the watchdog, which looks regularly for tasks whose time is up and for calls of the driver that do not
    /// return.
    /// - Throws: if no lane or no thread is left.
    func start() throws {
        assert(watchdog == nil, "the watchdog was started twice")
        watchdog = try LaneThread(name: "watchdog", lanes: pump) { [unowned self] in watch(lane: $0, until: $1) }
    }

    /// Ends the watchdog.
    func stop() {
        watchdog?.stop()
        watchdog = nil
    }

    /// Looks every `watchdogMilliseconds`, by the options' clock, until the event is set.
    private func watch(lane: Int, until stopped: OneShotEvent) {
        // Others depend on this thread.
        lanes[lane].pointee.mayWait = false
        var calls = SlowCalls(
            limitMilliseconds: options.slowCallMilliseconds, periodMilliseconds: UInt64(options.watchdogMilliseconds),
            clock: options.clock)
        _ = options.clock.wait(for: stopped, everyMilliseconds: options.watchdogMilliseconds) {
            // A driver in a process of its own has such a look there for its queues.
            let lost = calls.look(at: host.context)
            if lost > 0 { pool.extendDeadlines(byMilliseconds: lost) }
            recoverExpiredTasks(lane: lane)
            media.look(now: options.clock.milliseconds, log: host.context.log)
            if state.isDriverGone.load(ordering: .acquiring) { ending.endTasksOfDriverThatIsGone(lane: lane) }
            calls.rest()
            return false
        }
    }

    // MARK: The steps

    /// Takes the next step for each task whose time is up.
    private func recoverExpiredTasks(lane: Int) {
        var isReachable = true
        while !state.isStopping, let task = pool.nextExpired(now: options.clock.milliseconds) {
            recover(task, isReachable: &isReachable, lane: lane)
        }
        ending.failExpiredUnsent(lane: lane)
        ending.failStarved(lane: lane)
        pump.finishWork(lane: lane)
    }

    private func recover(_ task: SentTask, isReachable: inout Bool, lane: Int) {
        // The slot holds the task's command only while the driver has the task.
        guard
            let (address, tag) = pool.whileWithDriver(
                task, { (slots.address(of: task.slot), slots.commands[task.slot.number].fTaskTagIdentifier) })
        else { return }
        let target = UInt64(address.targetID)
        let unit = UInt64(address.logicalUnit)
        if task.recovery != .none { detectors.reportOverdue(task) }
        let next: RecoveryStep
        let function: TaskManagementFunction
        switch task.recovery {
        case .none where !slots.isInDevice(task.slot):
            // The device may have ended the task just now, and the driver may be about to complete it.
            return pool.setRecovery(task, .overdue, deadline: options.afterGrace)
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
            return ending.endWithoutDriver(task, status: kSCSITaskStatus_TaskTimeoutOccurred, lane: lane)
        }
        assert(next.rawValue > task.recovery.rawValue, "recovery took the step \(next) after \(task.recovery)")
        switch isReachable ? ask(function) : .unreachable {
        case .done:
            pool.setRecovery(task, next, deadline: options.afterGrace)
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
    private func noteReset(of address: UnitAddress, _ step: RecoveryStep) {
        guard step == .unitReset || step == .targetReset else { return }
        pool.setRecoveryOfOverdue(step, deadline: options.afterGrace) { slot in
            let other = slots.address(of: slot)
            return step == .targetReset ? other.targetID == address.targetID : other == address
        }
    }

    /// Asks the driver, on another thread: a driver that is stuck may not return from this call either.
    private func ask(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let answer = Answer()
        do {
            try OSThread(name: "recovery") { [host] in answer.set(host.perform(function)) }.detach()
        } catch { return .unreachable }
        return answer.wait(milliseconds: Self.askMilliseconds, by: options.clock) ?? .unreachable
    }

    /// The time that a driver has to return from a request for task management.
    private static let askMilliseconds = 2000
}

extension KernelOptions {
    /// The time by which a task has to come back after a step of its recovery.
    var afterGrace: UInt64 { clock.milliseconds + recoveryGraceMilliseconds }
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
