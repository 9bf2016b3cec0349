import Diagnostics
import HBAProfiles
import ParallelInterface
import SCSIArchitectureModel
import SCSIControllerDriverKit

/// Determines how a request ends, and finds changes that let it through.
struct OutcomeBuilder {
    let profile: HBAProfile
    let plan: StagePlan
    let request: RequestExplanation.Request

    private var isKext: Bool { profile.driver == .kext }
    private var gateObject: String {
        isKext ? "IOSCSIParallelInterfaceController" : "IOUserSCSIParallelInterfaceController"
    }

    var outcome: Outcome {
        if let outcome = withoutDisk { return outcome }
        switch plan.failure {
        case nil:
            return Outcome(
                kind: .success, byteCount: request.byteCount, place: gateObject,
                reason: plan.stages.stageCount == 1
                    ? "one stage, and the driver gets it" : "the driver gets all \(plan.stages.stageCount) stages",
                fixes: [])
        case .emptyStage(let offset):
            let first = offset == 0
            return Outcome(
                kind: .failure, errno: "EIO", ioReturn: first ? "kIOReturnDMAError" : "kIOReturnIOError",
                byteCount: plan.doneByteCount, place: LayerBuilder.breakUpObject,
                fault: DriverFault.stageSizeIsZero.rawValue,
                reason: "\(first ? "the first stage" : "the stage at byte \(offset)") has 0 bytes: less than a block "
                    + "obeys the limits" + (first ? "" : "; some releases of macOS never answer such a request"),
                fixes: fixes)
        case .refused(let gate, let byteCount, let segmentCount):
            return refusal(gate, byteCount, segmentCount)
        }
    }

    private func refusal(_ gate: TaskGate, _ byteCount: UInt64, _ segmentCount: UInt64) -> Outcome {
        let stage = "stage \(plan.stages.stageCount)"
        let attempts = BlockCommandsDevice.attemptCountMax
        let retries =
            "The stage is tried \(attempts) times, then its error ends the request; the driver is never called for it."
        let reason: String
        let fault: DriverFault
        switch gate {
        case .maxTransferSize:
            fault = .maxTransferSizeTooSmall
            reason =
                "\(stage) is \(byteCount) bytes and maxTransferSize is \(profile.dma.maxTransferSize): it would have "
                + "to be \(byteCount). Break-up does not look at maxTransferSize. \(retries)"
        case .singleSegment:
            fault = .severalSegments
            reason =
                "\(stage) has \(segmentCount) segments without a mapper, and a DEXT gets the address of one. \(retries)"
        }
        return Outcome(
            kind: .failure, errno: "EIO", ioReturn: "kIOReturnIOError", byteCount: plan.doneByteCount,
            place: gateObject, fault: fault.rawValue, reason: reason, fixes: fixes)
    }

    /// The outcome when there is no disk at all; nil when there is one.
    private var withoutDisk: Outcome? {
        if !isKext, profile.constraints[kIOMinimumHBADataAlignmentMaskKey] == nil {
            return Outcome(
                kind: .noDisk, byteCount: 0, place: gateObject, fault: DriverFault.requiredConstraintMissing.rawValue,
                reason: "macOS panics while it starts the driver: \(kIOMinimumHBADataAlignmentMaskKey) is missing, and "
                    + "the kernel uses it without a check. There is no disk to send the request to",
                fixes: [
                    Outcome.Fix(
                        changes: [change(kIOMinimumHBADataAlignmentMaskKey, .max)], reason: "any address will do")
                ])
        }
        if profile.maximumTaskCount == 0 {
            return Outcome(
                kind: .noDisk, byteCount: 0, place: gateObject, fault: DriverFault.noTasks.rawValue,
                reason: "the driver does not start with 0 tasks",
                fixes: [
                    Outcome.Fix(
                        changes: [
                            Outcome.Change(call: "UserReportMaximumTaskCount", key: "maximumTaskCount", old: 0, new: 64)
                        ], reason: "as many as the hardware takes at once")
                ])
        }
        return nil
    }

    // MARK: Fixes

