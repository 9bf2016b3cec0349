import ParallelInterface
import Platform

/// How large a piece of a request may be: the rule by which IOBlockStorageDriver breaks requests up.
///
/// Pure arithmetic over the physical runs of a request's memory. A limit of 0 does not exist.
package struct BreakUpLimits: Sendable, Equatable {
    package var blockByteCount: UInt64 = 512
    package var maximumBlockCount: UInt64 = 0
    package var maximumByteCount: UInt64 = 0
    package var maximumSegmentCount: UInt64 = 0
    package var maximumSegmentByteCount: UInt64 = 0
    /// Bytes that a segment's address and length must be multiples of.
    package var segmentAlignment: UInt64 = 0
    /// Bits that a segment's address may have; 0 and 64 mean all.
    package var addressBits: UInt64 = 0
    package var pageByteCount: UInt64 = 16384
    /// Whether an IOMMU makes runs that are not adjacent look adjacent to the card.
    package var hasMapper = true

    package init() {}

    /// The limits of one direction that an HBA published.
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
        package var address: UInt64
        package var byteCount: UInt64

        package init(address: UInt64, byteCount: UInt64) {
            self.address = address
            self.byteCount = byteCount
        }
    }

    /// The size of the next piece.
    ///
    /// - Parameters:
    ///   - byteCount: what is left of the request.
    ///   - nextRun: the runs of that part's memory, in order; called until they cover it.
    /// - Returns: bytes, a multiple of the block size; 0 when not even one block obeys the limits.
    package func pieceByteCount(of byteCount: UInt64, nextRun: () -> Run) -> UInt64 {
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

    /// The size of the next piece of a request whose memory is contiguous for the processor. For the device it is one
    /// run behind a mapper; without one, no two pages are neighbours.
    package func pieceByteCount(ofMemory run: Run) -> UInt64 {
        if hasMapper { return pieceByteCount(contiguous: run) }
        var address = run.address
        return pieceByteCount(of: run.byteCount) {
            let inPage = address % pageByteCount
            let length = min(pageByteCount - inPage, run.address + run.byteCount - address)
            defer { address += length }
            return Run(address: (address - inPage) * 2 + inPage, byteCount: length)
        }
    }

    /// The size of the next piece of a request whose memory is one run.
    package func pieceByteCount(contiguous run: Run) -> UInt64 {
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
        return pieceByteCount(of: run.byteCount) {
            precondition(!given, "one run covers the request")
            given = true
            return run
        }
    }

    /// How many pieces of the same size follow each other, where that is plain: 1 if it would have to be tried.
    ///
    /// - Parameters:
    ///   - run: the memory of a request's rest, as for `pieceByteCount(ofMemory:)`.
    ///   - byteCount: the size of its first piece; not 0.
    package func equalPieceCount(ofMemory run: Run, byteCount: UInt64) -> UInt64 {
        let mask = segmentAlignment == 0 ? 0 : segmentAlignment - 1
        // What is left after each piece is cut by size only as well, up to the rest that is smaller.
        guard hasMapper, cutsBySizeOnly(run), byteCount & mask == 0 else { return 1 }
        return run.byteCount / byteCount
    }

    /// Bytes of the bounce buffer that one step of an unaligned request uses at most: blocks that cover it fit in the
    /// buffer.
    package static let unalignedStepByteCountMax: UInt64 = 128 << 10

    /// The size of one step of an unaligned request, bytes: within the bounce buffer and one stage of the HBA.
    package func unalignedStepByteCount(bounceAddress: UInt64) -> UInt64 {
        let run = Run(address: bounceAddress, byteCount: Self.unalignedStepByteCountMax)
        return max(pieceByteCount(ofMemory: run), blockByteCount)
    }

    /// Whether every segment of a run ends where its size says: none is cut for its alignment or its address. Then
    /// nothing needs to be simulated.
    private func cutsBySizeOnly(_ run: Run) -> Bool {
        let mask = segmentAlignment == 0 ? 0 : segmentAlignment - 1
        guard segmentAlignment & mask == 0, (run.address | run.byteCount | maximumSegmentByteCount) & mask == 0 else {
            return false
        }
        return addressBits == 0 || addressBits >= 64 || run.address + run.byteCount <= 1 << addressBits
    }

    /// The byte limit, with the block limit in bytes.
    private var byteLimit: UInt64 {
        if maximumBlockCount == 0 { return maximumByteCount }
        let blocks = maximumBlockCount.saturatingProduct(blockByteCount)
        return maximumByteCount == 0 ? blocks : min(maximumByteCount, blocks)
    }

    /// The bytes at a segment's end that some limit forbids.
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
