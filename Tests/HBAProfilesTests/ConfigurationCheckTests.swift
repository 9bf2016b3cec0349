import Diagnostics
import HBAProfiles
import ParallelInterface
import SCSIControllerDriverKit
import Testing

/// A change to a configuration that is right, and the faults that it makes, worst first.
struct ConfigurationChange: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var change: @Sendable (inout ConfigurationCheck) -> Void
    var faults: [DriverFault]
    /// What the reports have to say: the key or field, and the number.
    var texts: [String]

    init(
        _ name: String, _ faults: [DriverFault] = [], saying texts: [String] = [],
        change: @escaping @Sendable (inout ConfigurationCheck) -> Void
    ) {
        testDescription = name
        self.change = change
        self.faults = faults
        self.texts = texts
    }

    /// Sets a reported key, or takes it out.
    private static func set(_ key: String, _ value: OSPropertyValue?) -> @Sendable (inout ConfigurationCheck) -> Void {
        { $0.reported![key] = value }
    }

    static let dext: [ConfigurationChange] = [
        ConfigurationChange("nothing", change: { _ in }),
        ConfigurationChange("nothing reported", [.constraintsNotReported]) { $0.reported = nil },
        ConfigurationChange(
            "no segment count for reads", [.requiredConstraintMissing, .maxTransferSizeTooSmall],
            saying: ["IOMaximumSegmentCountRead (129", "raise it to 33553920"],
            change: set(kIOMaximumSegmentCountReadKey, nil)),
        ConfigurationChange(
            "no segment byte count for writes", [.requiredConstraintMissing, .maxTransferSizeTooSmall],
            saying: ["IOMaximumSegmentByteCountWrite (65536"], change: set(kIOMaximumSegmentByteCountWriteKey, nil)),
        ConfigurationChange(
            "a key that is no number", [.requiredConstraintMissing],
            saying: ["HBA Data Alignment (0xFFFFFFFFFFFFFFFF"],
            change: set(kIOMinimumHBADataAlignmentMaskKey, "all")),
        ConfigurationChange(
            "no alignment and no address width", [.requiredConstraintMissing],
            saying: ["IOMinimumSegmentAlignmentByteCount (4", "IOMaximumSegmentAddressableBitCount (64"]
        ) {
            $0.reported![kIOMinimumSegmentAlignmentByteCountKey] = nil
            $0.reported![kIOMaximumSegmentAddressableBitCountKey] = nil
        },
        ConfigurationChange(
            "missing keys, and a transfer size that covers all the same", [.requiredConstraintMissing]
        ) {
            $0.reported![kIOMaximumSegmentByteCountReadKey] = nil
            $0.dma.maxTransferSize = 65535 * 512
        },
        ConfigurationChange(
            "a byte count from a DEXT", [.constraintNotSettable], saying: ["ignored: IOMaximumByteCountRead"],
            change: set(kIOMaximumByteCountReadKey, 4096)),
        ConfigurationChange(
            "a transfer size one byte short", [.maxTransferSizeTooSmall],
            saying: ["maxTransferSize is 8454143", "raise it to 8454144"]
        ) { $0.dma.maxTransferSize -= 1 },
        ConfigurationChange("a transfer size beyond need") { $0.dma.maxTransferSize = .max },
        ConfigurationChange("a transfer size of 0", [.maxTransferSizeTooSmall], saying: ["maxTransferSize is 0"]) {
            $0.dma.maxTransferSize = 0
        },
        ConfigurationChange(
            "one segment more for reads", [.maxTransferSizeTooSmall], saying: ["raise it to 8519680"],
            change: set(kIOMaximumSegmentCountReadKey, 130)),
        ConfigurationChange(
            "one segment more for writes", [.maxTransferSizeTooSmall], saying: ["raise it to 8519680"],
            change: set(kIOMaximumSegmentCountWriteKey, 130)),
        ConfigurationChange("one segment less", change: set(kIOMaximumSegmentCountReadKey, 128)),
        // A limit of 0 is none: then 65535 blocks are.
        ConfigurationChange(
            "a segment byte count of 0", [.maxTransferSizeTooSmall], saying: ["33553920"],
            change: set(kIOMaximumSegmentByteCountReadKey, 0)),
        ConfigurationChange(
            "limits that overflow", [.maxTransferSizeTooSmall], saying: ["raise it to 33553920"]
        ) {
            $0.reported![kIOMaximumSegmentCountReadKey] = .number(.max)
            $0.reported![kIOMaximumSegmentByteCountReadKey] = .number(.max)
        },
        ConfigurationChange(
            "stages are whole blocks", [.maxTransferSizeTooSmall], saying: ["raise it to 8518656"]
        ) {
            // 129 x 66040 = 8519160, which is 16638 blocks and 504 bytes.
            $0.reported![kIOMaximumSegmentByteCountReadKey] = 66040
        },
        ConfigurationChange(
            "an alignment above the page", [.alignmentAbovePageSize], saying: ["is 65536, a page is 16384"],
            change: set(kIOMinimumSegmentAlignmentByteCountKey, 65536)),
        ConfigurationChange(
            "an alignment above the smaller page", [.alignmentAbovePageSize], saying: ["is 8192, a page is 4096"]
        ) {
            $0.reported![kIOMinimumSegmentAlignmentByteCountKey] = 8192
            $0.options.pageByteCount = 4096
        },
        ConfigurationChange(
            "an alignment of a page", change: set(kIOMinimumSegmentAlignmentByteCountKey, 16384)),
        ConfigurationChange("an alignment of 0", change: set(kIOMinimumSegmentAlignmentByteCountKey, 0)),
        ConfigurationChange(
            "an alignment of 6", [.badDMASpecification], saying: ["is 6, which is not a power of two"],
            change: set(kIOMinimumSegmentAlignmentByteCountKey, 6)),
        ConfigurationChange("big-endian segments", [.badDMASpecification], saying: ["Big32"]) {
            $0.dma.segmentType = .kDMAOutputSegmentBig32
        },
        ConfigurationChange("big-endian segments of 64 bits", [.badDMASpecification], saying: ["Big64"]) {
            $0.dma.segmentType = .kDMAOutputSegmentBig64
        },
        ConfigurationChange("no address bits", [.badDMASpecification], saying: ["numAddressBits is 0"]) {
            $0.dma.numAddressBits = 0
        },
        ConfigurationChange("65 address bits", [.badDMASpecification], saying: ["numAddressBits is 65"]) {
            $0.dma.numAddressBits = 65
        },
        ConfigurationChange(
            "no mapper", [.severalSegments, .severalSegments],
            saying: ["reads may have 129 segments", "writes may have 129 segments", "above 16384 bytes"]
        ) { $0.options.hasMapper = false },
        ConfigurationChange(
            "no mapper, and no limit on segments",
            [.requiredConstraintMissing, .severalSegments, .severalSegments, .maxTransferSizeTooSmall],
            saying: ["writes may have any number of segments"]
        ) {
            $0.options.hasMapper = false
            $0.reported![kIOMaximumSegmentCountWriteKey] = nil
        },
        ConfigurationChange(
            "no mapper, and one segment", [.stageSizeIsZero, .stageSizeIsZero],
            saying: ["reads may have 1 segment", "writes may have 1 segment"]
        ) {
            $0.options.hasMapper = false
            $0.reported![kIOMaximumSegmentCountReadKey] = 1
            $0.reported![kIOMaximumSegmentCountWriteKey] = 1
        },
        ConfigurationChange("one segment behind a mapper") {
            $0.reported![kIOMaximumSegmentCountReadKey] = 1
            $0.reported![kIOMaximumSegmentCountWriteKey] = 1
        },
        ConfigurationChange(
            "many at once, worst first",
            [.badDMASpecification, .maxTransferSizeTooSmall, .alignmentAbovePageSize, .constraintNotSettable]
        ) {
            $0.reported![kIOMaximumBlockCountWriteKey] = 8
            $0.reported![kIOMinimumSegmentAlignmentByteCountKey] = 32768
            $0.dma.maxTransferSize = 4096
            $0.dma.numAddressBits = 80
        },
    ]

    static let kext: [ConfigurationChange] = [
        ConfigurationChange("nothing", change: { _ in }),
        ConfigurationChange("a KEXT leaves out what it likes") {
            $0.reported = [kIOMaximumByteCountReadKey: 1_048_576, kIOMaximumBlockCountWriteKey: 2048]
        },
        ConfigurationChange("a transfer size that is just enough") { $0.dma.maxTransferSize = 524_288 },
        ConfigurationChange(
            "a byte count above the transfer size", [.maxTransferSizeTooSmall], saying: ["raise it to 524288"]
        ) { $0.dma.maxTransferSize = 524_287 },
        ConfigurationChange(
            "no limit but 65535 blocks", [.maxTransferSizeTooSmall], saying: ["raise it to 33553920"]
        ) { $0.reported = [:] },
        ConfigurationChange("a KEXT takes several segments") { $0.options.hasMapper = false },
        ConfigurationChange("an alignment of 12", [.badDMASpecification]) {
            $0.reported![kIOMinimumSegmentAlignmentByteCountKey] = 12
        },
    ]
}

