import Diagnostics
import Platform
import SCSIControllerDriverKit

/// Looks for mistakes in a driver's description of its HBA.
///
/// macOS compares none of these values. A different layer reads each of them, and a request that falls between two of
/// them fails later.
package struct ConfigurationCheck {
    /// The driver's UserReportHBAConstraints; nil if it reported nothing in time.
    package var reported: OSDictionary?
    /// The driver's UserGetDMASpecification.
    package var dma: DMASpecification
    /// The driver is a KEXT, which may set all keys.
    package var isKext: Bool
    /// The mapper and the page size that the values are checked against.
    package var options: KernelOptions
    private static let blockByteCount: UInt64 = 512

    package init(reported: OSDictionary?, dma: DMASpecification, isKext: Bool, options: KernelOptions) {
        self.reported = reported
        self.dma = dma
        self.isKext = isKext
        self.options = options
    }

    /// The keys that a DEXT has to report, each with a value that suits most hardware.
    package static let requiredKeys: [(key: String, suggestion: String)] = [
        (kIOMaximumSegmentCountReadKey, "129"), (kIOMaximumSegmentCountWriteKey, "129"),
        (kIOMaximumSegmentByteCountReadKey, "65536"), (kIOMaximumSegmentByteCountWriteKey, "65536"),
        (kIOMinimumSegmentAlignmentByteCountKey, "4"), (kIOMaximumSegmentAddressableBitCountKey, "64"),
        (kIOMinimumHBADataAlignmentMaskKey, "0xFFFFFFFFFFFFFFFF"),
    ]

    /// The keys that only a KEXT can set.
    package static let kextKeys = [
        kIOMaximumByteCountReadKey, kIOMaximumByteCountWriteKey, kIOMaximumBlockCountReadKey,
        kIOMaximumBlockCountWriteKey,
    ]

    /// All mistakes, worst first.
    package func diagnoses() -> [Diagnosis] {
        guard let reported else {
            return [Diagnosis(.constraintsNotReported, "UserInitializeController returned without a report")]
        }
        let constraints = HBAConstraints(properties: reported, allowsByteAndBlockCounts: isKext)
        var found: [Diagnosis] = []
        if !isKext { found += missingKeys(reported) + ignoredKeys(reported) }
        let isIncomplete = found.contains { $0.fault == .requiredConstraintMissing }
        found += segmentFaults(constraints) + dmaFaults() + transferFaults(constraints, isIncomplete: isIncomplete)
        return found.sorted { $0.fault.severity > $1.fault.severity }
    }

    private func missingKeys(_ reported: OSDictionary) -> [Diagnosis] {
        let missing = Self.requiredKeys.filter { reported[$0.key]?.numberValue == nil }
        guard !missing.isEmpty else { return [] }
        let list = missing.map { "\($0.key) (\($0.suggestion) suits most hardware)" }.joined(separator: ", ")
        return [Diagnosis(.requiredConstraintMissing, "missing: \(list)")]
    }

    private func ignoredKeys(_ reported: OSDictionary) -> [Diagnosis] {
        let ignored = Self.kextKeys.filter { reported[$0] != nil }
        guard !ignored.isEmpty else { return [] }
        return [Diagnosis(.constraintNotSettable, "ignored: \(ignored.joined(separator: ", "))")]
    }

    private func segmentFaults(_ constraints: HBAConstraints) -> [Diagnosis] {
        var found: [Diagnosis] = []
        let alignment = constraints.minimumSegmentAlignment
        if alignment > options.pageByteCount {
            found.append(
                Diagnosis(
                    .alignmentAbovePageSize,
                    "\(kIOMinimumSegmentAlignmentByteCountKey) is \(alignment), a page is \(options.pageByteCount): "
                        + "segments are cut to one page each"))
        } else if alignment & (alignment &- 1) != 0 {
            found.append(
                Diagnosis(
                    .badDMASpecification,
                    "\(kIOMinimumSegmentAlignmentByteCountKey) is \(alignment), which is not a power of two"))
        }
        guard !isKext, !options.hasMapper else { return found }
        for (isWrite, count) in [
            (false, constraints.maximumSegmentCountRead), (true, constraints.maximumSegmentCountWrite),
        ] {
            let direction = isWrite ? "writes" : "reads"
            if count == 1 {
                found.append(
                    Diagnosis(
                        .stageSizeIsZero,
                        "\(direction) may have 1 segment and there is no mapper: memory that begins in the middle of "
                            + "a page leaves a run shorter than a block"))
            } else {
                found.append(
                    Diagnosis(
                        .severalSegments,
                        "\(direction) may have \(count == 0 ? "any number of" : "\(count)") segments and there is no "
                            + "mapper: a task above \(options.pageByteCount) bytes has more than the one that a DEXT takes"
                    ))
            }
        }
        return found
    }

    private func dmaFaults() -> [Diagnosis] {
        var found: [Diagnosis] = []
        switch dma.segmentType {
        case .kDMAOutputSegmentBig32, .kDMAOutputSegmentBig64:
            found.append(
                Diagnosis(.badDMASpecification, "segmentType is \(dma.segmentType) on a little-endian host"))
        default: break
        }
        if dma.numAddressBits == 0 || dma.numAddressBits > 64 {
            found.append(Diagnosis(.badDMASpecification, "numAddressBits is \(dma.numAddressBits)"))
        }
        return found
    }

    /// - Parameter isIncomplete: required keys are missing.
    private func transferFaults(_ constraints: HBAConstraints, isIncomplete: Bool) -> [Diagnosis] {
        guard dma.maxTransferSize > 0 else {
            return [Diagnosis(.maxTransferSizeTooSmall, "maxTransferSize is 0: no request can be sent")]
        }
        let largest = Self.largestTaskByteCount(constraints)
        guard dma.maxTransferSize < largest else { return [] }
        return [
            Diagnosis(
                .maxTransferSizeTooSmall,
                "maxTransferSize is \(dma.maxTransferSize), and the block layer sends up to \(largest) bytes at once: "
                    + "raise it to \(largest)"
                    + (isIncomplete ? "; or report the missing keys (B33), which limit that" : ""))
        ]
    }

    /// The largest task that break-up yields for a read or a write, bytes. maxTransferSize must be at least that. Above
    /// 2^63 if nothing limits a task.
    package static func largestTaskByteCount(_ constraints: HBAConstraints) -> UInt64 {
        max(
            largestTask(
                constraints.maximumSegmentCountRead, constraints.maximumSegmentByteCountRead,
                constraints.maximumByteCountRead, constraints.maximumBlockCountRead),
            largestTask(
                constraints.maximumSegmentCountWrite, constraints.maximumSegmentByteCountWrite,
                constraints.maximumByteCountWrite, constraints.maximumBlockCountWrite))
    }

    /// The smallest of the limits that are set, bytes.
    private static func largestTask(
        _ segments: UInt64, _ segmentBytes: UInt64, _ bytes: UInt64, _ blocks: UInt64
    ) -> UInt64 {
        var largest = UInt64.max
        if segments > 0 && segmentBytes > 0 { largest = min(largest, segments.saturatingProduct(segmentBytes)) }
        if bytes > 0 { largest = min(largest, bytes) }
        if blocks > 0 { largest = min(largest, blocks.saturatingProduct(blockByteCount)) }
        return largest / blockByteCount * blockByteCount
    }
}
