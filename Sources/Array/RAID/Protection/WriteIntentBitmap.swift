import MDFormat

/// The array's write-intent bitmap, as the planner keeps it: which regions' bits are durable on every member, and which
/// operations wait for bits.
///
/// Bits are written a page at a time, in rounds: all changed pages to all members. Operations that need a bit meanwhile
/// wait for the next round. The planner writes the bits and never the header in front of them.
struct WriteIntentBitmap {
    /// A part of every member's data area that shares a bit.
    struct Region: BitwiseCopyable {
        /// The bit is set, durably, on all members.
        var isDurable = false
        /// Nothing has been written to the region since before the flush that precedes clearing.
        var isClearing = false
        /// The tick in which the region was last written to.
        var lastWrite: UInt32 = 0
    }

    let regions: UnsafeMutablePointer<Region>
    let regionCount: Int
    /// By role: where the bitmap's header begins in the member file.
    let byteOffsets: UnsafeMutablePointer<UInt64>
    /// The pages; the first one begins with room for the header, which is not written from here.
    let memory: UnsafeMutableRawPointer
    let pageCount: Int
    /// By page: it has changed since a round last wrote it.
    let isPageChanged: UnsafeMutablePointer<Bool>
    /// By page: the round under way, or the last one, writes it.
    let isPageInRound: UnsafeMutablePointer<Bool>
    /// Whether a round is wanted.
    var hasChangedPages = false
    /// Operations that wait for the next round.
    var waiting = OperationList()
    /// Operations that wait for the round that is under way.
    var round = OperationList()
    /// Writes of the round that have not come back.
    var roundOutstanding: UInt32 = 0
    /// The round's outcome: `.noSpace` or `.refused` if a member had no space, or its system did not take a write.
    var roundStatus = ArrayStatus.done
    /// Flushes before clearing that have not come back.
    var clearingOutstanding: UInt32 = 0
    /// Those flushes have ended, and `isClearing` says which bits may be cleared.
    var isReadyToClear = false
    /// Counted from 2, so that a region that was never written to is old from the start.
    var tick: UInt32 = 2
    private let regionShift: UInt64

    init(_ area: BitmapArea, geometry: ArrayGeometry) {
        let bitmap = area.bitmap
        precondition(bitmap.syncSectors * 512 >= geometry.memberDataByteCount, "the bitmap is another array's")
        regionCount = bitmap.bitCount
        regionShift = UInt64(bitmap.chunkByteCount.trailingZeroBitCount)
        regions = .allocate(capacity: regionCount)
        regions.initialize(repeating: Region(), count: regionCount)
        byteOffsets = .allocate(capacity: area.byteOffsets.count)
        for (member, offset) in area.byteOffsets.enumerated() { (byteOffsets + member).initialize(to: offset) }
        let bytes = bitmap.encoded
        pageCount = bytes.count / MDBitmap.pageByteCount
        memory = .allocate(byteCount: bytes.count, alignment: 4096)
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        isPageChanged = .allocate(capacity: pageCount)
        isPageChanged.initialize(repeating: false, count: pageCount)
        isPageInRound = .allocate(capacity: pageCount)
        isPageInRound.initialize(repeating: false, count: pageCount)
        for region in 0..<regionCount { regions[region].isDurable = bitmap.isSet(region) }
    }

    func deallocate() {
        regions.deallocate()
        byteOffsets.deallocate()
        memory.deallocate()
        isPageChanged.deallocate()
        isPageInRound.deallocate()
    }

    /// The regions that an operation writes to.
    func regions(of operation: StripeOperation, _ geometry: ArrayGeometry) -> ClosedRange<Int> {
        let range = operation.memberRange(geometry)
        return Int(range.lowerBound >> regionShift)...Int((range.upperBound - 1) >> regionShift)
    }

    /// Notes that an operation is about to write to regions.
    /// - Returns: whether their bits are durable already.
    func touch(_ range: ClosedRange<Int>) -> Bool {
        var isDurable = true
        for region in range {
            regions[region].lastWrite = tick
            regions[region].isClearing = false
            if !regions[region].isDurable { isDurable = false }
        }
        return isDurable
    }

    /// Sets the bits of regions, for the next round to write.
    mutating func set(_ range: ClosedRange<Int>) {
        for region in range {
            if !isSet(region) { change(region, to: true) }
            // An earlier round may have failed to write this one.
            if isPageChanged[Self.page(of: region)] { hasChangedPages = true }
        }
    }

    /// Makes the next round write all pages: a member has come whose bits are all set.
    mutating func changeAllPages() {
        for page in 0..<pageCount { isPageChanged[page] = true }
        hasChangedPages = true
    }

    /// Sets or clears a region's bit in memory, for the next round to write.
    mutating func change(_ region: Int, to value: Bool) {
        let offset = MDBitmap.headerByteCount + region / 8
        let byte = memory.load(fromByteOffset: offset, as: UInt8.self)
        let bit: UInt8 = 1 << UInt8(region % 8)
        memory.storeBytes(of: value ? byte | bit : byte & ~bit, toByteOffset: offset, as: UInt8.self)
        isPageChanged[Self.page(of: region)] = true
        hasChangedPages = true
    }

    /// The first byte at or behind `byteOffset` in a region whose bit is set, or nil. Bytes of a data area.
    func nextSet(from byteOffset: UInt64) -> UInt64? {
        let first = Int(byteOffset >> regionShift)
        guard let region = (min(first, regionCount)..<regionCount).first(where: { isSet($0) }) else { return nil }
        return max(byteOffset, UInt64(region) << regionShift)
    }

    var setCount: Int { (0..<regionCount).reduce(0) { $0 + (isSet($1) ? 1 : 0) } }

    func isSet(_ region: Int) -> Bool {
        memory.load(fromByteOffset: MDBitmap.headerByteCount + region / 8, as: UInt8.self) & (1 << UInt8(region % 8))
            != 0
    }

    private static func page(of region: Int) -> Int {
        (MDBitmap.headerByteCount + region / 8) / MDBitmap.pageByteCount
    }

    /// Marks the pages of a round that could not be written as changed again. They are written again for operations
    /// that need one of them, or at a tick. Trying at once would not end.
    mutating func failRound() {
        for page in 0..<pageCount where isPageInRound[page] { isPageChanged[page] = true }
        if !waiting.isEmpty { hasChangedPages = true }
    }
}
