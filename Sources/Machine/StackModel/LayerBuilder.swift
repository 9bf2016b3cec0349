import BlockStorage
import HBAProfiles
import ParallelInterface
import SCSIControllerDriverKit

/// Describes each layer's part in a request.
struct LayerBuilder {
    /// The layers at which the text lists stages, and commands.
    static let breakUpObject = "IOBlockStorageDriver"
    static let commandObject = "IOSCSIPeripheralDeviceType00"
    /// Roughly the most memory that the kernel can wire for one request (Apple developer forum, DTS answers on
    /// SCSIControllerDriverKit).
    private static let wiringByteCount: UInt64 = 2 << 30

    let profile: HBAProfile
    let plan: StagePlan
    let request: RequestExplanation.Request
    /// Whether the driver comes up.
    let hasDisk: Bool

    private var isKext: Bool { profile.driver == .kext }

    var layers: [Layer] {
        [
            Layer(object: "IOMediaBSDClient", role: "the raw node /dev/rdiskN", statements: nodeStatements),
            Layer(
                object: Self.breakUpObject, role: "makes stages that the HBA's limits allow",
                statements: breakUpStatements,
                limits: LimitTable(profile: profile, limits: plan.limits, isWrite: plan.isWrite).rows),
            Layer(
                object: Self.commandObject, role: "makes a SCSI command of each stage", statements: commandStatements),
            Layer(
                object: isKext ? "IOSCSIParallelInterfaceController" : "IOUserSCSIParallelInterfaceController",
                role: "looks at each task before the driver sees it", statements: [], gates: gates),
            Layer(
                object: isKext ? "RAIDKext" : "RAIDDriver", role: isKext ? "the driver, a KEXT" : "the driver, a DEXT",
                statements: driverStatements),
        ]
    }

    private var nodeStatements: [String] {
        var statements =
            request.isAligned
            ? ["The request begins and ends at a block of 512 bytes: it is passed on."]
            : [
                "The request does not begin and end at a block of 512 bytes. On macOS a raw node refuses it: EINVAL "
                    + "(kIOReturnNotAligned). nbdext's NBD export takes it and deblocks it, as below."
            ]
        if !hasDisk {
            statements.insert(
                "There is no such disk, see the outcome. The layers are shown as if there were one.", at: 0)
        }
        if request.byteCount > Self.wiringByteCount {
            statements.append(
                "More than about 2 GiB cannot be wired for one request on macOS; that limit is not part of this model.")
        }
        return statements
    }

    private var breakUpStatements: [String] {
        let mapper =
            profile.mapper
            ? "behind a mapper (IOMMU): one range for the card"
            : "without a mapper: no two pages are neighbours for the card"
        let address = String(plan.baseAddress, radix: 16, uppercase: true)
        var statements = ["Memory: one range from 0x\(address), pages of \(profile.pageSize) bytes, \(mapper)."]
        if !request.isAligned {
            let step = plan.limits.unalignedStepByteCount(bounceAddress: plan.baseAddress)
            statements.append(
                "Deblocking: whole blocks move through a bounce buffer, \(step) bytes a step at most"
                    + (request.isWrite
                        ? "; a block that is written in part is read first. Other writes wait meanwhile." : "."))
        }
        if plan.limits.segmentAlignment > profile.pageSize { statements.append(stripeStatement) }
        if case .emptyStage(let offset) = plan.failure {
            statements.append(
                "The stage at byte \(offset) of the request has 0 bytes: no block obeys the limits (B31).")
        }
        return statements
    }

    /// Says that a large alignment does not align requests to stripes, and what it does instead.
    private var stripeStatement: String {
        let page = profile.pageSize
        var text =
            "\(kIOMinimumSegmentAlignmentByteCountKey) (\(plan.limits.segmentAlignment)) does not align anything to "
            + "stripes: it is about a segment's address in memory and its length, never about a block of the disk. It is "
            + "larger than a page (\(page)), so segments are cut to one page each"
        if let first = plan.stages.runs.first, first.purpose == .data {
            let isOfPages =
                plan.limits.maximumSegmentCount > 0 && first.byteCount % page == 0
                && first.byteCount / page == plan.limits.maximumSegmentCount
            text +=
                isOfPages
                ? ", and stages to \(plan.limits.maximumSegmentCount) x \(page) = \(first.byteCount) bytes"
                : "; the first stage is \(first.byteCount) bytes"
        }
        return text + "."
    }

    private var commandStatements: [String] {
        guard plan.stages.runs.contains(where: { $0.blockCount > UInt64(UInt16.max) }) else { return [] }
        return [
            "More than 65535 blocks do not fit READ(10) and WRITE(10). nbdext takes the 16-byte form; macOS looks at the "
                + "first block alone, and would cut the count to 16 bits."
        ]
    }

    private var gates: [Layer.Gate] {
        [
            Layer.Gate(name: "maxTransferSize", verdict: verdict(.maxTransferSize), detail: transferDetail),
            Layer.Gate(name: "one segment", verdict: verdict(.singleSegment), detail: segmentDetail),
        ]
    }

    private func verdict(_ gate: TaskGate) -> Layer.Verdict {
        if case .refused(gate, _, _) = plan.failure { return .refuses }
        // A stage that the first gate refuses does not reach the second.
        let isReached =
            switch plan.failure {
            case .refused(.maxTransferSize, _, _) where gate == .singleSegment: plan.stages.stageCount > 1
            default: plan.stages.stageCount > 0
            }
        return isReached ? .passes : .notReached
    }

    private var transferDetail: String {
        let limit = profile.dma.maxTransferSize
        return switch verdict(.maxTransferSize) {
        case .refuses: "stage \(plan.stages.stageCount) is \(plan.largestByteCount) bytes, \(limit) is the most (B32)"
        case .passes: "the largest stage is \(plan.largestByteCount) bytes, \(limit) is the most"
        case .notReached: "\(limit) bytes is the most"
        }
    }

    private var segmentDetail: String {
        if isKext { return "a KEXT takes any number of segments" }
        return switch verdict(.singleSegment) {
        case .refuses:
            "stage \(plan.stages.stageCount) has \(plan.mostSegments) segments; a DEXT takes 1 (B37)"
        case .passes: profile.mapper ? "the mapper makes one segment of any memory" : "each stage lies in one page"
        case .notReached: profile.mapper ? "the mapper makes one segment of any memory" : "a page is one segment"
        }
    }

    private var driverStatements: [String] {
        var isRefused = false
        if case .refused = plan.failure { isRefused = true }
        let taskCount = plan.stages.stageCount - (isRefused ? 1 : 0)
        guard taskCount > 0 else { return ["It sees nothing of this request: no call, no line in its log."] }
        let calls =
            isKext
            ? "ProcessParallelTask" : "UserProcessParallelTask, or UserProcessBundledParallelTasks with one slot"
        var statements = [
            "It gets \(taskCount) \(taskCount == 1 ? "task" : "tasks") (\(calls)), each after the one before it was "
                + "completed."
        ]
        if isRefused { statements.append("It sees nothing of the stage that was refused.") }
        return statements
    }
}
