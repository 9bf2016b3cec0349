import BlockStorage
import HBAProfiles
import ParallelInterface
import SCSIControllerDriverKit

/// Computes a request's stages and passes them through the gates, until the request ends or a gate refuses a stage.
struct StagePlan {
    /// Why a request ends before its last byte.
    enum Failure: Equatable {
        /// The next stage has no block in it.
        case emptyStage(atByte: UInt64)
        /// A gate refused the last stage of the list.
        case refused(TaskGate, byteCount: UInt64, segmentCount: UInt64)
    }

    let profile: HBAProfile
    let isWrite: Bool
    let limits: BreakUpLimits
    let options: KernelOptions
    /// The address of the request's memory: a page above 4 GiB, aligned to one page and to nothing larger.
    let baseAddress: UInt64

    private(set) var stages = StageList(runs: [], unlistedStageCount: 0, stageCount: 0)
    private(set) var failure: Failure?
    /// Bytes of the request that were moved.
    private(set) var doneByteCount: UInt64 = 0
    /// Bytes of the largest stage, and segments of the stage with the most.
    private(set) var largestByteCount: UInt64 = 0
    private(set) var mostSegments: UInt64 = 0
    private var builder = StageList.Builder()

    init(profile: HBAProfile, byteOffset: UInt64, byteCount: UInt64, isWrite: Bool) {
        self.profile = profile
        self.isWrite = isWrite
        options = profile.kernelOptions(policy: .macos)
        limits = BreakUpLimits(
            profile.hbaConstraints, isWrite: isWrite, blockByteCount: StageTransfer.blockByteCount,
            hasMapper: profile.mapper, pageByteCount: profile.pageSize)
        baseAddress = 1 << 32 + profile.pageSize
        if Self.isAligned(byteOffset, byteCount) {
            breakUp(byteOffset, byteCount)
        } else {
            deblock(byteOffset, byteCount)
        }
        stages = builder.finish()
    }

    /// Whether a range consists of whole blocks.
    static func isAligned(_ byteOffset: UInt64, _ byteCount: UInt64) -> Bool {
        (byteOffset | byteCount) % StageTransfer.blockByteCount == 0
    }

    /// The stages of an aligned request.
    private mutating func breakUp(_ byteOffset: UInt64, _ byteCount: UInt64) {
        let finder = LimitFinder(limits: limits, keys: LimitKeys(isWrite: isWrite))
        while doneByteCount < byteCount {
            let run = BreakUpLimits.Run(address: baseAddress + doneByteCount, byteCount: byteCount - doneByteCount)
            let size = limits.stageByteCount(ofMemory: run)
            guard size > 0 else {
                failure = .emptyStage(atByte: doneByteCount)
                return
            }
            let transfer = StageTransfer(
                purpose: .data, isWrite: isWrite, byteOffset: byteOffset + doneByteCount, byteCount: size,
                address: run.address)
            let count = limits.equalStageCount(ofMemory: run, byteCount: size)
            guard send(transfer, count: count, limits: { finder.causes(of: size, run: run) }) else { return }
            doneByteCount += count * size
        }
    }

    /// The steps of an unaligned request, as BlockStorageDevice takes them: through a bounce buffer, whole blocks only.
    private mutating func deblock(_ byteOffset: UInt64, _ byteCount: UInt64) {
        let block = StageTransfer.blockByteCount
        let stepByteCount = limits.unalignedStepByteCount(bounceAddress: baseAddress)
        let requestEnd = byteOffset + byteCount
        while doneByteCount < byteCount {
            let start = byteOffset + doneByteCount
            let first = start / block * block
            let end = min(requestEnd, first + stepByteCount)
            if isWrite {
                let hasHead = start % block != 0
                let isOneBlock = first == end / block * block
                if hasHead, !send(step(.readFirst, first, first + block, in: first)) { return }
                let last = end / block * block
                if end % block != 0, !(hasHead && isOneBlock), !send(step(.readLast, last, last + block, in: first)) {
                    return
                }
            }
            let pastLast = (end + block - 1) / block * block
            guard send(step(isWrite ? .writeSpan : .readSpan, first, pastLast, in: first)) else { return }
            doneByteCount += end - start
        }
    }

    /// A step over whole blocks. Its memory is the bounce buffer, which begins with the block at `bufferStart`.
    private func step(
        _ purpose: StageRun.Purpose, _ start: UInt64, _ end: UInt64, in bufferStart: UInt64
    ) -> StageTransfer {
        StageTransfer(
            purpose: purpose, isWrite: purpose == .writeSpan, byteOffset: start, byteCount: end - start,
            address: baseAddress + start - bufferStart)
    }

    /// Sends a stage, or several that differ only in their place.
    /// - Returns: whether the driver gets it.
    private mutating func send(
        _ transfer: StageTransfer, count: UInt64 = 1, limits: () -> [LimitCause] = { [] }
    ) -> Bool {
        let segmentCount = options.segmentCount(address: transfer.address, byteCount: transfer.byteCount)
        largestByteCount = max(largestByteCount, transfer.byteCount)
        mostSegments = max(mostSegments, segmentCount)
        let gate = TaskGate.refusing(
            byteCount: transfer.byteCount, segmentCount: segmentCount, maxTransferSize: profile.dma.maxTransferSize,
            isKext: profile.driver == .kext)
        guard let gate else {
            builder.append(transfer, count: count, limits: limits)
            return true
        }
        builder.append(transfer, count: 1, limits: limits)
        failure = .refused(gate, byteCount: transfer.byteCount, segmentCount: segmentCount)
        return false
    }
}