@Suite("The check of a driver's configuration")
struct ConfigurationCheckTests {
    private func check(_ name: String) throws -> ConfigurationCheck {
        let profile = try HBAProfile(nameOrPath: name)
        return ConfigurationCheck(
            reported: profile.reportedConstraints, dma: profile.dmaSpecification, isKext: profile.driver == .kext,
            options: profile.kernelOptions(policy: .strict))
    }

    private func expect(_ change: ConfigurationChange, of name: String) throws {
        var check = try check(name)
        change.change(&check)
        let found = check.diagnoses()
        #expect(Set(found.map(\.fault)) == Set(change.faults), "\(found.map(\.summary))")
        #expect(found.count == change.faults.count, "\(found.map(\.summary))")
        let severities = found.map(\.fault.severity)
        #expect(severities == severities.sorted(by: >), "\(found.map(\.summary))")
        let text = found.map(\.summary).joined(separator: "\n")
        for expected in change.texts { #expect(text.contains(expected), "\(expected) is missing in \(text)") }
    }

    @Test("a DEXT's", arguments: ConfigurationChange.dext)
    func dext(change: ConfigurationChange) throws { try expect(change, of: "dext-complete") }

    @Test("a KEXT's", arguments: ConfigurationChange.kext)
    func kext(change: ConfigurationChange) throws { try expect(change, of: "kext-512k") }

    @Test("the shipped profiles are as complete as their names say", arguments: HBAProfile.shippedNames)
    func shipped(name: String) throws {
        let isIncomplete = ["dext-64k", "dext-512k-incomplete"].contains(name)
        let faults = try check(name).diagnoses().map(\.fault)
        #expect(faults == (isIncomplete ? [.requiredConstraintMissing, .maxTransferSizeTooSmall] : []))
    }
}
