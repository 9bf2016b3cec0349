import SCSIControllerDriverKit

/// The HBA's limits from the driver's personality: they are configuration, not code.
struct PersonalitySettings {
    /// The argument of UserReportHBAConstraints (in a KEXT: SetHBAProperties).
    let constraints: OSDictionary
    let dma: DMASpecification
    let maximumTaskCount: Int

    init(_ properties: OSDictionary) {
        constraints = properties["HBA Constraints"]?.dictionaryValue ?? [:]
        let fields = properties["DMA Specification"]?.dictionaryValue ?? [:]
        var dma = DMASpecification()
        dma.maxTransferSize = fields["maxTransferSize"]?.numberValue ?? 0
        dma.alignment = UInt32(clamping: fields["alignment"]?.numberValue ?? 4)
        dma.numAddressBits = UInt8(clamping: fields["numAddressBits"]?.numberValue ?? 64)
        let type = fields["segmentType"]?.numberValue.flatMap { DMAOutputSegmentType(rawValue: UInt16(clamping: $0)) }
        dma.segmentType = type ?? .kDMAOutputSegmentHost64
        self.dma = dma
        maximumTaskCount = Int(clamping: properties["Maximum Task Count"]?.numberValue ?? 64)
    }
}
