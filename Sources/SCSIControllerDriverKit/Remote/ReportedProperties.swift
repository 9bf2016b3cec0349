/// What a driver answered when it was asked at start, as it crosses the boundary.
package struct ReportedProperties: Sendable {
    package var initiatorID: UInt64 = 0
    package var highestDeviceID: UInt64 = 0
    package var taskCount: UInt32 = 0
    package var performsAutoSense = false
    package var highestLogicalUnit: UInt64 = 0
    package var dma = DMASpecification()

    package init() {}

    package init(_ message: ControlMessage) {
        initiatorID = message[0]
        highestDeviceID = message[1]
        taskCount = UInt32(truncatingIfNeeded: message[2])
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
