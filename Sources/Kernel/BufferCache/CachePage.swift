/// The cache's state of one page: its place on the device, and the state of its sectors, a bit for each.
struct CachePage: BitwiseCopyable {
    /// Apple silicon's page size.
    static let byteCount: UInt64 = 16 << 10
    static let sectorByteCount: UInt64 = 512
    static let sectorCount = 32

    /// The page's place on the device, in pages.
    var number: UInt64 = 0
    /// Sectors whose content is in the cache.
    var valid: UInt32 = 0
    /// Valid sectors that are newer than the raw device's. The start of a write back clears their bits.
    var dirty: UInt32 = 0
    /// Sectors of the write back under way. A page has one at a time, so that two cannot overtake each other.
    var writing: UInt32 = 0
    /// The missing sectors are being read.
    var isFilling = false
    /// The page was used since the clock's hand last passed (second chance).
    var isReferenced = false
    /// The slot holds a page.
    var isUsed = false

    /// Raw I/O for this page is under way, so it must stay where it is.
    var isBusy: Bool { isFilling || writing != 0 }
    var isEvictable: Bool { isUsed && !isBusy && dirty == 0 }
    /// Sectors whose content may be nowhere but in the cache.
    var unconfirmed: UInt32 { dirty | (writing & valid) }

    /// The bits of a range of sectors.
    static func mask(_ sectors: Range<Int>) -> UInt32 {
        UInt32(truncatingIfNeeded: (UInt64(1) << sectors.upperBound) - (UInt64(1) << sectors.lowerBound))
    }

    /// The sectors that a range of a page's bytes touches.
    static func sectors(touching bytes: Range<Int>) -> UInt32 {
        let size = Int(sectorByteCount)
        return mask(bytes.lowerBound / size..<(bytes.upperBound + size - 1) / size)
    }

    /// The sectors that a range of a page's bytes covers only in part.
    static func sectors(cutBy bytes: Range<Int>) -> UInt32 {
        let size = Int(sectorByteCount)
        let firstWhole = (bytes.lowerBound + size - 1) / size
        let lastWhole = bytes.upperBound / size
        return sectors(touching: bytes) & ~(firstWhole < lastWhole ? mask(firstWhole..<lastWhole) : 0)
    }
}

/// Whole pages of the device, by number.
typealias PageRange = Range<UInt64>

extension PageRange {
    /// The pages that a range of the device's bytes touches.
    init(touching bytes: Range<UInt64>) {
        self =
            bytes.lowerBound / CachePage.byteCount..<(bytes.upperBound + CachePage.byteCount - 1) / CachePage.byteCount
    }
}
