import BlockStorage
import Glibc
import Platform

/// A row of some lane that waits.
struct Waiter {
    let mailbox: LaneMailbox
    let tag: UInt16
}

/// The pages of the cache and who waits for them.
///
/// Threads: everything under `lock`, which is held for the copy of one page, or a look at the state of every page, at
/// most, and never across I/O.
final class PageTable: @unchecked Sendable {
    // SAFETY: as above; the pointers never change.

    let lock = Lock()
    let staging: StagingPool
    let pages: UnsafeMutablePointer<CachePage>
    /// How often the power was cut. What changes the device fails if it began before a cut and would end after it.
    private(set) var powerCutCount: UInt64 = 0
    /// Bytes of the device.
    let deviceByteCount: UInt64
    /// Rows that wait until anything is released: a page or a staging buffer.
    var roomWaiters: [Waiter] = []
    /// Rows that wait until I/O for a page has ended, by page number.
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
    ///   - byteCount: of the cache; what does not fill a page is not used.
    /// - Throws: when that is less than a page, or the memory is not to be had.
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

    /// Bytes that only the cache has for sure.
    var dirtyByteCount: UInt64 { UInt64(unconfirmedSectorCount) * CachePage.sectorByteCount }

    func slot(of number: UInt64) -> Int? { index[number] }

    /// A page's content.
    func content(_ slot: Int) -> UnsafeMutableRawPointer { memory + slot * Int(CachePage.byteCount) }

    /// The sectors that a page has: all but at the end of the device.
    func sectorsPresent(in number: UInt64) -> UInt32 {
        let byteCount = min(CachePage.byteCount, deviceByteCount - number * CachePage.byteCount)
        return CachePage.sectors(touching: 0..<Int(byteCount))
    }

    /// The only way to change a page's state: it keeps the counts right.
    func update(_ slot: Int, _ change: (inout CachePage) -> Void) {
        let page = pages + slot
        evictableCount -= page.pointee.isEvictable ? 1 : 0
        unconfirmedSectorCount -= page.pointee.unconfirmed.nonzeroBitCount
        change(&page.pointee)
        evictableCount += page.pointee.isEvictable ? 1 : 0
        unconfirmedSectorCount += page.pointee.unconfirmed.nonzeroBitCount
    }

    /// Makes a page, without content, of a free slot or of a clean page's.
    /// - Returns: its slot, or nil when every page is dirty or busy.
    func insert(_ number: UInt64) -> Int? {
        guard let slot = freeSlots.popLast() ?? evict() else { return nil }
        index[number] = slot
        update(slot) { page in
            page = CachePage(number: number)
            page.isUsed = true
        }
        return slot
    }

    /// Frees the slot of a clean page that was not used of late.
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

    /// Ends a page that nothing keeps any more: it has no content, and no I/O is under way for it.
    private func removeIfEmpty(_ slot: Int) {
        guard pages[slot].isUsed, !pages[slot].isBusy, pages[slot].valid == 0 else { return }
        index[pages[slot].number] = nil
        update(slot) { $0 = CachePage() }
        freeSlots.append(slot)
    }

    /// After I/O for a page: lets go of it if it is empty, and of those that waited.
    func settle(_ slot: Int, waking woken: inout [Waiter]) {
        let number = pages[slot].number
        removeIfEmpty(slot)
        wake(page: number, &woken)
    }

    /// A page to write back when there is no room: dirty, idle, and not in a barrier; the one that the clock's hand
    /// would come to first.
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

    /// The numbers of the pages in a range that satisfy a condition, in no order.
    func numbers(in range: PageRange, where isWanted: (CachePage) -> Bool) -> [UInt64] {
        if range.count < index.count {
            return range.filter { number in index[number].map { isWanted(pages[$0]) } ?? false }
        }
        return (0..<slotCount).compactMap { slot in
            let page = pages[slot]
            return page.isUsed && range.contains(page.number) && isWanted(page) ? page.number : nil
        }
    }

    /// Forgets what the cache has of a range of the device's bytes, whole sectors. No page of it is busy.
    func drop(_ bytes: Range<UInt64>) {
        for number in numbers(in: PageRange(touching: bytes), where: { _ in true }) {
            let start = number * CachePage.byteCount
            let part = bytes.clamped(to: start..<start + CachePage.byteCount)
            let sectors = CachePage.sectors(touching: Int(part.lowerBound - start)..<Int(part.upperBound - start))
            update(index[number]!) { page in
                page.valid &= ~sectors
                page.dirty &= ~sectors
            }
            removeIfEmpty(index[number]!)
        }
    }

    /// Forgets everything. Pages for which I/O is under way stay, without content, until it has ended.
    /// - Returns: the bytes that only the cache had for sure.
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
