import BlockStorage
import Glibc
import Platform

/// A waiting request, and the mailbox of its lane.
struct Waiter {
    let mailbox: LaneMailbox
    let tag: UInt16
}

/// The pages of the cache, and the requests that wait for them.
///
/// Threads: everything under `lock`. It is held at most for the copy of one page or for one look at every page's state,
/// and never across I/O.
final class PageTable: @unchecked Sendable {
    // SAFETY: as above; the pointers never change.

    let lock = Lock()
    let staging: StagingPool
    let pages: UnsafeMutablePointer<CachePage>
    /// The number of power cuts. A request that changes the device fails if a cut comes between its begin and its end.
    private(set) var powerCutCount: UInt64 = 0
    let deviceByteCount: UInt64
    /// Rows that wait for the release of a page or a staging buffer.
    var roomWaiters: [Waiter] = []
    /// Rows that wait for the end of a page's I/O, by page number.
    var pageWaiters: [UInt64: [Waiter]] = [:]
    /// Ranges that the raw device is changing by itself.
    var barriers: [PageBarrier] = []

    private let slotCount: Int
    private let memory: UnsafeMutableRawPointer
    private var index: [UInt64: Int] = [:]
    private var freeSlots: [Int]
    private var hand = 0
    private var evictableCount = 0
    private var unconfirmedSectorCount = 0

    /// - Parameters:
    ///   - byteCount: the cache's size, rounded down to whole pages.
    /// - Throws: if that is less than a page, or the memory cannot be allocated.
    init(byteCount: Int, deviceByteCount: UInt64, staging: StagingPool) throws(OSError) {
        self.deviceByteCount = deviceByteCount
        self.staging = staging
        slotCount = byteCount / Int(CachePage.byteCount)
        guard slotCount > 0 else { throw OSError(code: EINVAL, doing: "make a buffer cache of less than 16 KiB") }
        var memory: UnsafeMutableRawPointer?
        let status = posix_memalign(&memory, Int(CachePage.byteCount), slotCount * Int(CachePage.byteCount))
        guard status == 0, let memory else { throw OSError(code: status, doing: "find memory for the buffer cache") }
        self.memory = memory
        pages = .allocate(capacity: slotCount)
        pages.initialize(repeating: CachePage(), count: slotCount)
        freeSlots = (0..<slotCount).reversed()
        index.reserveCapacity(slotCount)
    }

    deinit {
        free(memory)
        pages.deallocate()
    }

    // MARK: Pages

    /// Bytes that may be nowhere but in the cache.
    var dirtyByteCount: UInt64 { UInt64(unconfirmedSectorCount) * CachePage.sectorByteCount }

    func slot(of number: UInt64) -> Int? { index[number] }

    func content(_ slot: Int) -> UnsafeMutableRawPointer { memory + slot * Int(CachePage.byteCount) }

    /// The sectors that a page has: all, except at the end of the device.
    func sectorsPresent(in number: UInt64) -> UInt32 {
        let byteCount = min(CachePage.byteCount, deviceByteCount - number * CachePage.byteCount)
        return CachePage.sectors(touching: 0..<Int(byteCount))
    }

    /// Changes a page's state. Every change goes this way, so that the counts stay right.
    func update(_ slot: Int, _ change: (inout CachePage) -> Void) {
        assert(slot >= 0 && slot < slotCount, "the cache has no such slot")
        let page = pages + slot
        evictableCount -= page.pointee.isEvictable ? 1 : 0
        unconfirmedSectorCount -= page.pointee.unconfirmed.nonzeroBitCount
        change(&page.pointee)
        evictableCount += page.pointee.isEvictable ? 1 : 0
        unconfirmedSectorCount += page.pointee.unconfirmed.nonzeroBitCount
        assert(page.pointee.dirty & ~page.pointee.valid == 0, "a sector is dirty whose content is not there")
        assert(evictableCount >= 0 && unconfirmedSectorCount >= 0, "the cache counts below nothing")
    }

    /// Makes an empty page in a free slot, or in a clean page's slot.
    /// - Returns: its slot; nil if every page is dirty or busy.
    func insert(_ number: UInt64) -> Int? {
        assert(index[number] == nil, "a page is in the cache twice")
        guard let slot = freeSlots.popLast() ?? evict() else { return nil }
        index[number] = slot
        update(slot) { page in
            page = CachePage(number: number)
            page.isUsed = true
        }
        return slot
    }

