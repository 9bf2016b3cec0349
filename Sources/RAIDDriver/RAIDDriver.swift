// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import SCSIControllerDriverKit

/// The reference DEXT: drives the RAID controller card, by the bundled or the legacy route.
///
/// It splits nothing and copies no data: a task's bus address goes to the card as it came. Tasks arrive on the
/// Default queue; completions are taken from the card on the InterruptQueue; targets are created on the
/// AuxiliaryQueue.
public final class RAIDDriver: IOUserSCSIParallelInterfaceController, @unchecked Sendable {
    // SAFETY: set up before the first task; then Default owns `cards` submissions and `legacyTasks` entries until they
    // are posted, InterruptQueue owns completions.

    /// Tasks in flight at most, and so the number of slots.
    static let maximumTaskCount = 64
    /// The segment limits that the card's DMA engine has, and with them the largest piece of a request.
    static let segmentCountMax: UInt64 = 129
    static let segmentByteCountMax: UInt64 = 64 << 10
    static let highestTargetID: UInt64 = 62
    static let initiatorID: UInt64 = 63
    /// Set in a card tag for a task of the legacy route; the rest is the index of its tracking record.
    private static let legacyTag: UInt32 = 1 << 31

    private var provider: IOPCIDevice!
    private var cards: CardQueues!
    private var interruptQueue: IODispatchQueue?
    private var auxiliaryQueue: IODispatchQueue?
    private var interruptSource: IOInterruptDispatchSource?
    private var asyncEvent: OSAction?

    private var lastTaskID: UInt64 = 0
    private var commandMap: IOMemoryMap?
    private var responseMap: IOMemoryMap?
    private var commands: UnsafeMutablePointer<SCSIUserParallelTask>!
    private var responses: UnsafeMutablePointer<SCSIUserParallelResponse>!
    private var bundledAction: OSAction?

    /// What is kept of a legacy task until the card answers; indexed by task ID - 1.
    private struct LegacyTask {
        var completion: OSAction?
        var targetID: UInt64 = 0
    }
    private let legacyTasks: UnsafeMutablePointer<LegacyTask>

    public required init() {
        legacyTasks = .allocate(capacity: Self.maximumTaskCount)
        legacyTasks.initialize(repeating: LegacyTask(), count: Self.maximumTaskCount)
        super.init()
    }

    deinit {
        legacyTasks.deinitialize(count: Self.maximumTaskCount)
        legacyTasks.deallocate()
    }

    // MARK: Life cycle

    public override func Start(_ provider: IOService) -> kern_return_t {
        let status = super.Start(provider)
        guard status == kIOReturnSuccess else { return status }
        guard let device = provider as? IOPCIDevice else { return kIOReturnNoDevice }
        self.provider = device
        return kIOReturnSuccess
    }

    public override func UserInitializeController() -> kern_return_t {
        guard IODispatchQueue.Create("InterruptQueue", 0, 0, &interruptQueue) == kIOReturnSuccess,
            IODispatchQueue.Create("AuxiliaryQueue", 0, 0, &auxiliaryQueue) == kIOReturnSuccess,
            let interruptQueue, let auxiliaryQueue
        else { return kIOReturnNoMemory }
        _ = SetDispatchQueue("InterruptQueue", interruptQueue)
        _ = SetDispatchQueue("AuxiliaryQueue", auxiliaryQueue)
        _ = CreateActionHandleAsyncEvent(MemoryLayout<UnsafeRawPointer>.size, &asyncEvent)

        guard let cards = CardQueues(device: provider) else { return kIOReturnNoDevice }
        self.cards = cards
        guard IOInterruptDispatchSource.Create(provider, 0, interruptQueue, &interruptSource) == kIOReturnSuccess
        else { return kIOReturnNoResources }
        let occurred = OSAction.Create { [unowned self] action, count in InterruptOccurred(action, count) }
        guard interruptSource!.SetHandler(occurred) == kIOReturnSuccess else { return kIOReturnNoResources }

        return UserReportHBAConstraints([
            kIOMaximumSegmentCountReadKey: .number(Self.segmentCountMax),
            kIOMaximumSegmentCountWriteKey: .number(Self.segmentCountMax),
            kIOMaximumSegmentByteCountReadKey: .number(Self.segmentByteCountMax),
            kIOMaximumSegmentByteCountWriteKey: .number(Self.segmentByteCountMax),
            kIOMinimumSegmentAlignmentByteCountKey: 4,
            kIOMaximumSegmentAddressableBitCountKey: 64,
            kIOMinimumHBADataAlignmentMaskKey: .number(.max),
        ])
    }

    public override func UserStartController() -> kern_return_t {
        // Targets are created elsewhere: their probe needs this queue.
        AsyncEventHandler(asyncEvent!, kIOReturnSuccess)
        return kIOReturnSuccess
    }

    public override func HandleAsyncEvent(_ action: OSAction, _ status: kern_return_t) {
        for target in 0..<UInt64(cards.targetCount) {
            _ = UserCreateTargetForID(target, [:])
        }
    }

    public override func Stop(_ provider: IOService) -> kern_return_t {
        cards?.disable()
        return super.Stop(provider)
    }

