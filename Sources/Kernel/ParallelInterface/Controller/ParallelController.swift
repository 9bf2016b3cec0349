import Diagnostics
import DriverHost
import Glibc
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// The kernel half of the HBA (Apple: IOUserSCSIParallelInterfaceController over IOSCSIParallelInterfaceController):
/// the target table, the pool of task slots, DMA addresses, the transfer size gate, dispatch to the driver, and
/// timeouts.
///
/// Threads: `start` and `stop` on one control thread. Each lane on one thread at a time; lanes in parallel. Calls from
/// the driver come on any thread, inside its queues, so they only take note. The work that follows runs on the lane
/// that drives the card, outside of every queue.
package final class ParallelController: SCSITaskTransport, @unchecked Sendable {
    // SAFETY: `start` sets its variables before the first lane is made, and before `areTasksMapped`; the reported
    // constraints are used under `reportLock`; `pumps[lane]` belongs to the lane's thread; the rest protects itself.

    /// Clients at the same time at most. Documentation and messages name this number.
    package static let clientCountMax = 200
    /// Lanes of the machine's own threads: the watchdog's, those that take the calls of a driver's process, and one for
    /// ending tasks.
    private static let ownLaneCount = 1 + (1 + ProcessorGroups.countMax) + 1

    /// The number of lanes for a card with this many arrays. An array's maintenance and its bitmap have a lane each.
    package static func laneCount(arrayCount: Int) -> Int { clientCountMax + ownLaneCount + 2 * arrayCount }

    /// Lanes in all; the size of per-lane tables.
    package let laneCount: Int
    /// Tasks of each lane; requests' tags are below it.
    package let tasksPerLane = 128
    /// The task table: `laneCount * tasksPerLane` tasks.
    package let tasks: UnsafeMutablePointer<SCSITask>
    /// The memory that task buffers lie in.
    package let arena: DataArena
    /// The limits that the driver reported; the defaults before.
    package private(set) var constraints = HBAConstraints()

    /// The emulated machine, and the treatment of faults.
    package let options: KernelOptions
    /// Whether an IOMMU joins pages for the device.
    package var hasMapper: Bool { options.hasMapper }
    /// Bytes of a page of the emulated machine.
    package var pageByteCount: UInt64 { options.pageByteCount }
    /// The log of diagnoses.
    package var log: DiagnosisLog { host.context.log }

    let host: any DriverHost
    let card: PCIFunction
    let trace: TaskTrace?
    /// The notes on each slot's task, by slot.
    var records: UnsafeMutablePointer<SlotRecord>!
    private let clientLanes = Atomic<Int>(0)
    /// Lanes in use, without the controller's own.
    package var clientLaneCount: Int { clientLanes.load(ordering: .relaxed) }
    /// False once the controller stops. Then tasks fail instead of being sent.
    let acceptsTasks = Atomic<Bool>(true)
    /// The last pulse that `endWaitingForDriver` saw, and how often in a row it saw no progress.
    private var lastPulse: TaskSlots.Pulse?
    private var stillCount = 0
    private static let stillCountMax = 5
    /// The driver was given up. The watchdog ends its tasks.
    let isDriverGone = Atomic<Bool>(false)
    /// The driver's answers to the questions at its start.
    package internal(set) var properties = DriverProperties()
    var taskIDs: [UInt64] = []
    var slots: SharedSlots!
    var pool: TaskSlots!
    private var watchdog: LaneThread?
    /// A lane for the end of a driver's process, when none may be left. Set before the driver can end.
    private var endingLane: Int?
    /// Builds the storage stack above a new target, or takes the reason why there is none.
    let targetCreated: @Sendable (UInt64, kern_return_t) -> Bool

    let targets = TargetTable()
    /// The driver has answered a task since its start.
    let hasWorked = Atomic<Bool>(false)
    /// Slots and task IDs exist, so the driver's calls may use them.
    let areTasksMapped = Atomic<Bool>(false)
    /// The driver may create targets, since everything that their tasks need exists.
    let acceptsTargets = Atomic<Bool>(false)
    let owners = TaskOwners()
    private let reportLock = Lock()
    /// The driver's report; nil until then.
    private var reportedConstraints: OSDictionary?
    private var acceptsConstraints = true
    /// The driver is being started again. It must report the same constraints, since the block layer has used them.
    private var isRestarting = false
    /// The state of each lane's pump.
    private let pumps: UnsafeMutablePointer<LanePump>

    struct LanePump {
        /// A frame below on the thread's stack is pumping.
        var isActive = false
        /// Slots were queued that this lane has to send.
        var mustSend = false
        /// The thread may wait for the driver to take a task.
        var mayWait = true
    }

    /// Rounds in a row of one `pump`, at most, that bring nothing but messages of the driver.
    private static let idleRoundMax = 64

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
    package init(
        host: any DriverHost, card: PCIFunction, arena: DataArena, arrayCount: Int = 0,
        options: KernelOptions = KernelOptions(),
        trace: TaskTrace? = nil, targetCreated: @escaping @Sendable (UInt64, kern_return_t) -> Bool
    ) {
        self.host = host
        self.card = card
        self.arena = arena
        self.options = options
        self.trace = trace
        laneCount = Self.laneCount(arrayCount: arrayCount)
        self.targetCreated = targetCreated
        host.context.clock = options.clock
        tasks = .allocate(capacity: laneCount * tasksPerLane)
        tasks.initialize(repeating: SCSITask(), count: laneCount * tasksPerLane)
        pumps = .allocate(capacity: laneCount)
        pumps.initialize(repeating: LanePump(), count: laneCount)
    }

    deinit {
        tasks.deallocate()
        records?.deallocate()
        pumps.deallocate()
    }

    // MARK: Life cycle

    /// Starts the driver in the order of the base class's start: initialise, ask, allocate tasks, map slots, start
    /// services. The driver creates targets, meanwhile or afterwards, or a scan of all IDs does.
    /// - Throws: `DriverStartError` if a call fails or, under the strict policy, if the driver's report is wrong.
    package func start() throws {
        do { properties = try host.initialize(kernel: self) } catch {
            if reported == nil && error.call == "UserInitializeController" { reportMissingConstraints() }
            throw error
        }
        reportLock.withLock { acceptsConstraints = false }
        try checkConfiguration()
        slots = try SharedSlots(taskCount: properties.taskCount)
        pool = TaskSlots(count: properties.taskCount, taskCount: laneCount * tasksPerLane)
        records = .allocate(capacity: properties.taskCount)
        records.initialize(repeating: SlotRecord(), count: properties.taskCount)
        card.dartFaultHandler = { [weak self] address, byteCount, writes in
            self?.reportDARTFault(address, byteCount: byteCount, deviceWrites: writes)
        }
        taskIDs = try host.map(slots: slots)
        try checkTaskIDs()
        watchdog = try LaneThread(name: "watchdog", controller: self) { $0.watch(lane: $1, until: $2) }
        if host.hosted.place == .process { endingLane = try makeOwnLane() }
        areTasksMapped.store(true, ordering: .releasing)
        acceptsTargets.store(true, ordering: .releasing)
        if try !host.startServices() { scanTargets() }
    }

    /// Stops the driver. Tasks that it still owns afterwards end as on macOS: no such device.
    package func stop() {
        acceptsTasks.store(false, ordering: .releasing)
        pool?.close()
        host.stop()
        watchdog?.stop()
        watchdog = nil
        if pool != nil { endTasksOfStoppedDriver() }
        if let lane = endingLane { releaseOwnLane(lane) }
        endingLane = nil
    }

    /// Cancels a start: its waits for the driver fail soon. Any thread.
    package func cancelStart() {
        acceptsTasks.store(false, ordering: .releasing)
        acceptsTargets.store(false, ordering: .releasing)
        host.end(startsAgain: false)
        // A scan may wait for a task that the driver has.
        isDriverGone.store(true, ordering: .releasing)
    }

    /// Gives up a driver that keeps a stop waiting, and ends its tasks. A driver whose tasks move or whose device works
    /// is left alone. One thread calls this repeatedly.
    package func endWaitingForDriver() {
        // Tasks of new targets would look like progress.
        acceptsTargets.store(false, ordering: .releasing)
        let pulse = pool.pulse()
        let isDeviceAtWork = pool.ownedByDriver().contains { card.dart.isPinned(window: Int($0.slot)) }
        // Without tasks the wait is for the driver's Stop, or there is none.
        let moves = isDeviceAtWork || pulse != lastPulse || pulse == nil && !isStopping
        lastPulse = pulse
        stillCount = moves ? 0 : stillCount + 1
        guard stillCount >= Self.stillCountMax else { return }
        acceptsTasks.store(false, ordering: .releasing)
        pool.close()
        host.end(startsAgain: false)
        isDriverGone.store(true, ordering: .releasing)
    }

    /// Whether the driver has a task, or the device works on a task's memory.
    package var hasTasks: Bool { !pool.ownedByDriver().isEmpty || pool.hasLingering }

    /// The driver is stopped or about to be, so failures are not its fault.
    package var isStopping: Bool { !acceptsTasks.load(ordering: .relaxed) }

    func setRestarting(_ isRestarting: Bool) {
        reportLock.withLock {
            self.isRestarting = isRestarting
            acceptsConstraints = isRestarting
        }
    }

    private var reported: OSDictionary? { reportLock.withLock { reportedConstraints } }

    private func reportMissingConstraints() {
        log.report(.constraintsNotReported, "UserInitializeController failed before it reported constraints")
    }

    /// Reports mistakes in the driver's limits, and refuses them under the strict policy.
    private func checkConfiguration() throws(DriverStartError) {
        let reported = self.reported
        let check = ConfigurationCheck(
            reported: reported, dma: properties.dma, isKext: host.hosted.mode == .kext, options: options)
        let found = check.diagnoses()
        for diagnosis in found { log.report(diagnosis) }
        let errors = found.filter { $0.fault.severity == .error }
        if options.policy == .strict, !errors.isEmpty {
            let list = errors.map { "\n  \($0.summary)\n       fix: \($0.fault.entry.fix)" }.joined()
            throw DriverStartError(
                call: "UserReportHBAConstraints",
                reason:
                    "and UserGetDMASpecification contradict each other (--constraints macos starts anyway):\(list)")
        }
        if reported == nil {
            throw DriverStartError(call: "UserReportHBAConstraints", reason: "was not called; macOS fails Start")
        }
        if host.hosted.mode != .kext, reported?[kIOMinimumHBADataAlignmentMaskKey]?.numberValue == nil {
            throw DriverStartError(
                call: "UserReportHBAConstraints",
                reason: "left \(kIOMinimumHBADataAlignmentMaskKey) out: macOS panics here (a null dereference)")
        }
    }

    private func checkTaskIDs() throws(DriverStartError) {
        var seen: Set<UInt64> = [0]
        for id in taskIDs where !seen.insert(id).inserted {
            log.report(.taskIDNotUnique, id == 0 ? "UserMapHBAData gave 0" : "UserMapHBAData gave \(id) twice")
            throw DriverStartError(
                call: "UserMapHBAData", reason: "gave the same task ID twice or 0; give each task a unique one")
        }
    }

    /// UserReportHBAConstraints: takes the driver's limits.
    /// - Returns: `kIOReturnNotReady` after UserInitializeController; `kIOReturnBadArgument` if a restarted driver
    ///   reports other limits than before.
    package func reportHBAConstraints(_ dictionary: OSDictionary) -> kern_return_t {
        let status = reportLock.withLock { () -> kern_return_t in
            guard acceptsConstraints else { return kIOReturnNotReady }
            if isRestarting { return dictionary == reportedConstraints ? kIOReturnSuccess : kIOReturnBadArgument }
            reportedConstraints = dictionary
            constraints = HBAConstraints(properties: dictionary, allowsByteAndBlockCounts: host.hosted.mode == .kext)
            return kIOReturnSuccess
        }
        if status == kIOReturnNotReady {
            log.report(.constraintsNotReported, "UserReportHBAConstraints was called after UserInitializeController")
        }
        return status
    }

    // MARK: Lanes

    /// Makes a lane for the calling thread, on behalf of a client or an array.
    /// - Throws: if all lanes are in use, or the card has none left.
    package func makeLane() throws -> Int {
        let count = clientLanes.add(1, ordering: .relaxed).newValue
        do {
            guard count <= Self.clientCountMax else {
                throw OSError(code: EUSERS, doing: "serve more than \(Self.clientCountMax) clients")
            }
            return try makeOwnLane()
        } catch {
            clientLanes.subtract(1, ordering: .relaxed)
            throw error
        }
    }

    package func makeOwnLane() throws -> Int {
        let lane = try card.makeLane()
        precondition(lane < laneCount)
        pumps[lane] = LanePump()
        return lane
    }

    /// Calls `body` with a lane for ending tasks; does nothing if none is left.
    func withEndingLane(_ body: (Int) -> Void) {
        if let endingLane { return body(endingLane) }
        guard let lane = try? makeOwnLane() else { return }
        body(lane)
        releaseOwnLane(lane)
    }

    /// Gives a lane back, after its outstanding work is done. Blocks.
    package func releaseLane(_ lane: Int) {
        releaseOwnLane(lane)
        clientLanes.subtract(1, ordering: .relaxed)
    }

    package func releaseOwnLane(_ lane: Int) {
        // The lane may work for other lanes, whose commands it took from the card's ring.
        waitForOutstandingWork(lane: lane, Exchange())
        card.releaseLane(lane)
    }

    package func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { claimed in
            guard let count = pool.claim(for: taskIndices, into: claimed.baseAddress!) else {
                return refuse(taskIndices, lane: lane)
            }
            prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
        }
        pump(lane: lane, Exchange(taskCount: taskIndices.count))
    }

    /// Fails tasks that come after the driver was stopped.
    private func refuse(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        guard !taskIndices.isEmpty else { return }
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: taskIndices.count) { refused in
            _ = refused.initialize(from: taskIndices)
            for taskIndex in taskIndices { fail(taskIndex: taskIndex, status: kSCSITaskStatus_DeviceNotPresent) }
            deliver(UnsafeMutableBufferPointer(rebasing: refused[...]), lane: lane)
        }
    }

    package func wait(forAnswer event: OneShotEvent, to command: String, taskIndex: TaskIndex) -> Bool {
        let purpose = "the completion of \(command)"
        let resource = WaitGraph.Resource.kernel { [weak self] in
            KernelWait(purpose: purpose, isWithDriverSince: self?.isWithDriverSince(taskIndex: taskIndex))
        }
        if host.context.waits.wait(for: event, of: resource, purpose: purpose) == .done { return true }
        withdraw(taskIndex, answered: event)
        return false
    }

    /// The time at which the driver got a task, if it still has it and the device does not work on it.
    private func isWithDriverSince(taskIndex: TaskIndex) -> UInt64? {
        pool.sent(taskIndex: taskIndex) { card.dart.isPinned(window: Int($0)) ? nil : pool.slots[Int($0)].filled }
    }

    package func hasOutstandingWork(lane: Int) -> Bool { card.hasOutstandingWork(lane: lane) }

    package func wait(lane: Int, orReadable descriptor: Int32) {
        card.wait(lane: lane, orReadable: descriptor)
        pump(lane: lane)
    }

    package func finishWork(lane: Int) { finishWork(lane: lane, Exchange()) }

    package func finishWork(lane: Int, _ exchange: Exchange) {
        pump(lane: lane, exchange)
        waitForOutstandingWork(lane: lane, exchange)
    }

    private func waitForOutstandingWork(lane: Int, _ exchange: Exchange) {
        while hasOutstandingWork(lane: lane) {
            card.wait(lane: lane, orReadable: -1)
            pump(lane: lane, exchange)
        }
    }

    /// Sends slots, takes the driver's calls, runs the card and hands up completions, until all work is done that needs
    /// no waiting.
    ///
    /// A completion may submit more on the same lane. The frame that already pumps then does that work.
    package func pump(lane: Int, _ exchange: Exchange = Exchange()) {
        guard !pumps[lane].isActive else { return }
        pumps[lane].isActive = true
        var exchange = exchange
        exchange.mayWait = pumps[lane].mayWait
        var rounds = 0
        repeat {
            var worked: Bool
            repeat {
                if pumps[lane].mustSend {
                    pumps[lane].mustSend = false
                    host.send(&exchange)
                }
                worked = host.takeCalls(&exchange)
                rounds += 1
                if card.run(lane: lane) {
                    worked = true
                    rounds = 0
                }
                if deliverCompletions(lane: lane) {
                    worked = true
                    rounds = 0
                }
            } while worked && rounds < Self.idleRoundMax || pumps[lane].mustSend
        } while host.finish(&exchange, mayGoOn: rounds < Self.idleRoundMax)
        pumps[lane].isActive = false
    }

    /// Keeps a lane's thread from waiting for the driver to take a task; others depend on it.
    func sendWithoutWaiting(lane: Int) { pumps[lane].mayWait = false }

    func noteSubmissions(lane: Int) { pumps[lane].mustSend = true }
}
