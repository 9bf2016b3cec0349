import DriverHost
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// A card that does nothing but interrupt when it is run, so that the driver under test decides all.
final class InterruptingCard: PCIFunction, @unchecked Sendable {
    private let nextLane = Atomic<Int>(0)
    /// The driver has something to complete.
    let hasWork = Atomic<Bool>(false)

    /// I/O that lanes have outstanding; one is done in each `wait`.
    let outstanding = Atomic<Int>(0)
    let outstandingAtRelease = Atomic<Int>(0)
    private let pins: Bool
    private let counts: Bool

    /// - Parameters:
    ///   - pinsCommands: claims to pin what it works on, and works on nothing.
    ///   - countsFilledBytes: claims to count what it fills.
    init(dart: DART, pinsCommands: Bool = false, countsFilledBytes: Bool = false) {
        pins = pinsCommands
        counts = countsFilledBytes
        super.init(dart: dart)
    }

    override var pinsCommands: Bool { pins }
    override var countsFilledBytes: Bool { counts }

    override func makeLane() throws -> Int { nextLane.add(1, ordering: .relaxed).oldValue }
    override func hasOutstandingWork(lane: Int) -> Bool { outstanding.load(ordering: .relaxed) > 0 }
    override func wait(lane: Int, orReadable descriptor: Int32) { outstanding.subtract(1, ordering: .relaxed) }
    override func releaseLane(_ lane: Int) {
        outstandingAtRelease.add(outstanding.load(ordering: .relaxed), ordering: .relaxed)
    }

    override func run(lane: Int) -> Bool {
        guard hasWork.exchange(false, ordering: .acquiringAndReleasing) else { return false }
        interruptHandler?()
        return true
    }
}

/// A driver that holds what it is given and answers on each interrupt in an order of its own choosing.
class EchoDriver: IOUserSCSIParallelInterfaceController, @unchecked Sendable {
    static let taskCount = 8
    struct Held {
        var slot: UInt16
        var task: SCSIUserParallelTask
        var action: OSAction
        var isBundled: Bool
    }

    // SAFETY: what the driver notes is under `lock`; tests set it up and read it while nobody else is at it.
    /// The driver that each thread made last.
    private static let made = Mutex<[UInt: EchoDriver]>([:])
    private let lock = Lock()
    private(set) var calls: [String] = []
    private(set) var bundleSizes: [Int] = []
    private(set) var seenTasks: [SCSIUserParallelTask] = []
    private(set) var held: [Held] = []
    /// How many held tasks to answer at an interrupt; the rest stay.
    var answersPerInterrupt = Int.max
    var answersInReverse = false
    var refusesTasks = false
    var answersNothing = false

    private var device: IOPCIDevice!
    private var interruptQueue: IODispatchQueue?
    private(set) var source: IOInterruptDispatchSource?
    private var commands: UnsafeMutablePointer<SCSIUserParallelTask>!
    private var responses: UnsafeMutablePointer<SCSIUserParallelResponse>!
    private var nextTaskID: UInt32 = 100

    required init() {
        super.init()
        Self.made.withLock { $0[currentThreadID()] = self }
    }

    /// The driver that this thread has just made.
    static func takeMade() -> EchoDriver { made.withLock { $0.removeValue(forKey: currentThreadID())! } }

    func note(_ call: String) { lock.withLock { calls.append(call) } }

    private func hold(_ task: SCSIUserParallelTask, _ slot: UInt16, _ action: OSAction, isBundled: Bool) {
        lock.withLock {
            seenTasks.append(task)
            held.append(Held(slot: slot, task: task, action: action, isBundled: isBundled))
        }
    }

    var card: InterruptingCard { device.function as! InterruptingCard }

    override func Start(_ provider: IOService) -> kern_return_t {
        note("Start")
        device = provider as? IOPCIDevice
        return super.Start(provider)
    }

    override func UserInitializeController() -> kern_return_t {
        note("UserInitializeController")
        _ = IODispatchQueue.Create("InterruptQueue", 0, 0, &interruptQueue)
        _ = IOInterruptDispatchSource.Create(device, 0, interruptQueue!, &source)
        _ = source!.SetHandler(OSAction.Create { [unowned self] _, _ in answer() })
        return UserReportHBAConstraints(Self.constraints)
    }