    /// Changes that were tried on the model: each of them lets this request through.
    private var fixes: [Outcome.Fix] {
        var found: [Outcome.Fix] = []
        for candidate in candidates {
            let changes = candidate.changes.filter { $0.old != $0.new }
            let isLarger = found.contains { fix in fix.changes.allSatisfy(changes.contains) }
            if changes.isEmpty || isLarger { continue }
            var changed = profile
            for change in changes { changed.apply(change) }
            let plan = StagePlan(
                profile: changed, byteOffset: request.byteOffset, byteCount: request.byteCount,
                isWrite: request.isWrite)
            if plan.failure == nil { found.append(Outcome.Fix(changes: changes, reason: candidate.reason)) }
        }
        return found
    }

    private var candidates: [Outcome.Fix] {
        let keys = LimitKeys(isWrite: request.isWrite)
        let page = profile.pageSize
        let other = "set the \(request.isWrite ? "Read" : "Write") keys likewise"
        let mapper = Outcome.Change(
            call: "the machine", key: "mapper", old: profile.mapper ? 1 : 0, new: 1)
        var candidates: [Outcome.Fix] = []
        func offer(_ changes: [Outcome.Change], _ reason: String) {
            candidates.append(Outcome.Fix(changes: changes, reason: reason))
        }
        let raise = raised
        offer([raise.change], raise.reason)
        offer([mapper], "an IOMMU makes one segment of any memory")
        let limit = profile.dma.maxTransferSize
        if isKext {
            let byteCount = limit >= 512 ? limit / 512 * 512 : 524_288
            offer(
                [change(keys.byteCount, min(byteCount, 524_288))], "stages become that small; \(other)")
        } else {
            let segment: UInt64 = limit >= 131_072 ? 65536 : limit / 2 / 512 * 512
            if segment > 0 {
                let count = limit >= 131_072 ? min(limit / 65536, 128) : 2
                offer(
                    [change(keys.segmentCount, count), change(keys.segmentByteCount, segment)],
                    "stages become \(count) x \(segment) = \(count * segment) bytes at most; \(other)")
            }
            if !profile.mapper {
                offer(
                    [change(keys.segmentCount, 1), change(keys.segmentByteCount, page)],
                    "each stage is one page; memory that begins inside a page may then have an empty stage (B31)")
            }
        }
        offer([change(keys.segmentCount, 128), change(keys.segmentByteCount, 65536)], "stages of 8 MiB; \(other)")
        offer([mapper, raise.change], "an IOMMU makes one segment of any memory; \(raise.reason)")
        offer(
            [
                change(keys.segmentCount, 128), change(keys.segmentByteCount, 65536),
                dmaChange(max(profile.dma.maxTransferSize, 8_388_608)),
            ],
            "stages of 8 MiB; \(other)")
        return candidates
    }

    /// maxTransferSize, raised to the largest task that break-up can send; if that is unlimited, to this request's
    /// largest stage.
    private var raised: (change: Outcome.Change, reason: String) {
        let largest = ConfigurationCheck.largestTaskByteCount(profile.hbaConstraints)
        let isUnlimited = largest > RequestExplanation.byteCountMax
        let value = max(profile.dma.maxTransferSize, isUnlimited ? plan.largestByteCount : largest)
        return (
            dmaChange(value),
            isUnlimited
                ? "enough for this request; nothing limits larger ones" : "the most that break-up sends at once"
        )
    }

    private func change(_ key: String, _ value: UInt64) -> Outcome.Change {
        Outcome.Change(
            call: isKext ? "the controller's properties" : "UserReportHBAConstraints", key: key,
            old: profile.constraints[key],
            new: value)
    }

    private func dmaChange(_ value: UInt64) -> Outcome.Change {
        Outcome.Change(
            call: isKext ? "InitializeDMASpecification" : "UserGetDMASpecification", key: "maxTransferSize",
            old: profile.dma.maxTransferSize, new: value)
    }
}

extension HBAProfile {
    /// Makes one change to what the driver reports, or to the machine.
    package mutating func apply(_ change: Outcome.Change) {
        switch change.key {
        case "maxTransferSize": dma.maxTransferSize = change.new
        case "maximumTaskCount": maximumTaskCount = change.new
        case "mapper": mapper = change.new != 0
        default: constraints[change.key] = change.new
        }
    }
}
