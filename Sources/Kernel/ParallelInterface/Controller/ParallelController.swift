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
/// Threads: `start` and `stop` on one control thread. Each lane on one thread at a time; lanes in parallel. Calls
/// from the driver come on any thread, inside its queues, so they only take note; the work that follows runs on
/// the lane that drives the card, outside of every queue.
package final class ParallelController: SCSITaskTransport, @unchecked Sendable {
    // SAFETY: what `start` sets is set before the first lane is made, and before `areTasksMapped`; `owners`
    // under `ownersLock`; what was reported under `reportLock`; `pumps[lane]` belongs to the lane's thread; the rest protects
    // itself.

    /// Clients that are served at the same time, whatever else there is. Pages and messages give this number.
    package static let clientCountMax = 200
    /// Of the controller's own threads: the watchdog's, a receiver's for each pair of rings, and one for ending tasks.
    private static let ownLaneCount = 1 + (1 + ProcessorGroups.countMax) + 1

    /// Lanes at most: also an array's maintenance and its bitmap have one each.
    package static func laneCount(arrayCount: Int) -> Int { clientCountMax + ownLaneCount + 2 * arrayCount }

    package let laneCount: Int
    package let rowsPerLane = 128
    package let tasks: UnsafeMutablePointer<SCSITask>
    package let arena: DataArena
    package private(set) var constraints = HBAConstraints()

    package let options: KernelOptions
    package var hasMapper: Bool { options.hasMapper }
    package var pageByteCount: UInt64 { options.pageByteCount }
    package var log: DiagnosisLog { host.context.log }

    let host: any DriverHost
    let card: PCIFunction
    let trace: TaskTrace?
    /// What is kept of each slot's task to judge the driver by. By slot.
    var records: UnsafeMutablePointer<SlotRecord>!
    private let clientLanes = Atomic<Int>(0)
    /// The lanes in use without the controller's own.
    package var clientLaneCount: Int { clientLanes.load(ordering: .relaxed) }
    /// False once the controller stops: then tasks fail instead of being sent.
    let acceptsTasks = Atomic<Bool>(true)
    /// What `endWaitingForDriver` has seen, and how often in a row.
    private var lastPulse: TaskSlots.Pulse?
    private var stillCount = 0
    private static let stillCountMax = 5
    /// The driver was given up: the watchdog ends what it had.
    let isDriverGone = Atomic<Bool>(false)
    /// What the driver said of itself.
    package internal(set) var properties = DriverProperties()
    var taskIDs: [UInt64] = []
    var slots: SharedSlots!
    var pool: TaskSlots!
    private var watchdog: LaneThread?
    private var receivers: [LaneThread] = []
    /// For the end of a driver's process: then there may be no lane left. Set before the driver may end.
    private var endingLane: Int?
    /// Builds the storage stack above a new target, or hears why there is none.
    let targetCreated: @Sendable (UInt64, kern_return_t) -> Bool

    let targets = TargetTable()
    /// The driver has answered a task since its start.
    let hasWorked = Atomic<Bool>(false)
    /// Slots and task IDs are there: a driver may ask at any time.
    let areTasksMapped = Atomic<Bool>(false)
    /// The driver may create targets: everything that their tasks need is there.
    let acceptsTargets = Atomic<Bool>(false)
    let ownersLock = Lock()
    /// By target and logical unit; a target's list is as long as its highest unit needs.
    var owners: [[(any SCSITaskOwner)?]] = Array(repeating: [], count: TargetTable.capacity)
    private let reportLock = Lock()
    /// What the driver reported; nil until then.
    private var reportedConstraints: OSDictionary?
    private var acceptsConstraints = true
    /// The driver is being started again; the block layer has built on what was reported.
    private var isRestarting = false
    /// For each lane, whether a frame below on its thread's stack is pumping, and whether it has to send.
    private let pumps: UnsafeMutablePointer<LanePump>

    struct LanePump {
        var isActive = false
        var mustSend = false
        /// The thread must not wait for the driver.
        var sendsElsewhere = false
    }

    /// Rounds of one `pump` in which nothing but messages of the driver came.
    private static let idleRoundMax = 64

    /// - Parameters:
    ///   - host: runs the driver.
    ///   - card: the function that the driver's personality matched.
    ///   - arena: the memory of request payloads.
    ///   - arrayCount: how many arrays the card has.
    ///   - options: how faults are met.
    ///   - trace: gets every task; nil for none.
    ///   - targetCreated: called when the driver created a target, on the thread of its AuxiliaryQueue, with how that
    ///     went so far. Probes the target and builds what is above; returns whether the target is usable.
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
        tasks = .allocate(capacity: laneCount * rowsPerLane)
        tasks.initialize(repeating: SCSITask(), count: laneCount * rowsPerLane)
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
    /// services. Targets are created by the driver, meanwhile or afterwards, or by a scan of all IDs.
    /// - Throws: `DriverStartError` when a call fails or, under the strict policy, when what the driver reported is
    ///   wrong.
    package func start() throws {
        do { properties = try host.initialize(kernel: self) } catch {
            if reported == nil && error.call == "UserInitializeController" { reportMissingConstraints() }
            throw error
        }
        reportLock.withLock { acceptsConstraints = false }
        try checkConfiguration()
        slots = try SharedSlots(taskCount: properties.taskCount)
        pool = TaskSlots(count: properties.taskCount, rowCount: laneCount * rowsPerLane)
        records = .allocate(capacity: properties.taskCount)
        records.initialize(repeating: SlotRecord(), count: properties.taskCount)
        card.dartFaultHandler = { [weak self] address, byteCount, writes in
            self?.reportDARTFault(address, byteCount: byteCount, deviceWrites: writes)
        }
        taskIDs = try host.map(slots: slots)
        try checkTaskIDs()
        watchdog = try LaneThread(name: "watchdog", controller: self) { $0.watch(lane: $1, until: $2) }
        if host.receiverCount > 0 {
            for pair in 0..<host.receiverCount {
                receivers.append(
                    try LaneThread(name: "receiver \(pair)", controller: self) {
                        $0.receive(lane: $1, pair: pair, until: $2)
                    })
            }
            endingLane = try makeOwnLane()
        }
        areTasksMapped.store(true, ordering: .releasing)
        acceptsTargets.store(true, ordering: .releasing)
        if try !host.startServices() { scanTargets() }
    }

    /// Stops the driver. Tasks that it still owns afterwards are ended as on macOS: no such device.
    package func stop() {
        acceptsTasks.store(false, ordering: .releasing)
        pool?.close()
        host.stop()
        watchdog?.stop()
        watchdog = nil
        for (pair, receiver) in receivers.enumerated() { receiver.askToStop { host.wakeReceiver(pair: pair) } }
        for receiver in receivers { receiver.stop() }
        receivers = []
        if pool != nil { endTasksOfStoppedDriver() }
        if let lane = endingLane { releaseOwnLane(lane) }
        endingLane = nil
    }

    /// The start is not wanted any more: what it waits for the driver to do fails soon. Any thread.
    package func cancelStart() {
        acceptsTasks.store(false, ordering: .releasing)
        acceptsTargets.store(false, ordering: .releasing)
        host.giveUp()
        // A scan may wait for a task that the driver has.
        isDriverGone.store(true, ordering: .releasing)
    }

    /// Ends a driver that keeps a stop waiting, and what it has. One whose tasks move, or whose device is at work, is left
    /// alone. One thread, which calls this again and again.
    package func endWaitingForDriver() {
        // The tasks of new targets would be taken for progress.
        acceptsTargets.store(false, ordering: .releasing)
        let pulse = pool.pulse()
        let isDeviceAtWork = pool.ownedByDriver().contains { card.dart.isPinned(window: Int($0.slot)) }
        // Without tasks it is the driver's Stop that is waited for, or nothing.
        let moves = isDeviceAtWork || pulse != lastPulse || pulse == nil && !isStopping
        lastPulse = pulse
        stillCount = moves ? 0 : stillCount + 1
        guard stillCount >= Self.stillCountMax else { return }
        acceptsTasks.store(false, ordering: .releasing)
        pool.close()
        host.giveUp()
        isDriverGone.store(true, ordering: .releasing)
    }

    /// Whether a task could not be taken from the driver, since its device is at work.
    package var hasTasks: Bool { !pool.ownedByDriver().isEmpty || pool.hasLingering }

    /// The driver is stopped, or about to be: what fails now is not its fault.
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

    /// Reports what is wrong with the driver's limits, and refuses them if the policy says so.
    private func checkConfiguration() throws(DriverStartError) {
        let reported = self.reported
        let check = ConfigurationCheck(
            reported: reported, dma: properties.dma, isKext: host.mode == .kext, options: options)
        let found = check.diagnoses()
        for diagnosis in found { log.report(diagnosis) }
        let errors = found.filter { $0.fault.severity == .error }
        if options.policy == .strict, !errors.isEmpty {
            let list = errors.map { "\n  \($0.summary)\n       fix: \($0.fault.entry.fix)" }.joined()
            throw DriverStartError(
                call: "UserReportHBAConstraints",
                reason:
                    "and UserGetDMASpecification do not fit together (--constraints macos starts all the same):\(list)")
        }
        if reported == nil {
            throw DriverStartError(call: "UserReportHBAConstraints", reason: "was not called; macOS fails Start")
        }
        if host.mode != .kext, reported?[kIOMinimumHBADataAlignmentMaskKey]?.numberValue == nil {
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

    package func reportHBAConstraints(_ dictionary: OSDictionary) -> kern_return_t {
        let status = reportLock.withLock { () -> kern_return_t in
            guard acceptsConstraints else { return kIOReturnNotReady }
            if isRestarting { return dictionary == reportedConstraints ? kIOReturnSuccess : kIOReturnBadArgument }
            reportedConstraints = dictionary
            constraints = HBAConstraints(properties: dictionary, allowsByteAndBlockCounts: host.mode == .kext)
            return kIOReturnSuccess
        }
        if status == kIOReturnNotReady {
            log.report(.constraintsNotReported, "UserReportHBAConstraints was called after UserInitializeController")
        }
        return status
    }

    // MARK: Lanes

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

    /// Makes a lane for a thread that is no client's.
    func makeOwnLane() throws -> Int {
        let lane = try card.makeLane()
        precondition(lane < laneCount)
        pumps[lane] = LanePump()
        return lane
    }

    /// Calls `body` with a lane for ending tasks; does nothing when there is none.
    func withEndingLane(_ body: (Int) -> Void) {
        if let endingLane { return body(endingLane) }
        guard let lane = try? makeOwnLane() else { return }
        body(lane)
        releaseOwnLane(lane)
    }

    package func releaseLane(_ lane: Int) {
        releaseOwnLane(lane)
        clientLanes.subtract(1, ordering: .relaxed)
    }

    func releaseOwnLane(_ lane: Int) {
        // The lane may be at work for others: it took what they had left in the card's ring.
        waitForOutstandingWork(lane: lane)
        card.releaseLane(lane)
    }

    package func submit(_ rows: UnsafeBufferPointer<UInt32>, lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { claimed in
            guard let count = pool.claim(for: rows, into: claimed.baseAddress!) else {
                return refuse(rows, lane: lane)
            }
            prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
        }
        pump(lane: lane, pair: host.pair(forTaskCount: rows.count))
    }

    /// Fails rows that come after the driver was stopped.
    private func refuse(_ rows: UnsafeBufferPointer<UInt32>, lane: Int) {
        guard !rows.isEmpty else { return }
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: rows.count) { refused in
            _ = refused.initialize(from: rows)
            for row in rows { fail(row: row, status: kSCSITaskStatus_DeviceNotPresent) }
            deliver(UnsafeMutableBufferPointer(rebasing: refused[...]), lane: lane)
        }
    }

    package func wait(forAnswer event: Event, to command: String, row: UInt32) -> Bool {
        let purpose = "the completion of \(command)"
        let resource = WaitGraph.Resource.kernel { [weak self] in
            KernelWait(purpose: purpose, isWithDriverSince: self?.isWithDriverSince(row: row))
        }
        if host.context.waits.wait(for: event, of: resource, purpose: purpose) == .done { return true }
        withdraw(row, answered: event)
        return false
    }

    /// When the driver was given a row's task, if it has it and the device does not work on it.
    private func isWithDriverSince(row: UInt32) -> UInt64? {
        pool.sent(row: row) { card.dart.isPinned(window: Int($0)) ? nil : pool.slots[Int($0)].filled }
    }

    package func hasOutstandingWork(lane: Int) -> Bool { card.hasOutstandingWork(lane: lane) }

    package func wait(lane: Int, orReadable descriptor: Int32) { wait(lane: lane, orReadable: descriptor, pair: 0) }

    private func wait(lane: Int, orReadable descriptor: Int32, pair: Int) {
        card.wait(lane: lane, orReadable: descriptor)
        pump(lane: lane, pair: pair)
    }

    /// Pumps a lane that is no client's until all work that it has begun is done.
    /// - Parameter pair: by which the driver's calls are fetched.
    package func finishWork(lane: Int, pair: Int = 0) {
        pump(lane: lane, pair: pair)
        waitForOutstandingWork(lane: lane, pair: pair)
    }

    private func waitForOutstandingWork(lane: Int, pair: Int = 0) {
        while hasOutstandingWork(lane: lane) { wait(lane: lane, orReadable: -1, pair: pair) }
    }

    /// Sends, runs the card and hands up completions until nothing is left that can be done without waiting.
    ///
    /// A completion may submit more on the same lane; then the frame that is pumping already goes on with it.
    /// - Parameter pair: by which tasks are sent and the driver's calls are fetched.
    package func pump(lane: Int, pair: Int = 0) {
        guard !pumps[lane].isActive else { return }
        pumps[lane].isActive = true
        var rounds = 0
        var hasMore = false
        repeat {
            // Not while polling: a call of the legacy route sleeps until the driver has answered.
            if pumps[lane].mustSend {
                pumps[lane].mustSend = false
                send(lane: lane, pair: pair)
            }
            host.beginPolling(pair: pair)
            var worked: Bool
            repeat {
                worked = host.poll(pair: pair)
                rounds += 1
                if card.run(lane: lane) {
                    worked = true
                    rounds = 0
                }
                if deliverCompletions(lane: lane) {
                    worked = true
                    rounds = 0
                }
            } while worked && !pumps[lane].mustSend && rounds < Self.idleRoundMax
            hasMore = host.endPolling(pair: pair)
        } while hasMore && rounds < Self.idleRoundMax || pumps[lane].mustSend
        // A driver that talks without end keeps the receiver busy, and nobody else.
        if hasMore { host.wakeReceiver(pair: pair) }
        pumps[lane].isActive = false
    }

    /// The lane's thread must not wait for the driver: others depend on it.
    func sendElsewhere(lane: Int) { pumps[lane].sendsElsewhere = host.receiverCount > 0 }

    private func send(lane: Int, pair: Int) {
        if pumps[lane].sendsElsewhere, let thread = try? OSThread(name: "send", { [host] in host.send(pair: pair) }) {
            thread.detach()
        } else {
            host.send(pair: pair)
        }
    }

    func noteSubmissions(lane: Int) { pumps[lane].mustSend = true }
}
