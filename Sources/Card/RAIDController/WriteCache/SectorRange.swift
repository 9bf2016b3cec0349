/// Contiguous sectors of an array, as a write cache counts them.
struct SectorRange: BitwiseCopyable {
    static let sectorByteCount: UInt64 = 512

    var first: UInt64
    /// One past the last.
    var end: UInt64

    /// - Parameters: bytes; multiples of a sector, and not nothing.
    init(byteOffset: UInt64, byteCount: UInt64) {
        self.init(first: byteOffset / Self.sectorByteCount, end: (byteOffset + byteCount) / Self.sectorByteCount)
    }

    init(first: UInt64, end: UInt64) {
        self.first = first
        self.end = end
    }

    /// All sectors that there can be.
    static let everything = SectorRange(first: 0, end: .max)

    var byteOffset: UInt64 { first * Self.sectorByteCount }
    var byteCount: UInt64 { (end - first) * Self.sectorByteCount }

    // The pages that the range touches.
    var firstPage: UInt64 { first / CachePage.sectorCount }
    var lastPage: UInt64 { (end - 1) / CachePage.sectorCount }
    var pageCount: UInt64 { lastPage - firstPage + 1 }

    /// Whether there is a page that both ranges touch.
    func sharesPage(with other: SectorRange) -> Bool { firstPage <= other.lastPage && other.firstPage <= lastPage }

    func contains(page: UInt64) -> Bool { page >= firstPage && page <= lastPage }

    /// The part of the range that lies in a page that it touches.
    func part(inPage page: UInt64) -> SectorRange {
        let start = page * CachePage.sectorCount
        return SectorRange(first: max(first, start), end: min(end, start + CachePage.sectorCount))
    }

    /// The sectors of a page that the range covers, as bits from the lowest.
    func mask(inPage page: UInt64) -> UInt8 {
        let part = part(inPage: page)
        let bits = UInt16(1) << UInt16(part.end - part.first) - 1
        return UInt8(bits << UInt16(part.first % CachePage.sectorCount))
    }
}
