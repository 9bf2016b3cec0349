// swift-format-ignore-file: AlwaysUseLowerCamelCase

import RAIDControllerInterface
import SCSIControllerDriverKit

/// The card as the DEXT and the KEXT use it: its registers, and the rings with their memory.
///
/// Threads: one queue posts commands, one queue (the interrupts') takes completions.
final class CardQueues {
    /// Entries of each ring: more than there are tasks, so neither ring can fill up.
    static let capacity = 1024

    private let device: IOPCIDevice
    // The rings and their DMA commands live as long as the card may use them.
    private let submissionMemory: DMAMemory
    private let completionMemory: DMAMemory
    private let rings: CardRingClient

    /// Identifies the card, allocates the rings, and enables the card. Nil when it is another card, or when there is no
    /// memory.
    init?(device: IOPCIDevice) {
        var identity: UInt32 = 0
        device.MemoryRead32(0, UInt64(RAIDControllerRegister.identification), &identity)
        guard identity == RAIDControllerRegister.identity,
            let submissions = DMAMemory(
                device: device, byteCount: RAIDCommandDescriptor.ringByteCount(capacity: Self.capacity)),
            let completions = DMAMemory(
                device: device, byteCount: RAIDCompletionDescriptor.ringByteCount(capacity: Self.capacity))
        else { return nil }
        self.device = device
        submissionMemory = submissions
        completionMemory = completions
        rings = CardRingClient(submissions: submissions.base, completions: completions.base, capacity: Self.capacity)
        rings.enable(
            submissionAddress: submissions.busAddress, completionAddress: completions.busAddress
        ) { write($0, $1) }
    }

    /// Resets the card, which lets go of the rings.
    func disable() { write(RAIDControllerRegister.control, 0) }

    var targetCount: UInt32 {
        var count: UInt32 = 0
        device.MemoryRead32(0, UInt64(RAIDControllerRegister.targetCount), &count)
        return count
    }

    /// The number of logical units of each target.
    var logicalUnitCount: UInt32 {
        var count: UInt32 = 0
        device.MemoryRead32(0, UInt64(RAIDControllerRegister.logicalUnitCount), &count)
        return count
    }

    /// Writes a task as the next command. The card sees it after `ringDoorbell`.
    func post(_ task: UnsafePointer<SCSIUserParallelTask>, tag: UInt32) {
        let command = rings.addCommand()
        command.pointee.tag = tag
        command.pointee.targetID = UInt16(truncatingIfNeeded: task.pointee.fTargetID)
        command.pointee.logicalUnit = task.pointee.fLogicalUnitBytes.1
        command.pointee.cdbSize = task.pointee.fCommandSize
        command.pointee.cdb = task.pointee.cdb
        command.pointee.dataAddress = task.pointee.fBufferIOVMAddr
        command.pointee.dataByteCount = task.pointee.fRequestedTransferCount
        command.pointee.direction = task.pointee.fTransferDirection
    }

    /// Tells the card of all commands posted so far, with one register write.
    func ringDoorbell() { rings.ringDoorbell { write($0, $1) } }

    /// Calls `body` with each new completion.
    func takeCompletions(_ body: (UnsafePointer<RAIDCompletionDescriptor>) -> Void) { rings.takeCompletions(body) }

    /// Fills a response from the card's completion of a task.
    static func fill(
        _ response: UnsafeMutablePointer<SCSIUserParallelResponse>, targetID: UInt64, taskID: UInt64,
        from completion: UnsafePointer<RAIDCompletionDescriptor>
    ) {
        response.pointee.version = kScsiUserParallelTaskResponseCurrentVersion1
        response.pointee.fTargetID = targetID
        response.pointee.fControllerTaskIdentifier = taskID
        response.pointee.fSCSIParallelFeatureRequestResultCount = 0
        if completion.pointee.transportError == 0 {
            response.pointee.fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE
            response.pointee.fCompletionStatus = UInt32(completion.pointee.status)
        } else {
            response.pointee.fServiceResponse = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE
            response.pointee.fCompletionStatus = kSCSITaskStatus_DeliveryFailure
        }
        response.pointee.fBytesTransferred = completion.pointee.dataByteCount
        response.pointee.fSenseLength = min(completion.pointee.senseByteCount, 32)
        guard response.pointee.fSenseLength > 0 else { return }
        let sense = completion.pointee.sense
        withUnsafeMutableBytes(of: &response.pointee.fSenseBuffer) { buffer in
            for index in 0..<Int(response.pointee.fSenseLength) { buffer[index] = sense[index] }
        }
    }

    private func write(_ register: Int, _ value: UInt32) { device.MemoryWrite32(0, UInt64(register), value) }
}

/// Memory that the driver and the card share, mapped for both.
private final class DMAMemory {
    let base: UnsafeMutableRawPointer
    let busAddress: UInt64
    private let descriptor: IOBufferMemoryDescriptor
    private let map: IOMemoryMap
    private let command: IODMACommand

    init?(device: IOPCIDevice, byteCount: Int) {
        var descriptor: IOBufferMemoryDescriptor?
        var map: IOMemoryMap?
        var command: IODMACommand?
        var segment = IOAddressSegment(address: 0, length: 0)
        var flags: UInt64 = 0
        var segmentCount: UInt32 = 1
        guard IOBufferMemoryDescriptor.Create(0, UInt64(byteCount), 4096, &descriptor) == kIOReturnSuccess,
            let descriptor, descriptor.CreateMapping(0, 0, 0, 0, 0, &map) == kIOReturnSuccess,
            let map,
            IODMACommand.Create(device, 0, IODMACommandSpecification(maxAddressBits: 64), &command) == kIOReturnSuccess,
            let command,
            command.PrepareForDMA(0, descriptor, 0, 0, &flags, &segmentCount, &segment) == kIOReturnSuccess,
            let base = UnsafeMutableRawPointer(bitPattern: UInt(map.GetAddress()))
        else { return nil }
        self.descriptor = descriptor
        self.map = map
        self.command = command
        self.base = base
        busAddress = segment.address
    }
}
