// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import SCSIControllerDriverKit

/// The reference DEXT: drives the RAID controller card, by the bundled or the legacy route.
///
/// It splits no task and copies no data: a task's bus address goes to the card as it came. Tasks arrive on the
/// Default queue, completions are taken from the card on the InterruptQueue, and targets are created on the
/// AuxiliaryQueue.
open class RAIDDriver: IOUserSCSIParallelInterfaceController, @unchecked Sendable {
    // SAFETY: everything is set up before the first task. Then the Default queue owns the submissions of `cards`, and
    // the entries of `legacyTasks` until they are posted; the InterruptQueue owns the completions.

    static let highestTargetID: UInt64 = 62
    static let initiatorID: UInt64 = 63
    /// This bit of a card tag marks a task of the legacy route; the other bits are the index of its record.
    private static let legacyTag: UInt32 = 1 << 31

    /// The card. Nil before `Start`.
    public private(set) var provider: IOPCIDevice!
    private var cards: CardQueues!
    /// The queue on which targets are created. Nil before `UserInitializeController`.
    public private(set) var auxiliaryQueue: IODispatchQueue?
    private var interruptSource: IOInterruptDispatchSource?

    private var lastTaskID: UInt32 = 0
    private var commandMap: IOMemoryMap?
    private var responseMap: IOMemoryMap?
    /// The command slots, which the kernel fills. Nil before they are mapped.
    public private(set) var commands: UnsafeMutablePointer<SCSIUserParallelTask>!
    /// The response slots, which the driver fills; each answers the command slot with its index.
    public private(set) var responses: UnsafeMutablePointer<SCSIUserParallelResponse>!
    /// The action that answers bundled tasks. Nil before the first of them.
    public private(set) var bundledAction: OSAction?

    /// A legacy task that the card has not answered yet. The record's index is the task ID - 1.
    private struct LegacyTask {
        var completion: OSAction?
        var task = SCSIUserParallelTask()
    }
    private var legacyTasks: UnsafeMutableBufferPointer<LegacyTask>
    private var settings: PersonalitySettings!

    public required init() {
        legacyTasks = .init(start: nil, count: 0)
        super.init()
    }

    deinit {
        legacyTasks.deinitialize()
        legacyTasks.deallocate()
    }

    // MARK: Life cycle

    open override func Start(_ provider: IOService) -> kern_return_t {
        let status = super.Start(provider)
        guard status == kIOReturnSuccess else { return status }
        guard let device = provider as? IOPCIDevice else { return kIOReturnNoDevice }
        self.provider = device
        var properties: OSDictionary?
        _ = CopyProperties(&properties)
        settings = PersonalitySettings(properties ?? [:])
        return kIOReturnSuccess
    }

    open override func UserInitializeController() -> kern_return_t {
        guard let auxiliaryQueue = makeAuxiliaryQueue(), let interruptQueue = makeInterruptQueue() else {
            return kIOReturnNoMemory
        }
        self.auxiliaryQueue = auxiliaryQueue

        guard let cards = CardQueues(device: provider) else { return kIOReturnNoDevice }
        self.cards = cards
        guard IOInterruptDispatchSource.Create(provider, 0, interruptQueue, &interruptSource) == kIOReturnSuccess
        else { return kIOReturnNoResources }
        let occurred = OSAction.Create { [unowned self] action, count in InterruptOccurred(action, count) }
        guard interruptSource!.SetHandler(occurred) == kIOReturnSuccess else { return kIOReturnNoResources }

        legacyTasks = .allocate(capacity: settings.maximumTaskCount)
        legacyTasks.initialize(repeating: LegacyTask())
        return reportConstraints()
    }

    /// Makes the queue on which targets are created. It has no other work.
    open func makeAuxiliaryQueue() -> IODispatchQueue? {
        var queue: IODispatchQueue?
        guard IODispatchQueue.Create("AuxiliaryQueue", 0, 0, &queue) == kIOReturnSuccess else { return nil }
        return SetDispatchQueue("AuxiliaryQueue", queue!) == kIOReturnSuccess ? queue : nil
    }

