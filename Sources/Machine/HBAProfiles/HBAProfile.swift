import FoundationEssentials
import ParallelInterface
import SCSIControllerDriverKit

/// What one driver reports of its HBA, and the machine that it runs on. People write it as a JSON file.
///
/// The driver finds the values in its personality, and reports them by the DriverKit calls for them.
package struct HBAProfile: Sendable {
    /// Whether the driver is a DEXT or a KEXT.
    package enum DriverKind: String, Sendable {
        case dext, kext
    }

    /// The DMA specification as the file states it.
    package struct DMA: Sendable, Equatable {
        /// The largest task, bytes.
        package var maxTransferSize: UInt64
        /// The alignment of a segment's address, bytes.
        package var alignment: UInt64
        /// The width of a bus address, bits.
        package var numAddressBits: UInt64
        /// The name of a `DMAOutputSegmentType` without its prefix: "Host64".
        package var segmentType: String
    }

    package var name: String
    package var description: String
    /// Whether the driver is a DEXT or a KEXT.
    package var driver: DriverKind
    /// Registry keys and their numbers, as UserReportHBAConstraints takes them.
    package var constraints: [String: UInt64]
    /// What UserGetDMASpecification reports.
    package var dma: DMA
    /// What UserReportMaximumTaskCount reports; 1024 at most.
    package var maximumTaskCount: UInt64
    /// Whether the machine has an IOMMU, so that any memory is one segment.
    package var mapper: Bool
    /// Bytes of a page of the machine: a power of two from 512 to 1 MiB.
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

    /// What UserReportHBAConstraints reports.
    package var reportedConstraints: OSDictionary { constraints.mapValues { .number($0) } }

    /// The constraints as the block layer reads them.
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

    /// The emulated kernel's options, as far as the profile decides them.
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