    // MARK: Questions

    public override func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        identifier = Self.initiatorID
        return kIOReturnSuccess
    }

    public override func UserReportHighestSupportedDeviceID(
        _ identifier: inout SCSIDeviceIdentifier
    ) -> kern_return_t {
        identifier = Self.highestTargetID
        return kIOReturnSuccess
    }

    public override func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t {
        count = UInt32(Self.maximumTaskCount)
        return kIOReturnSuccess
    }

    public override func UserReportHBAHighestLogicalUnitNumber(_ value: inout UInt64) -> kern_return_t {
        value = 0
        return kIOReturnSuccess
    }

    public override func UserDoesHBAPerformAutoSense(_ result: inout Bool) -> kern_return_t {
        result = true
        return kIOReturnSuccess
    }

    public override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = true
        return kIOReturnSuccess
    }

    public override func UserDoesHBASupportMultiPathing(_ result: inout Bool) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }

    public override func UserDoesHBASupportSCSIParallelFeature(
        _ feature: UInt32, _ result: inout Bool
    ) -> kern_return_t {
        result = false
        return kIOReturnSuccess
    }

    public override func UserGetDMASpecification(_ specification: inout DMASpecification) -> kern_return_t {
        // At least segment count x segment size: a larger piece would be refused before the driver sees it.
        specification.maxTransferSize = Self.segmentCountMax * Self.segmentByteCountMax
        specification.alignment = 4
        specification.numAddressBits = 64
        specification.segmentType = .kDMAOutputSegmentHost64
        return kIOReturnSuccess
    }

    public override func UserMapHBAData(_ uniqueTaskID: inout UInt64) -> kern_return_t {
        lastTaskID += 1
        uniqueTaskID = lastTaskID
        return kIOReturnSuccess
    }

    public override func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        targetID < UInt64(cards.targetCount) ? kIOReturnSuccess : kIOReturnNoDevice
    }

    // MARK: Bundled route

    public override func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ parallelCommandIOMemoryDescriptor: IOBufferMemoryDescriptor,
        _ parallelResponseIOMemoryDescriptor: IOBufferMemoryDescriptor
    ) -> kern_return_t {
        guard parallelCommandIOMemoryDescriptor.CreateMapping(0, 0, 0, 0, 0, &commandMap) == kIOReturnSuccess,
            parallelResponseIOMemoryDescriptor.CreateMapping(0, 0, 0, 0, 0, &responseMap) == kIOReturnSuccess
        else { return kIOReturnNoMemory }
        // The addresses are taken at once: later the descriptors are gone.
        commands = UnsafeMutablePointer(bitPattern: UInt(commandMap!.GetAddress()))
        responses = UnsafeMutablePointer(bitPattern: UInt(responseMap!.GetAddress()))
        return kIOReturnSuccess
    }

    public override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        if bundledAction == nil {
            // Retained once and for ever: every bundled call carries this action.
            completion.retain()
            bundledAction = completion
        }
        for index in 0..<Int(parallelRequestIndicesCount) {
            let slot = parallelRequestIndices[index]
            cards.post(commands + Int(slot), tag: UInt32(slot))
        }
        cards.ringDoorbell()
    }

    // MARK: Legacy route

    public override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        let record = Int(parallelRequest.fControllerTaskIdentifier) - 1
        completion.retain()
        legacyTasks[record] = LegacyTask(completion: completion, targetID: parallelRequest.fTargetID)
        withUnsafePointer(to: parallelRequest) { cards.post($0, tag: UInt32(record) | Self.legacyTag) }
        cards.ringDoorbell()
        response = kSCSIServiceResponse_Request_In_Process
        return kIOReturnSuccess
    }

    // MARK: Interrupts

    /// Runs on InterruptQueue: answers every task that the card has completed.
    func InterruptOccurred(_ action: OSAction, _ count: UInt64) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            var pending = 0
            cards.takeCompletions { completion in
                let tag = completion.pointee.tag
                if tag & Self.legacyTag != 0 { return completeLegacy(record: Int(tag & ~Self.legacyTag), completion) }
                let slot = Int(tag)
                CardQueues.fill(
                    responses + slot, targetID: commands[slot].fTargetID,
                    taskID: commands[slot].fControllerTaskIdentifier, from: completion)
                indices[pending] = UInt16(tag)
                pending += 1
                if pending == kMaxBundledParallelTasks {
                    BundledParallelTaskCompletion(bundledAction!, indices.baseAddress!, UInt16(pending))
                    pending = 0
                }
            }
            if pending > 0 { BundledParallelTaskCompletion(bundledAction!, indices.baseAddress!, UInt16(pending)) }
        }
    }

    private func completeLegacy(record: Int, _ completion: UnsafePointer<RAIDCompletionDescriptor>) {
        var response = SCSIUserParallelResponse()
        let action = legacyTasks[record].completion!
        CardQueues.fill(
            &response, targetID: legacyTasks[record].targetID, taskID: UInt64(record) + 1, from: completion)
        // Forgotten first: the record may be in use again before the completion call returns.
        legacyTasks[record].completion = nil
        ParallelTaskCompletion(action, response)
        action.release()
    }
}