    /// Asserts what holds whenever the lock is free: counts, index and free slots agree with the pages. Tests ask for
    /// it; in a release build, assertions are nothing.
    func checkInvariants() {
        let used = (0..<slotCount).filter { pages[$0].isUsed }
        assert(used.count == index.count, "the index has lost a page, or keeps one that is gone")
        assert(used.allSatisfy { index[pages[$0].number] == $0 }, "a page is not found by its number")
        assert(used.allSatisfy { pages[$0].isBusy || pages[$0].valid != 0 }, "an empty page keeps its slot")
        let freeCount = slotCount - used.count
        assert(
            freeSlots.count == freeCount && Set(freeSlots).isDisjoint(with: used), "a slot is lost, or free and used")
        assert(used.count { pages[$0].isEvictable } == evictableCount, "the cache miscounts its clean pages")
        let unconfirmed = used.reduce(0) { $0 + pages[$1].unconfirmed.nonzeroBitCount }
        assert(unconfirmed == unconfirmedSectorCount, "the cache miscounts its dirty sectors")
    }

    /// Frees the slot of a clean page that was not used lately.
    private func evict() -> Int? {
        guard evictableCount > 0 else { return nil }
        while true {
            let slot = hand
            hand = (hand + 1) % slotCount
            guard pages[slot].isEvictable else { continue }
            if pages[slot].isReferenced {
                pages[slot].isReferenced = false
            } else {
                index[pages[slot].number] = nil
                return slot
            }
        }
    }

    /// Frees a page's slot if the page has neither content nor I/O under way.
    private func removeIfEmpty(_ slot: Int) {
        guard pages[slot].isUsed, !pages[slot].isBusy, pages[slot].valid == 0 else { return }
        index[pages[slot].number] = nil
        update(slot) { $0 = CachePage() }
        freeSlots.append(slot)
    }

    /// After I/O for a page: frees it if it is empty, and wakes the requests that waited for it.
    func settle(_ slot: Int, waking woken: inout [Waiter]) {
        let number = pages[slot].number
        removeIfEmpty(slot)
        wake(page: number, &woken)
    }

    /// The page to write back when there is no room: the first one behind the clock's hand that is dirty, idle and
    /// outside every barrier.
    func writeBackVictim() -> UInt64? {
        for step in 0..<slotCount {
            let page = pages[(hand + step) % slotCount]
            if isReadyForWriteBack(page) { return page.number }
        }
        return nil
    }

    func isReadyForWriteBack(_ page: CachePage) -> Bool {
        page.dirty != 0 && page.writing == 0 && !barriers.contains { $0.pages.contains(page.number) }
    }

    // MARK: Ranges

    /// The numbers of a range's pages that satisfy a condition, in no order.
    func numbers(in range: PageRange, where isWanted: (CachePage) -> Bool) -> [UInt64] {
        if range.count < index.count {
            return range.filter { number in index[number].map { isWanted(pages[$0]) } ?? false }
        }
        return (0..<slotCount).compactMap { slot in
            let page = pages[slot]
            return page.isUsed && range.contains(page.number) && isWanted(page) ? page.number : nil
        }
    }

    /// Drops the cache's content of a range of the device's bytes, in whole sectors. No page of it may be busy.
    func drop(_ bytes: Range<UInt64>) {
        for number in numbers(in: PageRange(touching: bytes), where: { _ in true }) {
            let start = number * CachePage.byteCount
            let part = bytes.clamped(to: start..<start + CachePage.byteCount)
            let sectors = CachePage.sectors(touching: Int(part.lowerBound - start)..<Int(part.upperBound - start))
            assert(!pages[index[number]!].isBusy, "content is dropped that is on its way")
            update(index[number]!) { page in
                page.valid &= ~sectors
                page.dirty &= ~sectors
            }
            removeIfEmpty(index[number]!)
        }
    }

    /// Drops all content. Pages with I/O under way stay, empty, until it has ended.
    /// - Returns: `dirtyByteCount` before the cut.
    func cutPower(waking woken: inout [Waiter]) -> UInt64 {
        let lost = dirtyByteCount
        powerCutCount += 1
        for slot in 0..<slotCount where pages[slot].isUsed {
            update(slot) { page in
                page.valid = 0
                page.dirty = 0
            }
            removeIfEmpty(slot)
        }
        wakeRoom(&woken)
        return lost
    }
}
