import RAID

/// Contiguous sectors of an array, as a write cache counts them.
struct SectorRange: BitwiseCopyable {
    static let sectorByteCount: UInt64 = 512

    var first: UInt64
    /// One past the last.
    var end: UInt64

    /// - Parameters: bytes of the array; multiples of a sector, and at least one.
    init(byteOffset: UInt64, byteCount: UInt64) {
        assert(byteOffset % Self.sectorByteCount == 0 && byteCount % Self.sectorByteCount == 0, "a sector is cut")
        self.init(first: byteOffset / Self.sectorByteCount, end: (byteOffset + byteCount) / Self.sectorByteCount)
    }

    init(of request: ArrayRequest) { self.init(byteOffset: request.byteOffset, byteCount: request.byteCount) }

    init(first: UInt64, end: UInt64) {
        assert(first <= end, "a range ends in front of its beginning")
        self.first = first
        self.end = end
    }

    /// Every possible sector.
    static let everything = SectorRange(first: 0, end: .max)

    var byteOffset: UInt64 { first * Self.sectorByteCount }
    var byteCount: UInt64 { (end - first) * Self.sectorByteCount }

    // The pages that contain sectors of the range.
    var firstPage: UInt64 { first / CardCachePage.sectorCount }
    var lastPage: UInt64 { (end - 1) / CardCachePage.sectorCount }
    var pageCount: UInt64 { lastPage - firstPage + 1 }

    /// Whether some page contains sectors of both ranges.
    func sharesPage(with other: SectorRange) -> Bool { firstPage <= other.lastPage && other.firstPage <= lastPage }

    func contains(page: UInt64) -> Bool { page >= firstPage && page <= lastPage }

    /// The part of the range in a page; the page must contain sectors of the range.
    func part(inPage page: UInt64) -> SectorRange {
        let start = page * CardCachePage.sectorCount
        assert(end > first && contains(page: page), "the page has no sector of the range")
        return SectorRange(first: max(first, start), end: min(end, start + CardCachePage.sectorCount))
    }

    /// The range's sectors in a page, as bits from the lowest.
    func mask(inPage page: UInt64) -> UInt8 {
        let part = part(inPage: page)
        let bits = UInt16(1) << UInt16(part.end - part.first) - 1
        return UInt8(bits << UInt16(part.first % CardCachePage.sectorCount))
    }
}
