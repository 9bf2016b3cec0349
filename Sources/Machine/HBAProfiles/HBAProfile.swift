import FoundationEssentials
import ParallelInterface
import SCSIControllerDriverKit

/// What one driver tells the system of its HBA, and the machine that it runs on, as a file that people can write.
///
/// The driver finds it in its personality and reports it by the calls that DriverKit has for it.
package struct HBAProfile: Sendable {
    /// What the driver is.
    package enum DriverKind: String, Sendable {
        case dext, kext
    }

    /// How the DMA specification is written.
    package struct DMA: Sendable, Equatable {
        package var maxTransferSize: UInt64
        package var alignment: UInt64
        package var numAddressBits: UInt64
        package var segmentType: String
    }

    package var name: String
    package var description: String
    package var driver: DriverKind
    /// Registry keys and numbers, as for UserReportHBAConstraints.
    package var constraints: [String: UInt64]
    package var dma: DMA
    package var maximumTaskCount: UInt64
    package var mapper: Bool
    package var pageSize: UInt64

    /// The properties that the driver finds at its node.
    package var personality: OSDictionary {
        [
            "HBA Constraints": .dictionary(constraints.mapValues { .number($0) }),
            "DMA Specification": .dictionary([
                "maxTransferSize": .number(dma.maxTransferSize), "alignment": .number(dma.alignment),
                "numAddressBits": .number(dma.numAddressBits),
                "segmentType": .number(UInt64(segmentType.rawValue)),
            ]),
            "Maximum Task Count": .number(maximumTaskCount),
        ]
    }

    /// What the driver reports.
    package var reportedConstraints: OSDictionary { constraints.mapValues { .number($0) } }

    /// What the block layer reads of it.
    package var hbaConstraints: HBAConstraints {
        HBAConstraints(properties: reportedConstraints, allowsByteAndBlockCounts: driver == .kext)
    }

    /// What the driver's UserGetDMASpecification reports.
    package var dmaSpecification: DMASpecification {
        var specification = DMASpecification()
        specification.maxTransferSize = dma.maxTransferSize
        specification.alignment = UInt32(clamping: dma.alignment)
        specification.numAddressBits = UInt8(clamping: dma.numAddressBits)
        specification.segmentType = segmentType
        return specification
    }

    /// The machine's part, in the kernel's terms.
    package func kernelOptions(policy: ConstraintPolicy) -> KernelOptions {
        var options = KernelOptions()
        options.policy = policy
        options.hasMapper = mapper
        options.pageByteCount = pageSize
        return options
    }

    private var segmentType: DMAOutputSegmentType { Self.segmentTypes[dma.segmentType]! }

    static let segmentTypes: [String: DMAOutputSegmentType] = [
        "Host32": .kDMAOutputSegmentHost32, "Big32": .kDMAOutputSegmentBig32,
        "Little32": .kDMAOutputSegmentLittle32, "Host64": .kDMAOutputSegmentHost64,
        "Big64": .kDMAOutputSegmentBig64, "Little64": .kDMAOutputSegmentLittle64,
    ]
}
