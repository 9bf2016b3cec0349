import Diagnostics

/// A driver's answers about itself at its start.
package struct DriverProperties: Sendable {
    /// UserReportMaximumTaskCount: the number of tasks, and of slots.
    package var taskCount = 0
    /// UserReportInitiatorIdentifier.
    package var initiatorID: UInt64 = 0
    /// UserReportHighestSupportedDeviceID.
    package var highestDeviceID: UInt64 = 0
    /// UserReportHBAHighestLogicalUnitNumber.
    package var highestLogicalUnit: UInt64 = 0
    /// UserGetDMASpecification.
    package var dma = DMASpecification()
    /// UserDoesHBAPerformAutoSense.
    package var performsAutoSense = false

    package init() {}

    /// The task counts that this emulation has room for: its DART has a window for each slot.
    private static let taskCounts = 1...4096

    /// Refuses an impossible task count.
    /// - Parameters:
    ///   - call: the call that reported it.
    ///   - log: gets the fault, where macOS has it too.
    package func checkTaskCount(of call: String, log: DiagnosisLog) throws(DriverStartError) {
        if Self.taskCounts.contains(taskCount) { return }
        if taskCount == 0 { log.report(.noTasks, "\(call) left the count at 0") }
        throw DriverStartError(
            call: call,
            reason: "said \(taskCount); report between \(Self.taskCounts.lowerBound) and "
                + "\(Self.taskCounts.upperBound) tasks")
    }
}

/// The answers as a message of a control link.
extension DriverProperties {
    package init(_ message: ControlMessage) {
        initiatorID = message[0]
        highestDeviceID = message[1]
        taskCount = Int(UInt32(truncatingIfNeeded: message[2]))
        performsAutoSense = message[2] >> 32 != 0
        highestLogicalUnit = message[3]
        dma.maxTransferSize = message[4]
        dma.alignment = UInt32(truncatingIfNeeded: message[5])
        dma.numAddressBits = UInt8(truncatingIfNeeded: message[5] >> 32)
        dma.segmentType =
            DMAOutputSegmentType(rawValue: UInt16(truncatingIfNeeded: message[5] >> 40)) ?? .kDMAOutputSegmentHost64
    }

    var message: ControlMessage {
        ControlMessage([
            initiatorID, highestDeviceID, UInt64(taskCount) | (performsAutoSense ? 1 << 32 : 0), highestLogicalUnit,
            dma.maxTransferSize,
            UInt64(dma.alignment) | UInt64(dma.numAddressBits) << 32 | UInt64(dma.segmentType.rawValue) << 40,
        ])
    }
}
