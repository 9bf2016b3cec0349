import BlockStorage
import SCSIControllerDriverKit

/// A limit that ended a stage before its request's end.
package struct LimitCause: Codable, Equatable, Sendable {
    /// The registry keys of the limit.
    package var keys: [String]
    /// The limit as a product of them: "IOMaximumSegmentCountWrite (129) x IOMaximumSegmentByteCountWrite (65536)".
    package var text: String
}

/// The names of the limits of one direction.
struct LimitKeys {
    let blockCount: String
    let byteCount: String
    let segmentCount: String
    let segmentByteCount: String

    init(isWrite: Bool) {
        blockCount = isWrite ? kIOMaximumBlockCountWriteKey : kIOMaximumBlockCountReadKey
        byteCount = isWrite ? kIOMaximumByteCountWriteKey : kIOMaximumByteCountReadKey
        segmentCount = isWrite ? kIOMaximumSegmentCountWriteKey : kIOMaximumSegmentCountReadKey
        segmentByteCount = isWrite ? kIOMaximumSegmentByteCountWriteKey : kIOMaximumSegmentByteCountReadKey
    }
}

/// Finds the limits that ended a stage, by applying the break-up rule again without some of them.
struct LimitFinder {
    let limits: BreakUpLimits
    let keys: LimitKeys

    /// The limits at which a stage ends.
    ///
    /// - Parameters:
    ///   - byteCount: the stage's size.
    ///   - run: the memory of the rest of the request.
    func causes(of byteCount: UInt64, run: BreakUpLimits.Run) -> [LimitCause] {
        guard byteCount < run.byteCount else { return [] }
        var causes: [LimitCause] = []
        if alone({ $0.maximumBlockCount = limits.maximumBlockCount }, run) == byteCount {
            causes.append(
                LimitCause(
                    keys: [keys.blockCount],
                    text: "\(keys.blockCount) (\(limits.maximumBlockCount)) x \(limits.blockByteCount)"))
        }
        if alone({ $0.maximumByteCount = limits.maximumByteCount }, run) == byteCount {
            causes.append(LimitCause(keys: [keys.byteCount], text: "\(keys.byteCount) (\(limits.maximumByteCount))"))
        }
        var segmentsOnly = limits
        segmentsOnly.maximumBlockCount = 0
        segmentsOnly.maximumByteCount = 0
        if segmentsOnly.stageByteCount(ofMemory: run) == byteCount {
            causes.append(segmentCause(segmentsOnly, byteCount, run))
        }
        return causes
    }

    /// The size of a stage that obeys one limit only.
    private func alone(_ set: (inout BreakUpLimits) -> Void, _ run: BreakUpLimits.Run) -> UInt64 {
        var alone = BreakUpLimits()
        alone.blockByteCount = limits.blockByteCount
        alone.pageByteCount = limits.pageByteCount
        set(&alone)
        return alone.stageByteCount(ofMemory: run)
    }

    /// Whether a stage would have another size without a limit.
    private func changes(
        _ byteCount: UInt64, _ run: BreakUpLimits.Run, _ limits: BreakUpLimits, _ remove: (inout BreakUpLimits) -> Void
    ) -> Bool {
        var less = limits
        remove(&less)
        return less.stageByteCount(ofMemory: run) != byteCount
    }

    private func segmentCause(
        _ segmentsOnly: BreakUpLimits, _ byteCount: UInt64, _ run: BreakUpLimits.Run
    ) -> LimitCause {
        let count = "\(keys.segmentCount) (\(limits.maximumSegmentCount))"
        var sizesOnly = segmentsOnly
        sizesOnly.segmentAlignment = 0
        sizesOnly.addressBits = 0
        sizesOnly.hasMapper = true
        if limits.maximumSegmentByteCount > 0, sizesOnly.stageByteCount(ofMemory: run) == byteCount {
            return LimitCause(
                keys: [keys.segmentCount, keys.segmentByteCount],
                text: "\(count) x \(keys.segmentByteCount) (\(limits.maximumSegmentByteCount))")
        }
        var reasons: [String] = []
        var named = [keys.segmentCount]
        if limits.segmentAlignment > limits.pageByteCount {
            named.append(kIOMinimumSegmentAlignmentByteCountKey)
            reasons.append("\(kIOMinimumSegmentAlignmentByteCountKey) (\(limits.segmentAlignment)) is above a page")
        } else if changes(byteCount, run, segmentsOnly, { $0.segmentAlignment = 0 }) {
            named.append(kIOMinimumSegmentAlignmentByteCountKey)
            reasons.append(
                "the length is no multiple of \(kIOMinimumSegmentAlignmentByteCountKey) "
                    + "(\(limits.segmentAlignment))")
        }
        if limits.addressBits > 0, limits.addressBits < 64, run.address + byteCount > 1 << limits.addressBits {
            named.append(kIOMaximumSegmentAddressableBitCountKey)
            reasons.append("the memory is above 2^\(limits.addressBits)")
        }
        if !limits.hasMapper { reasons.append("no mapper, so no two pages are neighbours") }
        let isOfPages =
            byteCount
            == limits.maximumSegmentCount.multipliedReportingOverflow(
                by: limits.pageByteCount
            ).partialValue
        if isOfPages {
            return LimitCause(
                keys: named,
                text: "\(count) x page (\(limits.pageByteCount)): \(reasons.joined(separator: "; "))")
        }
        if limits.maximumSegmentByteCount > 0 {
            named.insert(keys.segmentByteCount, at: 1)
            reasons.insert("\(keys.segmentByteCount) (\(limits.maximumSegmentByteCount))", at: 0)
        }
        return LimitCause(keys: named, text: "\(count) segments, each cut by \(reasons.joined(separator: "; "))")
    }
}
