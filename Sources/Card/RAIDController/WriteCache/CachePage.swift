import RAID

/// A page of a write cache: which part of the array it holds, which of its sectors are dirty, and what it is in.
///
/// A clean page is a free page: the cache holds only what is not on the members yet.
struct CachePage: BitwiseCopyable {
    static let byteCount = 4096
    static let sectorCount: UInt64 = 8
    /// The index of no page.
    static let none: Int32 = -1

    enum Use: UInt8, BitwiseCopyable {
        case free
        /// Holds dirty sectors, and nobody works on it.
        case resting
        /// One command copies into it or out of it, without the lock.
        case copying
        /// Its dirty sectors are on their way to the members.
        case destaging
    }

    var use = Use.free
    /// Sectors that hold data newer than the members', as bits from the lowest.
    var dirty: UInt8 = 0
    /// Destage runs under way that hold sectors of this page.
    var runCount: UInt8 = 0
    var isListed = false
    /// How the last destage that failed ended.
    var failure = ArrayStatus.done
    /// The page's number in the array.
    var number: UInt64 = 0
    /// When the oldest dirty sector came, by the cache's clock; `.max` while nothing is dirty.
    var dirtyAt = UInt64.max
    /// When a destage failed last, by the cache's clock.
    var failedAt: UInt64 = 0
    /// The next page of the same hash.
    var nextInIndex = CachePage.none
    /// The next free page, or the next page of the command that copies.
    var link = CachePage.none
    // Neighbours in the dirty list.
    var previous = CachePage.none
    var next = CachePage.none
    /// Commands that wait for the page to rest or to be free.
    var waiters = WaitList()
}
