import Platform
import RAID

/// The volatile write-back cache of one array: data that was written and is not on the members yet.
///
/// Plain writes are copied into pages and answered. Reads whose data is all in pages are copied out of them. All other
/// commands take one way: the pages that they overlap go to the members first ("are destaged"), then the command runs
/// as if there were no cache. A busy page is left alone. A command that needs it waits on the page's list; a command
/// that needs room or a destage run waits in `starved`. The lane that ends copying or a destage resumes both. Some of
/// that is under way whenever commands wait, so no command waits for ever.
///
/// A clock that counts events gives the order. A command keeps the time of its arrival. Pages that became dirty later
/// belong to commands that overlap it in time, so it ignores them. That bounds the wait of a SYNCHRONIZE CACHE under
/// constant writing, and tells a command which failed destages concern it.
///
/// All memory is allocated at the start.
///
/// Threads: any. The state is under `lock`, which is not held while data is copied, nor across I/O: the data of a page
/// belongs to the lane that made it `copying` or `destaging`.
final class WriteCache: @unchecked Sendable {
    // SAFETY: see "Threads" above.

    /// What happens to a command.
    enum Verdict {
        /// The command goes to the members now.
        case run
        /// The caller copies the command's data into a chain of pages, then calls `endCopy`.
        case copyIn(first: Int32)
        /// The caller copies the command's data out of a chain of pages, then calls `endCopy`.
        case copyOut(first: Int32)
        /// The cache keeps the command, and resumes it when a page that it needs is not busy any more.
        case waits
        /// The cache keeps the command, which waits for room or for a destage run behind others that do.
        case starves
        /// Pages that the command needs on the members could not be written there.
        case failed(ArrayStatus)
    }

    /// The most destages at a time; each is an array request.
    static let runCapacity = 16
    /// The most bytes of one destage: enough for whole stripes of common chunk sizes, which are written without
    /// reading.
    private static let runByteCountMax: UInt64 = 1 << 20

    let lock = Lock()
    let pageCount: Int
    /// In bytes. A longer write goes to the members, since it would push out everything else.
    let writeByteCountMax: UInt64
    let stripePageCount: UInt64
    let runPageCount: Int

    let pages: UnsafeMutablePointer<CardCachePage>
    let index: CacheIndex
    var dirtyList: DirtyList
    private var firstFree = CardCachePage.none
    private(set) var freeCount: Int
    /// Pages that are copying or destaging.
    var busyCount = 0
    var destagingCount = 0
    var dirtySectorCount: UInt64 = 0
    /// Counts events. Times are above zero.
    var clock: UInt64 = 1
    /// When dirty data was last dropped.
    private(set) var cutAt: UInt64 = 0

    let runs: UnsafeMutablePointer<DestageRun>
    /// The pages of each run: `runPageCount` entries for each.
    let runPages: UnsafeMutablePointer<Int32>
    /// The links of waiting commands, by the commands' numbers.
    let links: UnsafeMutablePointer<UInt32>
    var starved = WaitList()
    /// The data of the pages, then that of the runs.
    private let memory: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - byteCount: the most data that the cache holds; destaging takes as much memory again, at most.
    ///   - stripeByteCount: the array's data bytes of a stripe; destages do not cross stripes.
    ///   - commandCapacity: above all numbers of commands.
    init?(byteCount: Int, stripeByteCount: UInt64, commandCapacity: Int) {
        pageCount = byteCount / CardCachePage.byteCount
        // The longest write is half of the cache, and touches one page more when it is unaligned.
        guard pageCount >= 2 else { return nil }
        precondition(pageCount <= Int(Int32.max), "a cache has less than 2^31 pages")
        let pageByteCount = UInt64(CardCachePage.byteCount)
        writeByteCountMax = UInt64(pageCount) * pageByteCount / 2
        stripePageCount = stripeByteCount / pageByteCount
        runPageCount = max(
            1, min(pageCount / Self.runCapacity, Int(min(stripeByteCount, Self.runByteCountMax) / pageByteCount)))
        freeCount = pageCount
        pages = .allocate(capacity: pageCount)
        pages.initialize(repeating: CardCachePage(), count: pageCount)
        index = CacheIndex(pages: pages, pageCount: pageCount)
        dirtyList = DirtyList(pages: pages)
        runs = .allocate(capacity: Self.runCapacity)
        runs.initialize(repeating: DestageRun(), count: Self.runCapacity)
        runPages = .allocate(capacity: Self.runCapacity * runPageCount)
        links = .allocate(capacity: commandCapacity)
        memory = .allocate(
            byteCount: (pageCount + Self.runCapacity * runPageCount) * CardCachePage.byteCount,
            alignment: CardCachePage.byteCount)
        for page in (0..<pageCount).reversed() { pushFree(Int32(page)) }
    }

