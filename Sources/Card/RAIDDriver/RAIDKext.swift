// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import SCSIControllerDriverKit

/// The same driver as a KEXT, as it was before it was ported to DriverKit.
///
/// The kernel breaks its requests up by byte counts, which only a KEXT can set.
public final class RAIDKext: IOSCSIParallelInterfaceController, @unchecked Sendable {
    // SAFETY: everything is set up before the first task, and runs on the work loop afterwards.
    private var cards: CardQueues!
    private var settings: PersonalitySettings!
    private var interruptSource: IOInterruptDispatchSource?

    public override func InitializeController(_ provider: IOPCIDevice) -> Bool {
        var properties: OSDictionary?
        _ = CopyProperties(&properties)
        settings = PersonalitySettings(properties ?? [:])
        guard let cards = CardQueues(device: provider) else { return false }
        self.cards = cards
        guard IOInterruptDispatchSource.Create(provider, 0, workLoop, &interruptSource) == kIOReturnSuccess
        else { return false }
        let occurred = OSAction.Create { [unowned self] _, _ in InterruptOccurred() }
        guard interruptSource!.SetHandler(occurred) == kIOReturnSuccess else { return false }
        return SetHBAProperties(settings.constraints)
    }

    public override func StartController() -> Bool {
        (0..<UInt64(cards.targetCount)).allSatisfy { CreateTargetForID($0, [:]) }
    }

    public override func StopController() { cards?.disable() }

    public override func ReportInitiatorIdentifier() -> SCSIDeviceIdentifier { RAIDDriver.initiatorID }
    public override func ReportHighestSupportedDeviceID() -> SCSIDeviceIdentifier { RAIDDriver.highestTargetID }
    public override func ReportHBAHighestLogicalUnitNumber() -> SCSILogicalUnitNumber {
        UInt64(cards.logicalUnitCount) - 1
    }
    public override func ReportMaximumTaskCount() -> UInt32 { UInt32(settings.maximumTaskCount) }

    public override func GetDMASpecification() -> DMASpecification { settings.dma }

    public override func ProcessParallelTask(_ parallelRequest: SCSIParallelTaskIdentifier) -> UInt32 {
        let task = GetTask(parallelRequest)
        cards.post(task, tag: UInt32(task.pointee.fControllerTaskIdentifier))
        return kSCSIServiceResponse_Request_In_Process
    }

    public override func SubmissionsEnded() { cards.ringDoorbell() }

    private func InterruptOccurred() {
        var response = SCSIUserParallelResponse()
        cards.takeCompletions { completion in
            let taskID = UInt64(completion.pointee.tag)
            let task = GetTask(taskID: taskID)
            CardQueues.fill(&response, targetID: task.pointee.fTargetID, taskID: taskID, from: completion)
            CompleteParallelTask(&response)
        }
    }
}
