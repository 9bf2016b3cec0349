import Diagnostics
import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// The kernel half of the HBA (Apple: IOUserSCSIParallelInterfaceController over IOSCSIParallelInterfaceController).
///
/// This type has the life of its driver. The work is done by the parts, each of which owns its state: `TaskDispatcher`
/// carries tasks to the driver and back, `LanePump` has the loop that drives all, `TargetCreation` makes targets,
/// `TaskRecovery` and `TaskEnding` see to tasks that do not come back, `DriverDetectors` names the driver's mistakes.
///
/// Threads: `start` on one control thread. Each lane on one thread at a time; lanes in parallel. Calls from
/// the driver come on any thread, inside its queues, so they only take note. The work that follows runs on the lane
/// that drives the card, outside of every queue.
package final class ParallelController: SCSITaskTransport, @unchecked Sendable {
    // SAFETY: `isStopped` under `stopLock`; `start` sets its variables before the first lane is made, and before
    // `areTasksMapped`; `lastPulse` and `stillCount` belong to the thread that calls `endWaitingForDriver`.

    /// Clients at the same time at most. Documentation and messages name this number.
    package static let clientCountMax = 200
    /// Lanes of the machine's own threads: the watchdog's, those that take the calls of a driver's process, and one for
    /// ending tasks.
    private static let ownLaneCount = 1 + (1 + ProcessorGroups.countMax) + 1

    /// The number of lanes for a card with this many arrays. An array's maintenance and its bitmap have a lane each.
    package static func laneCount(arrayCount: Int) -> Int { clientCountMax + ownLaneCount + 2 * arrayCount }

    /// The task table: `laneCount * tasksPerLane` tasks.
    package let tasks: UnsafeMutablePointer<SCSITask>
    let parts: KernelParts
    let report: ConstraintReport
    let creation: TargetCreation
    let mediaChanged: @Sendable () -> Void
    private let stopLock = Lock()
    private var isStopped = false
    /// Slots and task IDs exist, so the driver's calls may use them.
    let areTasksMapped = Atomic<Bool>(false)
    // Made by `start`.
    private(set) var dispatcher: TaskDispatcher!
    private(set) var lanePump: LanePump!
    private(set) var ending: TaskEnding!
    private var recovery: TaskRecovery!
    /// The last pulse that `endWaitingForDriver` saw, and how often in a row it saw no progress.
    private var lastPulse: TaskSlots.Pulse?
    private var stillCount = 0
    private static let stillCountMax = 5

    /// - Parameters:
    ///   - host: runs the driver.
    ///   - card: the function that the driver's personality matched.
    ///   - arena: the memory of request payloads.
    ///   - arrayCount: the number of the card's arrays.
    ///   - options: the emulated machine, and the treatment of faults.
    ///   - trace: gets every task; nil for none.
    ///   - targetCreated: called when the driver creates a target, on the thread of its AuxiliaryQueue, with the
    ///     target's ID and the status so far. Probes the target and builds the stack above it; returns whether it is
    ///     usable.
    ///   - mediaChanged: called when the driver says that a medium came or went, inside its call. Has the disks asked,
    ///     later, and calls `settle` for each.
    package init(
        host: any DriverHost, card: PCIFunction, arena: DataArena, arrayCount: Int = 0,
        options: KernelOptions = KernelOptions(),
        trace: TaskTrace? = nil, targetCreated: @escaping @Sendable (UInt64, kern_return_t) -> Bool,
        mediaChanged: @escaping @Sendable () -> Void = {}
    ) {
        self.mediaChanged = mediaChanged
        host.context.clock = options.clock
        let laneCount = Self.laneCount(arrayCount: arrayCount)
        parts = KernelParts(
            host: host, card: card, arena: arena, options: options, trace: trace,
            tasks: TaskTable(laneCount: laneCount),
            lanes: LaneTable(count: laneCount, clientCountMax: Self.clientCountMax, card: card))
        tasks = parts.tasks.entries
        report = ConstraintReport(isKext: host.hosted.mode == .kext)
        creation = TargetCreation(parts: parts, created: targetCreated)
    }

    // MARK: Life cycle

    /// Starts the driver in the order of the base class's start: initialise, ask, allocate tasks, map slots, start
    /// services. The driver creates targets, meanwhile or afterwards, or a scan of all IDs does.
    /// - Throws: `DriverStartError` if a call fails or, under the strict policy, if the driver's report is wrong.
    package func start() throws {
        let properties: DriverProperties
        do { properties = try parts.host.initialize(kernel: self) } catch {
            if report.reported == nil && error.call == "UserInitializeController" {
                log.report(
                    .constraintsNotReported, "UserInitializeController failed before it reported constraints")
            }
            throw error
        }
        report.close()
        creation.properties = properties
        try checkConfiguration(properties)
        let memory = try SharedSlots(taskCount: properties.taskCount)
        makeParts(memory: memory, properties)
        let taskIDs = try parts.host.map(slots: memory)
        try checkTaskIDs(taskIDs)
        dispatcher.slots.assign(taskIDs: taskIDs)
        try recovery.start()
        // A driver's process may end at any time.
        if parts.host.hosted.place == .process { try ending.prepareLane() }
        areTasksMapped.store(true, ordering: .releasing)
        parts.state.acceptsTargets.store(true, ordering: .releasing)
        if try !parts.host.startServices() { creation.scan() }
    }

    private func makeParts(memory: SharedSlots, _ properties: DriverProperties) {
        assert(dispatcher == nil, "the controller was started twice")
        let slots = SlotTable(memory: memory, taskCount: parts.tasks.count, dart: parts.card.dart)
        dispatcher = TaskDispatcher(parts: parts, slots: slots, properties: properties)
        lanePump = LanePump(parts: parts, dispatcher: dispatcher)
        ending = TaskEnding(parts: parts, dispatcher: dispatcher, pump: lanePump)
        recovery = TaskRecovery(parts: parts, dispatcher: dispatcher, pump: lanePump, ending: ending)
        parts.card.dartFaultHandler = { [weak detectors = dispatcher.detectors] address, byteCount, writes in
            detectors?.reportDARTFault(address, byteCount: byteCount, deviceWrites: writes)
        }
    }

    /// Stops the driver. Tasks that it still owns afterwards end as on macOS: no such device. Any thread; a second call
    /// returns when the first has.
    package func stop() {
        stopLock.withLock {
            if isStopped { return }
            isStopped = true
            parts.state.refuseTasks()
            dispatcher?.pool.close()
            parts.host.stop()
            recovery?.stop()
            ending?.endTasksOfStoppedDriver()
            ending?.giveLaneBack()
        }
    }

    /// Cancels a start: its waits for the driver fail soon. Any thread.
    package func cancelStart() {
        parts.state.refuseTasks()
        parts.state.refuseTargets()
        parts.host.end(startsAgain: false)
        // A scan may wait for a task that the driver has.
        parts.state.isDriverGone.store(true, ordering: .releasing)
    }

    /// Gives up a driver that keeps a stop waiting, and ends its tasks. A driver whose tasks move or whose device works
    /// is left alone. One thread calls this repeatedly.
    package func endWaitingForDriver() {
        // Tasks of new targets would look like progress.
        parts.state.refuseTargets()
        let pool = dispatcher.pool
        let pulse = pool.pulse()
        let isDeviceAtWork = pool.ownedByDriver().contains { dispatcher.slots.isInDevice($0.slot) }
        // Without tasks the wait is for the driver's Stop, or there is none.
        let moves = isDeviceAtWork || pulse != lastPulse || pulse == nil && !isStopping
        lastPulse = pulse
        stillCount = moves ? 0 : stillCount + 1
        guard stillCount >= Self.stillCountMax else { return }
        parts.state.refuseTasks()
        pool.close()
        parts.host.end(startsAgain: false)
        parts.state.isDriverGone.store(true, ordering: .releasing)
    }

    /// Whether the driver has a task, or the device works on a task's memory.
    package var hasTasks: Bool { !dispatcher.pool.ownedByDriver().isEmpty || dispatcher.pool.hasLingering }

    /// The driver is stopped or about to be, so failures are not its fault.
    package var isStopping: Bool { parts.state.isStopping }

    /// Waits until the device has done all tasks that the driver has, or the time is up: a driver may keep some tasks
    /// from the device.
    package func waitForDevice(milliseconds: UInt64) { ending.waitForDevice(milliseconds: milliseconds) }

    /// Reports mistakes in the driver's limits, and refuses them under the strict policy.
    private func checkConfiguration(_ properties: DriverProperties) throws(DriverStartError) {
        let reported = report.reported
        let isKext = parts.host.hosted.mode == .kext
        let check = ConfigurationCheck(
            reported: reported, dma: properties.dma, isKext: isKext, options: parts.options)
        let found = check.diagnoses()
        for diagnosis in found { log.report(diagnosis) }
        let errors = found.filter { $0.fault.severity == .error }
        if parts.options.policy == .strict, reported == nil {
            throw DriverStartError(
                call: "UserReportHBAConstraints",
                reason: "was not called in time (--constraints macos starts anyway, with the limits of the base class)")
        }
        if parts.options.policy == .strict, !errors.isEmpty {
            let list = errors.map { "\n  \($0.summary)\n       fix: \($0.fault.entry.fix)" }.joined()
            throw DriverStartError(
                call: "UserReportHBAConstraints",
                reason:
                    "and UserGetDMASpecification contradict each other (--constraints macos starts anyway):\(list)")
        }
        // Without a report, the base class's own limits hold, which have the mask.
        if !isKext, let reported, reported[kIOMinimumHBADataAlignmentMaskKey]?.numberValue == nil {
            throw DriverStartError(
                call: "UserReportHBAConstraints",
                reason: "left \(kIOMinimumHBADataAlignmentMaskKey) out: macOS panics here (a null dereference)")
        }
    }

    private func checkTaskIDs(_ taskIDs: [UInt64]) throws(DriverStartError) {
        var seen: Set<UInt64> = [0]
        for id in taskIDs where !seen.insert(id).inserted {
            log.report(.taskIDNotUnique, id == 0 ? "UserMapHBAData gave 0" : "UserMapHBAData gave \(id) twice")
            throw DriverStartError(
                call: "UserMapHBAData", reason: "gave the same task ID twice or 0; give each task a unique one")
        }
    }
}
