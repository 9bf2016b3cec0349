import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// The kernel half of the HBA (Apple: IOUserSCSIParallelInterfaceController over IOSCSIParallelInterfaceController):
/// the target table, the pool of task slots, DMA addresses, the transfer size gate, dispatch to the driver, and
/// timeouts.
///
/// Threads: `start` and `stop` on one control thread. Each lane on one thread at a time; lanes in parallel. Calls
/// from the driver come on any thread, inside its queues, so they only take note; the work that follows runs on
/// the lane that drives the card, outside of every queue.
package final class ParallelController: SCSITaskTransport, @unchecked Sendable {
    // SAFETY: what `start` sets is set before the first lane is made; `owners` under `targetLock`; `pumps[lane]`
    // belongs to the lane's thread; the rest protects itself.

    /// Lanes at most, and with them connections at a time.
    package static let laneCountMax = 72
    package let laneCount = ParallelController.laneCountMax
    package let rowsPerLane = 128
    package let tasks: UnsafeMutablePointer<SCSITask>
    package let arena: DataArena
    package private(set) var constraints = HBAConstraints()

    let host: any DriverHost
    let card: PCIFunction
    var properties = DriverProperties()
    var taskIDs: [UInt64] = []
    var slots: SharedSlots!
    var pool: TaskSlots!
    var watchdog: Watchdog?
    /// Builds the storage stack above a new target; set before `start`.
    private let publishTarget: @Sendable (UInt64) -> Bool

    private let targetLock = Lock()
    private var owners: [(any SCSITaskOwner)?] = Array(repeating: nil, count: 256)
    private var createdTargets: Set<UInt64> = []
    private var acceptsConstraints = true
    /// For each lane, whether a frame below on its thread's stack is pumping, and whether it has to send.
    private let pumps: UnsafeMutablePointer<LanePump>

    struct LanePump {
        var isActive = false
        var mustSend = false
    }

    /// - Parameters:
    ///   - host: runs the driver.
    ///   - card: the function that the driver's personality matched.
    ///   - arena: the memory of request payloads.
    ///   - publishTarget: called when the driver created a target, on the thread of its AuxiliaryQueue; probes the
    ///     target and builds what is above. Returns whether the target is usable.
    package init(
        host: any DriverHost, card: PCIFunction, arena: DataArena, publishTarget: @escaping @Sendable (UInt64) -> Bool
    ) {
        self.host = host
        self.card = card
        self.arena = arena
        self.publishTarget = publishTarget
        tasks = .allocate(capacity: laneCount * rowsPerLane)
        tasks.initialize(repeating: SCSITask(), count: laneCount * rowsPerLane)
        pumps = .allocate(capacity: laneCount)
        pumps.initialize(repeating: LanePump(), count: laneCount)
    }

    deinit {
        tasks.deallocate()
        pumps.deallocate()
    }

    // MARK: Life cycle

    /// Starts the driver in the order of the base class's start: initialise, ask, allocate tasks, map slots, start
    /// services. Targets are created by the driver, meanwhile or afterwards.
    package func start() throws {
        properties = try host.initialize(kernel: self)
        acceptsConstraints = false
        try checkDMA(properties.dma)
        slots = SharedSlots(taskCount: properties.taskCount)
        pool = TaskSlots(count: properties.taskCount, rowCount: laneCount * rowsPerLane)
        taskIDs = try host.map(slots: slots)
        guard Set(taskIDs).count == taskIDs.count, !taskIDs.contains(0) else {
            throw DriverStartError(
                call: "UserMapHBAData", reason: "gave the same task ID twice or 0; give each task a unique one")
        }
        watchdog = try Watchdog(controller: self)
        try host.startServices()
    }

    /// Stops the driver. No request may be outstanding.
    package func stop() {
        watchdog?.stop()
        watchdog = nil
        host.stop()
    }

    private func checkDMA(_ dma: DMASpecification) throws(DriverStartError) {
        guard dma.maxTransferSize > 0 else {
            throw DriverStartError(
                call: "UserGetDMASpecification", reason: "left maxTransferSize 0; set the largest task in bytes")
        }
    }

    // MARK: Targets

    package func attach(_ owner: any SCSITaskOwner, targetID: UInt8) {
        targetLock.withLock { owners[Int(targetID)] = owner }
    }

    func owner(of targetID: UInt8) -> (any SCSITaskOwner)? {
        targetLock.withLock { owners[Int(targetID)] }
    }

    package func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t {
        guard targetID != self.properties.initiatorID, targetID <= self.properties.highestDeviceID, targetID < 256
        else {
            return kIOReturnBadArgument
        }
        let isNew = targetLock.withLock { createdTargets.insert(targetID).inserted }
        guard isNew else { return kIOReturnExclusiveAccess }
        let status = host.initializeTarget(targetID)
        guard status == kIOReturnSuccess else { return status }
        return publishTarget(targetID) ? kIOReturnSuccess : kIOReturnError
    }

    package func reportHBAConstraints(_ dictionary: OSDictionary) -> kern_return_t {
        guard acceptsConstraints else { return kIOReturnNotReady }
        constraints = HBAConstraints(properties: dictionary, allowsByteAndBlockCounts: host.mode == .kext)
        return kIOReturnSuccess
    }

    // MARK: Lanes

    package func makeLane() throws -> Int {
        let lane = try card.makeLane()
        precondition(lane < laneCount)
        pumps[lane] = LanePump()
        return lane
    }

    package func releaseLane(_ lane: Int) { card.releaseLane(lane) }

    package func submit(_ rows: UnsafeBufferPointer<UInt32>, lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { claimed in
            let count = pool.claim(for: rows, into: claimed.baseAddress!)
            prepare(UnsafeBufferPointer(rebasing: claimed[..<count]), lane: lane)
        }
        pump(lane: lane)
    }

    package func hasOutstandingWork(lane: Int) -> Bool { card.hasOutstandingWork(lane: lane) }

    package func wait(lane: Int, orReadable descriptor: Int32) {
        card.wait(lane: lane, orReadable: descriptor)
        pump(lane: lane)
    }

    /// Sends, runs the card and hands up completions until nothing is left that can be done without waiting.
    ///
    /// A completion may submit more on the same lane; then the frame that is pumping already goes on with it.
    func pump(lane: Int) {
        guard !pumps[lane].isActive else { return }
        pumps[lane].isActive = true
        var worked: Bool
        repeat {
            if pumps[lane].mustSend {
                pumps[lane].mustSend = false
                host.send()
            }
            worked = card.run(lane: lane)
            if deliverCompletions(lane: lane) { worked = true }
        } while worked || pumps[lane].mustSend
        pumps[lane].isActive = false
    }

    func noteSubmissions(lane: Int) { pumps[lane].mustSend = true }
}
