import Platform
import RAID

/// The volatile write-back cache of one array: what was written and is not on the members yet.
///
/// Plain writes are copied into pages and answered; reads that the pages cover are copied out of them. For all other
/// commands there is one mechanism: what they overlap goes to the members first ("is destaged"), then they run as if
/// there were no cache. Pages that somebody works on are left alone; who needs one waits for it, on the page's list,
/// and who needs room or a destage run waits in `starved`. Both are resumed by the lane that ends such work. There is
/// always some under way while commands wait, so none waits for ever.
///
/// Order comes from a clock that counts events. A command remembers the time of its arrival; pages that became dirty
/// later belong to commands that overlap it in time, and it need not care for them. That bounds what a SYNCHRONIZE
/// CACHE waits for under constant writing, and lets a command see which destages failed for it.
///
/// Everything is allocated at the start.
///
/// Threads: any. State is under `lock`, which is not held while data is copied, nor across I/O: the data of a page
/// belongs to whoever made it `copying` or `destaging`.
final class WriteCache: @unchecked Sendable {
    // SAFETY: see "Threads".

    /// What becomes of a command.
    enum Verdict {
        /// It goes to the members now.
        case run
        /// Its data is to be copied into a chain of pages, then `endCopy` called.
        case copyIn(first: Int32)
        /// Its data is to be copied out of a chain of pages, then `endCopy` called.
        case copyOut(first: Int32)
        /// It belongs to the cache, which resumes it when a page that it needs is free to use.
        case waits
        /// As before; it waits for room or for a destage run, behind others that do.
        case starves
        /// What it needs could not be written to the members.
        case failed(ArrayStatus)
    }

    /// Destages at a time; each is an array request.
    static let runCapacity = 16
    /// The most bytes of one destage: enough for whole stripes, which need no reading, of common chunk sizes.
    private static let runByteCountMax: UInt64 = 1 << 20

    let lock = Lock()
    let pageCount: Int
    /// Bytes; a longer write goes to the members: it would push out everything else.
    let writeByteCountMax: UInt64
    let stripePageCount: UInt64
    let runPageCount: Int

    let pages: UnsafeMutablePointer<CachePage>
    let index: CacheIndex
    var dirtyList: DirtyList
    private var firstFree = CachePage.none
    private(set) var freeCount: Int
    /// Pages that are copying or destaging.
    var busyCount = 0
    var destagingCount = 0
    var dirtySectorCount: UInt64 = 0
    /// Counts events; arrival times are above zero.
    var clock: UInt64 = 1
    /// When dirty data was dropped last.
    private(set) var cutAt: UInt64 = 0

    let runs: UnsafeMutablePointer<DestageRun>
    /// The pages of each run, `runPageCount` places a run.
    let runPages: UnsafeMutablePointer<Int32>
    /// Waiting commands, by number.
    let links: UnsafeMutablePointer<UInt32>
    var starved = WaitList()
    /// The data of the pages, then that of the runs.
    private let memory: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - byteCount: data that the cache holds at most; as much again, at most, is needed to gather destages.
    ///   - stripeByteCount: of the array; destages do not cross stripes.
    ///   - commandCapacity: numbers of commands are below it.
    init?(byteCount: Int, stripeByteCount: UInt64, commandCapacity: Int) {
        pageCount = byteCount / CachePage.byteCount
        // Half of the cache, unaligned, must fit.
        guard pageCount >= 2 else { return nil }
        precondition(pageCount <= Int(Int32.max), "a cache has less than 2^31 pages")
        let pageByteCount = UInt64(CachePage.byteCount)
        writeByteCountMax = UInt64(pageCount) * pageByteCount / 2
        stripePageCount = stripeByteCount / pageByteCount
        runPageCount = max(
            1, min(pageCount / Self.runCapacity, Int(min(stripeByteCount, Self.runByteCountMax) / pageByteCount)))
        freeCount = pageCount
        pages = .allocate(capacity: pageCount)
        pages.initialize(repeating: CachePage(), count: pageCount)
        index = CacheIndex(pages: pages, pageCount: pageCount)
        dirtyList = DirtyList(pages: pages)
        runs = .allocate(capacity: Self.runCapacity)
        runs.initialize(repeating: DestageRun(), count: Self.runCapacity)
        runPages = .allocate(capacity: Self.runCapacity * runPageCount)
        links = .allocate(capacity: commandCapacity)
        memory = .allocate(
            byteCount: (pageCount + Self.runCapacity * runPageCount) * CachePage.byteCount,
            alignment: CachePage.byteCount)
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
    func data(ofPage page: Int32) -> UnsafeMutableRawPointer { memory + Int(page) * CachePage.byteCount }

    /// Where the data of a run is gathered, beginning with its first page's first sector.
    func data(ofRun run: Int) -> UnsafeMutableRawPointer {
        memory + (pageCount + run * runPageCount) * CachePage.byteCount
    }

    /// Bytes that are not on the members yet, those included that are on their way.
    var dirtyByteCount: UInt64 { lock.withLock { dirtySectorCount } * SectorRange.sectorByteCount }

    // MARK: Pages, under the lock

    /// Takes a free page for a number that has none.
    func claimPage(_ number: UInt64) -> Int32 {
        let page = firstFree
        firstFree = pages[Int(page)].link
        freeCount -= 1
        pages[Int(page)] = CachePage()
        pages[Int(page)].number = number
        index.insert(page)
        return page
    }

    /// Ends what somebody did with a page: it rests if it is dirty, and is free otherwise. Those who wait for it are
    /// to be resumed.
    func release(_ page: Int32, resuming resumed: inout [UInt32]) {
        busyCount -= 1
        let pointer = pages + Int(page)
        while let number = pointer.pointee.waiters.popFirst(links: links) { resumed.append(number) }
        if pointer.pointee.dirty == 0 {
            free(page)
        } else {
            pointer.pointee.use = .resting
            if !pointer.pointee.isListed { dirtyList.insert(page) }
        }
    }

    private func free(_ page: Int32) {
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

    /// Drops all dirty data, as a loss of power does. What is on its way to the members may arrive there.
    ///
    /// Pages that somebody works on stay, clean, until that ends: a destage that arrives late must not overwrite what
    /// is written from now on. A write that is being copied counts as one that came after the cut.
    /// - Returns: bytes dropped.
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
