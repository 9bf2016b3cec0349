import BlockStorage
import HBAProfiles
import ParallelInterface
import SCSIControllerDriverKit

/// The limits that IOBlockStorageDriver reads for one direction, and where each comes from.
struct LimitTable {
    let profile: HBAProfile
    let limits: BreakUpLimits
    private let keys: LimitKeys

    init(profile: HBAProfile, limits: BreakUpLimits, isWrite: Bool) {
        self.profile = profile
        self.limits = limits
        keys = LimitKeys(isWrite: isWrite)
    }

    var rows: [Layer.Limit] {
        [
            row(keys.blockCount, limits.maximumBlockCount, blockNote),
            row(keys.byteCount, limits.maximumByteCount, source(keys.byteCount)),
            row(keys.segmentCount, limits.maximumSegmentCount, segmentCountNote),
            row(keys.segmentByteCount, limits.maximumSegmentByteCount, source(keys.segmentByteCount)),
            row(kIOMinimumSegmentAlignmentByteCountKey, limits.segmentAlignment, alignmentNote),
            row(kIOMaximumSegmentAddressableBitCountKey, limits.addressBits, addressNote),
        ]
    }

    private func row(_ key: String, _ value: UInt64, _ note: String) -> Layer.Limit {
        Layer.Limit(key: key, value: value == 0 ? nil : value, note: note)
    }

    /// Whether the driver's value took effect.
    private func source(_ key: String) -> String {
        guard let value = profile.constraints[key] else { return "not reported" }
        if profile.driver == .dext && ConfigurationCheck.kextKeys.contains(key) {
            return "the reported \(value) is ignored: a DEXT cannot set it"
        }
        return value == 0 ? "reported as 0" : "reported"
    }

    private var blockNote: String {
        let bytes = limits.maximumBlockCount.multipliedReportingOverflow(by: limits.blockByteCount)
        let text = bytes.overflow || bytes.partialValue == 0 ? "" : "= \(bytes.partialValue) bytes; "
        let source = source(keys.blockCount)
        return text + (profile.driver == .kext && source != "not reported" ? source : "set by Type00; \(source)")
    }

    private var segmentCountNote: String {
        let source = source(keys.segmentCount)
        guard limits.maximumSegmentCount > 0, limits.maximumSegmentByteCount == 0, limits.hasMapper,
            limits.segmentAlignment <= limits.pageByteCount, limits.addressBits == 0 || limits.addressBits >= 64
        else { return source }
        return "\(source); without effect while \(keys.segmentByteCount) is missing"
    }

    private var alignmentNote: String {
        let source = source(kIOMinimumSegmentAlignmentByteCountKey)
        if source == "not reported" { return "not reported; 4 is IOBlockStorageDriver's own" }
        return limits.segmentAlignment > limits.pageByteCount ? "\(source); above a page" : source
    }

    private var addressNote: String {
        let source = source(kIOMaximumSegmentAddressableBitCountKey)
        guard limits.addressBits > 0, limits.addressBits < 64 else { return source }
        return "\(source); above 2^\(limits.addressBits) a segment is one page"
    }
}