    deinit {
        pages.deallocate()
        index.deallocate()
        runs.deallocate()
        runPages.deallocate()
        links.deallocate()
        memory.deallocate()
    }

    /// The data of a page.
    func data(ofPage page: Int32) -> UnsafeMutableRawPointer { memory + Int(page) * CardCachePage.byteCount }

    /// The memory in which the data of a run is gathered; it begins with the first sector of the run's first page.
    func data(ofRun run: Int) -> UnsafeMutableRawPointer {
        memory + (pageCount + run * runPageCount) * CardCachePage.byteCount
    }

    /// The bytes that are not on the members yet, including those on their way.
    var dirtyByteCount: UInt64 { lock.withLock { dirtySectorCount } * SectorRange.sectorByteCount }

    // MARK: Pages, under the lock

    /// Claims a free page for a page number that has none.
    func claimPage(_ number: UInt64) -> Int32 {
        let page = firstFree
        assert(freeCount > 0 && page != CardCachePage.none, "no page is free")
        firstFree = pages[Int(page)].link
        freeCount -= 1
        pages[Int(page)] = CardCachePage()
        pages[Int(page)].number = number
        index.insert(page)
        return page
    }

    /// Ends the work on a page: a dirty page is resting now, another one is free.
    /// - Parameter resumed: receives the commands that waited for the page.
    func release(_ page: Int32, resuming resumed: inout [UInt32]) {
        busyCount -= 1
        let pointer = pages + Int(page)
        assert(busyCount >= 0 && pointer.pointee.runCount == 0, "the page is busy with something else")
        while let number = pointer.pointee.waiters.popFirst(links: links) { resumed.append(number) }
        if pointer.pointee.dirty == 0 {
            free(page)
        } else {
            pointer.pointee.use = .resting
            if !pointer.pointee.isListed { dirtyList.insert(page) }
        }
    }

    private func free(_ page: Int32) {
        assert(pages[Int(page)].dirty == 0 && pages[Int(page)].waiters.isEmpty, "the page is wanted")
        index.remove(page)
        if pages[Int(page)].isListed { dirtyList.remove(page) }
        pushFree(page)
        freeCount += 1
    }

    private func pushFree(_ page: Int32) {
        pages[Int(page)].use = .free
        pages[Int(page)].link = firstFree
        firstFree = page
    }

    // MARK: Power

    /// Drops all dirty data, as a loss of power does. Data on its way to the members may still arrive there.
    ///
    /// Busy pages stay, clean, until the work on them ends: a destage that arrives late must not overwrite later
    /// writes. A write that is being copied counts as one after the cut.
    /// - Returns: the bytes dropped.
    func powerCut() -> UInt64 {
        lock.withLock {
            let dropped = dirtySectorCount * SectorRange.sectorByteCount
            if dropped == 0 { return 0 }
            clock += 1
            cutAt = clock
            dirtySectorCount = 0
            for page in 0..<pageCount where pages[page].use != .free {
                pages[page].dirty = 0
                if pages[page].isListed { dirtyList.remove(Int32(page)) }
                switch pages[page].use {
                case .resting: free(Int32(page))
                case .copying: pages[page].dirtyAt = .max
                case .free, .destaging: break
                }
            }
            return dropped
        }
    }
}