    /// Makes the queue on which completions are taken from the card.
    open func makeInterruptQueue() -> IODispatchQueue? {
        var queue: IODispatchQueue?
        guard IODispatchQueue.Create("InterruptQueue", 0, 0, &queue) == kIOReturnSuccess else { return nil }
        return SetDispatchQueue("InterruptQueue", queue!) == kIOReturnSuccess ? queue : nil
    }

    /// Reports the HBA's limits to the system.
    open func reportConstraints() -> kern_return_t { UserReportHBAConstraints(settings.constraints) }

    open override func UserStartController() -> kern_return_t {
        // Targets are created on another queue, because their probe needs this one.
        auxiliaryQueue?.DispatchAsync { [unowned self] in createTargets() }
        return kIOReturnSuccess
    }

    /// Creates the card's targets. Runs on AuxiliaryQueue.
    open func createTargets() {
        for target in 0..<UInt64(cards.targetCount) {
            _ = UserCreateTargetForID(target, [:])
        }
    }

    open override func Stop(_ provider: IOService) -> kern_return_t {
        cards?.disable()
        return super.Stop(provider)
    }

    // MARK: Questions

    open override func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        identifier = Self.initiatorID
        return kIOReturnSuccess
    }

    open override func UserReportHighestSupportedDeviceID(
        _ identifier: inout SCSIDeviceIdentifier
    ) -> kern_return_t {
        identifier = Self.highestTargetID
        return kIOReturnSuccess
    }

    open override func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t {
        count = UInt32(settings.maximumTaskCount)
        return kIOReturnSuccess
    }

    open override func UserReportHBAHighestLogicalUnitNumber(_ value: inout UInt64) -> kern_return_t {
        value = UInt64(cards.logicalUnitCount) - 1
        return kIOReturnSuccess
    }

    open override func UserDoesHBAPerformAutoSense(_ result: inout Bool) -> kern_return_t {
        result = true
        return kIOReturnSuccess
    }

    open override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = true
        return kIOReturnSuccess
    }

    open override func UserDoesHBASupportMultiPathing(_ result: inout Bool) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }

    open override func UserDoesHBASupportSCSIParallelFeature(
        _ feature: UInt32, _ result: inout Bool
    ) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }

    open override func UserGetDMASpecification(
        _ maxTransferSize: inout UInt64, _ alignment: inout UInt32, _ numAddressBits: inout UInt8,
        _ segmentType: inout DMAOutputSegmentType
    ) -> kern_return_t {
        maxTransferSize = settings.dma.maxTransferSize
        alignment = settings.dma.alignment
        numAddressBits = settings.dma.numAddressBits
        segmentType = settings.dma.segmentType
        return kIOReturnSuccess
    }

    open override func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t {
        lastTaskID += 1
        uniqueTaskID = lastTaskID
        return kIOReturnSuccess
    }

    open override func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        targetID < UInt64(cards.targetCount) ? kIOReturnSuccess : kIOReturnNoDevice
    }

    // The card finishes every command that it began: it cannot abort one whose member I/O is under way.

    open override func UserAbortTaskRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ tag: SCSITaggedTaskIdentifier,
        _ response: inout UInt32
    ) -> kern_return_t {
        response = kSCSIServiceResponse_FUNCTION_REJECTED
        return kIOReturnSuccess
    }

    open override func UserLogicalUnitResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t {
        response = kSCSIServiceResponse_FUNCTION_REJECTED
        return kIOReturnSuccess
    }

    open override func UserTargetResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ response: inout UInt32
    ) -> kern_return_t {
        response = kSCSIServiceResponse_FUNCTION_REJECTED
        return kIOReturnSuccess
    }

    // MARK: Bundled route

    open override func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ parallelCommandIOMemoryDescriptor: IOBufferMemoryDescriptor,
        _ parallelResponseIOMemoryDescriptor: IOBufferMemoryDescriptor
    ) -> kern_return_t {
        guard parallelCommandIOMemoryDescriptor.CreateMapping(0, 0, 0, 0, 0, &commandMap) == kIOReturnSuccess,
            parallelResponseIOMemoryDescriptor.CreateMapping(0, 0, 0, 0, 0, &responseMap) == kIOReturnSuccess
        else { return kIOReturnNoMemory }
        // The addresses are taken now: the descriptors do not outlive this call.
        commands = UnsafeMutablePointer(bitPattern: UInt(commandMap!.GetAddress()))
        responses = UnsafeMutablePointer(bitPattern: UInt(responseMap!.GetAddress()))
        return kIOReturnSuccess
    }

    open override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        if bundledAction == nil {
            // Retained once and never released: every bundled call carries this action.
            completion.retain()
            bundledAction = completion
        }
        for index in 0..<Int(parallelRequestIndicesCount) {
            let slot = parallelRequestIndices[index]
            post(commands + Int(slot), tag: UInt32(slot))
        }
        cards.ringDoorbell()
    }

    /// Gives a task to the card, with a tag of the driver's choice. The card sees it with the next doorbell.
    open func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) { cards.post(task, tag: tag) }

    /// Tells the card of all tasks posted so far.
    public final func ringDoorbell() { cards.ringDoorbell() }

    // MARK: Legacy route

    open override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        let record = Int(parallelRequest.fControllerTaskIdentifier) - 1
        keep(completion)
        legacyTasks[record] = LegacyTask(completion: completion, task: parallelRequest)
        withUnsafePointer(to: parallelRequest) { post($0, tag: UInt32(record) | Self.legacyTag) }
        cards.ringDoorbell()
        response = kSCSIServiceResponse_Request_In_Process
        return kIOReturnSuccess
    }

    /// Retains a task's action until the card has answered.
    open func keep(_ completion: OSAction) { completion.retain() }

    // MARK: Interrupts

    /// Answers every task that the card has completed. Runs on the InterruptQueue.
    open func InterruptOccurred(_ action: OSAction, _ count: UInt64) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            var pending = 0
            cards.takeCompletions { completion in
                let tag = completion.pointee.tag
                if tag & Self.legacyTag != 0 { return completeLegacy(record: Int(tag & ~Self.legacyTag), completion) }
                let slot = Int(tag)
                fill(responses + slot, for: commands + slot, from: completion)
                indices[pending] = UInt16(tag)
                pending += 1
                if pending == kMaxBundledParallelTasks {
                    complete(indices.baseAddress!, UInt16(pending))
                    pending = 0
                }
            }
            if pending > 0 { complete(indices.baseAddress!, UInt16(pending)) }
        }
    }

    /// Writes the response of a task that the card has completed.
    open func fill(
        _ response: UnsafeMutablePointer<SCSIUserParallelResponse>, for task: UnsafePointer<SCSIUserParallelTask>,
        from completion: UnsafePointer<RAIDCompletionDescriptor>
    ) {
        CardQueues.fill(
            response, targetID: task.pointee.fTargetID, taskID: task.pointee.fControllerTaskIdentifier,
            from: completion)
    }

    /// Passes slots with filled-in responses back.
    open func complete(_ indices: UnsafePointer<UInt16>, _ count: UInt16) {
        BundledParallelTaskCompletion(bundledAction!, indices, count)
    }

    /// Answers a task of the legacy route and releases its action.
    open func complete(_ action: OSAction, _ response: SCSIUserParallelResponse) {
        ParallelTaskCompletion(action, response)
        action.release()
    }

    private func completeLegacy(record: Int, _ completion: UnsafePointer<RAIDCompletionDescriptor>) {
        var response = SCSIUserParallelResponse()
        let action = legacyTasks[record].completion!
        withUnsafePointer(to: legacyTasks[record].task) { fill(&response, for: $0, from: completion) }
        // Cleared first: the record may be in use again before the completion call returns.
        legacyTasks[record].completion = nil
        complete(action, response)
    }
}
