import RAID

/// A page of a write cache: its part of the array, its dirty sectors, its state, and its links in lists.
///
/// A clean page is a free page: the cache holds only data that is not on the members yet.
struct CardCachePage: BitwiseCopyable {
    static let byteCount = 4096
    static let sectorCount: UInt64 = 8
    /// The index of no page.
    static let none: Int32 = -1

    enum Use: UInt8, BitwiseCopyable {
        case free
        /// Holds dirty sectors; no command and no destage works on it.
        case resting
        /// One command copies into it or out of it, without the lock.
        case copying
        /// Its dirty sectors are on their way to the members.
        case destaging
    }

    var use = Use.free
    /// Sectors whose data is newer than the members', as bits from the lowest.
    var dirty: UInt8 = 0
    /// The number of destage runs under way that contain sectors of this page.
    var runCount: UInt8 = 0
    var isListed = false
    /// The status of the last destage that failed.
    var failure = ArrayStatus.done
    /// The page's number in the array.
    var number: UInt64 = 0
    /// When the oldest dirty sector was written, by the cache's clock; `.max` while no sector is dirty.
    var dirtyAt = UInt64.max
    /// When a destage last failed, by the cache's clock.
    var failedAt: UInt64 = 0
    /// The next page of the same hash.
    var nextInIndex = CardCachePage.none
    /// The next free page, or the next page of the command that copies.
    var link = CardCachePage.none
    // Neighbours in the dirty list.
    var previous = CardCachePage.none
    var next = CardCachePage.none
    /// Commands that wait until the page is resting or free.
    var waiters = WaitList()
}