    /// What the driver reports of its HBA.
    class var constraints: OSDictionary {
        [
            kIOMaximumSegmentCountReadKey: 7, kIOMaximumByteCountReadKey: 4096,
            kIOMinimumHBADataAlignmentMaskKey: .number(.max),
        ]
    }

    override func UserStartController() -> kern_return_t {
        note("UserStartController")
        return kIOReturnSuccess
    }

    override func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        identifier = 7
        return kIOReturnSuccess
    }

    override func UserReportHighestSupportedDeviceID(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        identifier = 6
        return kIOReturnSuccess
    }

    override func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t {
        note("UserReportMaximumTaskCount")
        count = UInt32(Self.taskCount)
        return kIOReturnSuccess
    }

    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = true
        return kIOReturnSuccess
    }

    override func UserGetDMASpecification(
        _ maxTransferSize: inout UInt64, _ alignment: inout UInt32, _ numAddressBits: inout UInt8,
        _ segmentType: inout DMAOutputSegmentType
    ) -> kern_return_t {
        maxTransferSize = 65536
        return kIOReturnSuccess
    }

    override func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t {
        nextTaskID += 3
        uniqueTaskID = nextTaskID
        return kIOReturnSuccess
    }

    override func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        note("UserInitializeTargetForID")
        return kIOReturnSuccess
    }

    override func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ commandMemory: IOBufferMemoryDescriptor, _ responseMemory: IOBufferMemoryDescriptor
    ) -> kern_return_t {
        note("UserMapBundledParallelTaskCommandAndResponseBuffers")
        var map: IOMemoryMap?
        _ = commandMemory.CreateMapping(0, 0, 0, 0, 0, &map)
        commands = UnsafeMutablePointer(bitPattern: UInt(map!.GetAddress()))
        _ = responseMemory.CreateMapping(0, 0, 0, 0, 0, &map)
        responses = UnsafeMutablePointer(bitPattern: UInt(map!.GetAddress()))
        return kIOReturnSuccess
    }

    override func UserProcessBundledParallelTasks(
        _ indices: UnsafePointer<UInt16>, _ count: UInt16, _ completion: OSAction
    ) {
        lock.withLock { bundleSizes.append(Int(count)) }
        for index in 0..<Int(count) {
            hold(commands[Int(indices[index])], indices[index], completion, isBundled: true)
        }
        card.hasWork.store(true, ordering: .releasing)
    }

    override func UserProcessParallelTask(
        _ request: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        if refusesTasks {
            response = kSCSIServiceResponse_TASK_COMPLETE
            card.hasWork.store(true, ordering: .releasing)
            return kIOReturnSuccess
        }
        completion.retain()
        hold(request, 0, completion, isBundled: false)
        card.hasWork.store(true, ordering: .releasing)
        return kIOReturnSuccess
    }

    private func answer() {
        if answersNothing { return }
        var answered: [Held] = []
        let isLast = lock.withLock {
            while !held.isEmpty, answered.count < answersPerInterrupt {
                answered.append(answersInReverse ? held.removeLast() : held.removeFirst())
            }
            return held.isEmpty
        }
        complete(answered)
        if !isLast { card.hasWork.store(true, ordering: .releasing) }
    }

    /// Answers everything that is held, now.
    func answerAll() {
        let all = lock.withLock {
            defer { held = [] }
            return held
        }
        complete(all)
    }

    private func complete(_ answered: [Held]) {
        for one in answered {
            var response = SCSIUserParallelResponse()
            response.version = kScsiUserParallelTaskResponseCurrentVersion1
            response.fTargetID = one.task.fTargetID
            response.fControllerTaskIdentifier = one.task.fControllerTaskIdentifier
            response.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE
            response.fBytesTransferred = one.task.fRequestedTransferCount
            if one.isBundled {
                responses[Int(one.slot)] = response
                withUnsafePointer(to: one.slot) { BundledParallelTaskCompletion(one.action, $0, 1) }
            } else {
                ParallelTaskCompletion(one.action, response)
                one.action.release()
            }
        }
    }
}
