import Diagnostics
import HBAProfiles
import SCSIControllerDriverKit

extension Scenario {
    /// B31 to B44, B48, B49.
    static let data: [Scenario] =
        configurations + [
            Scenario(
                .constraintsNotReported, "constraints-not-reported", "never calls UserReportHBAConstraints",
                ReportsNoConstraints.self),
            Scenario(
                .constraintsNotReported, "constraints-reported-late",
                "calls UserReportHBAConstraints in UserStartController", ReportsConstraintsLate.self),
            Scenario(
                .busAddressDereferenced, "bus-address-dereferenced", "reads a byte at fBufferIOVMAddr",
                DereferencesBusAddress.self
            ).crashing(),
            Scenario(
                .dataBufferOutsideTask, "data-buffer-in-bundled-call", "calls UserGetDataBuffer in a bundled call",
                AsksForBufferInBundledCall.self),
            Scenario(
                .dataBufferOutsideTask, "address-used-after-data-buffer",
                "gives the card a bus address after UserGetDataBuffer", UsesAddressAfterBuffer.self
            ).mode(.legacy),
            Scenario(
                .completedWhileDeviceWorks, "completed-too-early",
                "splits a write in two commands and completes it with the first", SplitsAndCompletesEarly.self),
            Scenario(
                .overlappingWritesReordered, "writes-reordered", "holds a write back until a later one has ended",
                ReordersWrites.self, .overlappingWrites),
            Scenario(
                .flushNotHonoured, "flush-ignored", "answers SYNCHRONIZE CACHE itself; then the power fails",
                IgnoresSynchronizeCache.self, .powerCut),
            Scenario(
                .writeNotExecuted, "write-not-executed", "answers writes with GOOD and does nothing",
                AcknowledgesWritesItself.self),
            Scenario(
                .mediaChangeNotAnnounced, "medium-gone",
                "answers reads with 02/3A/00, MEDIUM NOT PRESENT, and does not announce the removal",
                LosesMedium.self, .basicThenWait(milliseconds: 1000)),
            Scenario(
                .dartFault, "dart-fault", "programs twice the length of a task's range", ProgramsBeyondRange.self),
        ]

    private static let configurations: [Scenario] = [
        configured(
            .stageSizeIsZero, "piece-size-zero", "allows one segment, without a mapper",
            workload: .write(byteCount: 32 << 10, memoryOffset: 16384 - 200)
        ) { profile in
            profile.mapper = false
            for key in [kIOMaximumSegmentCountReadKey, kIOMaximumSegmentCountWriteKey] { profile.constraints[key] = 1 }
        },
        configured(
            .maxTransferSizeTooSmall, "max-transfer-size-too-small",
            "has maxTransferSize 64 KiB and nothing that splits requests",
            workload: .write(byteCount: 128 << 10, memoryOffset: 0), profile: "dext-64k"
        ) { _ in }.with(.requiredConstraintMissing),
        configured(.requiredConstraintMissing, "constraints-incomplete", "leaves the segment byte counts out") {
            $0.constraints[kIOMaximumSegmentByteCountReadKey] = nil
            $0.constraints[kIOMaximumSegmentByteCountWriteKey] = nil
        }.strict().with(.maxTransferSizeTooSmall),
        configured(.requiredConstraintMissing, "alignment-mask-missing", "leaves HBA Data Alignment out") {
            $0.constraints[kIOMinimumHBADataAlignmentMaskKey] = nil
        },
        configured(.constraintNotSettable, "byte-count-in-constraints", "reports IOMaximumByteCountRead as a DEXT") {
            $0.constraints[kIOMaximumByteCountReadKey] = 524288
            $0.constraints[kIOMaximumBlockCountReadKey] = 1024
        },
        configured(
            .alignmentAbovePageSize, "stripe-size-as-alignment",
            "reports the stripe size as IOMinimumSegmentAlignmentByteCount"
        ) { $0.constraints[kIOMinimumSegmentAlignmentByteCountKey] = 65536 },
        configured(
            .severalSegments, "several-segments", "runs without a mapper and allows many segments",
            workload: .write(byteCount: 64 << 10, memoryOffset: 0)
        ) { $0.mapper = false },
        configured(.badDMASpecification, "segment-type-big-endian", "asks for Big32 segments") {
            $0.dma.segmentType = "Big32"
        },
    ]

    private static func configured(
        _ fault: DriverFault, _ name: String, _ mistake: String, workload: Workload = .basic,
        profile: String = "default", _ change: @escaping @Sendable (inout HBAProfile) -> Void
    ) -> Scenario {
        var scenario = Scenario(fault, name, mistake)
        scenario.workload = workload
        scenario.profile = profile
        scenario.change = change
        return scenario
    }
}
