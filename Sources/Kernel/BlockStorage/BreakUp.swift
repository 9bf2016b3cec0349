import ParallelInterface
import Platform

/// The limits of a stage, and the rule by which IOBlockStorageDriver breaks requests up into stages.
///
/// Pure arithmetic over the physical runs of a request's memory. 0 means no limit.
package struct BreakUpLimits: Sendable, Equatable {
    /// Bytes of a logical block; a stage is a multiple of it.
    package var blockByteCount: UInt64 = 512
    /// Blocks of a stage at most.
    package var maximumBlockCount: UInt64 = 0
    /// Bytes of a stage at most.
    package var maximumByteCount: UInt64 = 0
    /// Segments of a stage at most.
    package var maximumSegmentCount: UInt64 = 0
    /// Bytes of a segment at most.
    package var maximumSegmentByteCount: UInt64 = 0
    /// A segment's address and length must be multiples of this many bytes.
    package var segmentAlignment: UInt64 = 0
    /// Bits of a segment's address; 0 and 64 mean no limit.
    package var addressBits: UInt64 = 0
    /// Bytes of a page of the emulated machine.
    package var pageByteCount: UInt64 = 16384
    /// Whether an IOMMU makes separate runs look adjacent to the card.
    package var hasMapper = true

    /// No limits but the block size.
    package init() {}

    /// The limits that an HBA published, for one direction.
    package init(
        _ constraints: HBAConstraints, isWrite: Bool, blockByteCount: UInt64, hasMapper: Bool = true,
        pageByteCount: UInt64 = 16384
    ) {
        self.blockByteCount = blockByteCount
        self.hasMapper = hasMapper
        self.pageByteCount = pageByteCount
        maximumBlockCount = isWrite ? constraints.maximumBlockCountWrite : constraints.maximumBlockCountRead
        maximumByteCount = isWrite ? constraints.maximumByteCountWrite : constraints.maximumByteCountRead
        maximumSegmentCount = isWrite ? constraints.maximumSegmentCountWrite : constraints.maximumSegmentCountRead
        maximumSegmentByteCount =
            isWrite ? constraints.maximumSegmentByteCountWrite : constraints.maximumSegmentByteCountRead
        segmentAlignment = constraints.minimumSegmentAlignment
        addressBits = constraints.maximumSegmentAddressableBits
    }

    /// A run of memory that is contiguous for the card.
    package struct Run: BitwiseCopyable, Equatable {
        /// The first byte.
        package var address: UInt64
        /// Bytes of the run.
        package var byteCount: UInt64

        package init(address: UInt64, byteCount: UInt64) {
            self.address = address
            self.byteCount = byteCount
        }
    }

    /// The size of the next stage.
    ///
    /// - Parameters:
    ///   - byteCount: the rest of the request, bytes.
    ///   - nextRun: gives the runs of the rest's memory, in order; called until they cover it.
    /// - Returns: bytes, a multiple of the block size; 0 if not even one block obeys the limits.
    package func stageByteCount(of byteCount: UInt64, nextRun: () -> Run) -> UInt64 {
        let limit = byteLimit
        var size: UInt64 = 0
        var taken: UInt64 = 0
        var segmentCount: UInt64 = 0
        var segment: Run?
        var pending: Run?
        while taken < byteCount || pending != nil {
            let run = pending ?? nextRun()
            if pending == nil { taken += run.byteCount }
            pending = run
            if let open = segment {
                if hasMapper || open.address + open.byteCount == run.address {
                    segment!.byteCount += run.byteCount
                    size += run.byteCount
                    pending = nil
                }
            } else {
                segment = run
                segmentCount += 1
                size += run.byteCount
                pending = nil
            }
            if pending == nil {
                let excess = excess(of: segment!)
                if excess > 0 {
                    let end = segment!.address + segment!.byteCount
                    pending = Run(address: end - excess, byteCount: excess)
                    segment!.byteCount -= excess
                    size -= excess
                }
                if limit > 0 && size >= limit {
                    size = limit
                    break
                }
            }
            if pending != nil {
                if maximumSegmentCount > 0 && segmentCount == maximumSegmentCount { break }
                segment = nil
            }
        }
        return min(size, byteCount) / blockByteCount * blockByteCount
    }

    /// The size of the next stage of a request whose memory is contiguous for the processor. For the device it is one
    /// run behind a mapper; without a mapper no two pages are neighbours.
    package func stageByteCount(ofMemory run: Run) -> UInt64 {
        if hasMapper { return stageByteCount(contiguous: run) }
        var address = run.address
        return stageByteCount(of: run.byteCount) {
            let inPage = address % pageByteCount
            let length = min(pageByteCount - inPage, run.address + run.byteCount - address)
            defer { address += length }
            return Run(address: (address - inPage) * 2 + inPage, byteCount: length)
        }
    }

    /// The size of the next stage of a request whose memory is one run.
    package func stageByteCount(contiguous run: Run) -> UInt64 {
        if cutsBySizeOnly(run) {
            var size = run.byteCount
            if maximumSegmentCount > 0 && maximumSegmentByteCount > 0 {
                size = min(size, maximumSegmentCount.saturatingProduct(maximumSegmentByteCount))
            }
            let limit = byteLimit
            if limit > 0 { size = min(size, limit) }
            return size / blockByteCount * blockByteCount
        }
        var given = false
        return stageByteCount(of: run.byteCount) {
            precondition(!given, "one run covers the request")
            given = true
            return run
        }
    }

    /// The number of stages of the same size in a row, if simple arithmetic tells; 1 if it takes a simulation.
    ///
    /// - Parameters:
    ///   - run: the memory of a request's rest, as for `stageByteCount(ofMemory:)`.
    ///   - byteCount: the size of its first stage; not 0.
    package func equalStageCount(ofMemory run: Run, byteCount: UInt64) -> UInt64 {
        let mask = segmentAlignment == 0 ? 0 : segmentAlignment - 1
        // The rest behind each stage is cut by size only as well, down to a last, smaller one.
        guard hasMapper, cutsBySizeOnly(run), byteCount & mask == 0 else { return 1 }
        return run.byteCount / byteCount
    }

    /// Bytes that one step of an unaligned request moves at most. The blocks that cover them fit in the bounce buffer.
    package static let unalignedStepByteCountMax: UInt64 = 128 << 10

    /// The size of one step of an unaligned request, bytes: within the bounce buffer, and within one stage.
    package func unalignedStepByteCount(bounceAddress: UInt64) -> UInt64 {
        let run = Run(address: bounceAddress, byteCount: Self.unalignedStepByteCountMax)
        return max(stageByteCount(ofMemory: run), blockByteCount)
    }

    /// Whether size limits alone cut a run's segments, never alignment or address. Then no simulation is needed.
    private func cutsBySizeOnly(_ run: Run) -> Bool {
        let mask = segmentAlignment == 0 ? 0 : segmentAlignment - 1
        guard segmentAlignment & mask == 0, (run.address | run.byteCount | maximumSegmentByteCount) & mask == 0 else {
            return false
        }
        return addressBits == 0 || addressBits >= 64 || run.address + run.byteCount <= 1 << addressBits
    }

    /// The smaller of the byte limit and the block limit, bytes; 0 for neither.
    private var byteLimit: UInt64 {
        if maximumBlockCount == 0 { return maximumByteCount }
        let blocks = maximumBlockCount.saturatingProduct(blockByteCount)
        return maximumByteCount == 0 ? blocks : min(maximumByteCount, blocks)
    }

    /// Bytes at a segment's end that exceed a limit.
    private func excess(of segment: Run) -> UInt64 {
        var excess: UInt64 = 0
        if maximumSegmentByteCount > 0 && segment.byteCount > maximumSegmentByteCount {
            excess = segment.byteCount - maximumSegmentByteCount
        }
        let beyondPage = segment.byteCount > pageByteCount ? segment.byteCount - pageByteCount : 0
        let mask = segmentAlignment == 0 ? 0 : segmentAlignment - 1
        if mask > 0 && (segment.address & mask != 0 || segment.byteCount & mask != 0) {
            excess = max(excess, beyondPage)
        }
        if addressBits > 0 && addressBits < 64 {
            let width: UInt64 = 1 << addressBits
            if segment.address >= width {
                excess = max(excess, beyondPage)
            } else if segment.address + segment.byteCount > width {
                excess = max(excess, segment.address + segment.byteCount - width)
            }
        }
        return excess
    }
}
