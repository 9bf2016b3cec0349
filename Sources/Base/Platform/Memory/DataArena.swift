import CLinux
import Glibc

/// The memory in which every request's payload lives from the socket to the members.
///
/// One mapping of an anonymous memory file, so that a driver in another process can map it too. It is divided into
/// extents of whole `DataArena.pageByteCount` pages. Untouched pages cost nothing.
///
/// An extent is taken at the lowest addresses with room for it (first fit). If extents have 1 to n pages and at most M
/// bytes are in use at a time, first fit needs no more than about M log2(n) bytes of addresses, whatever the order of
/// claims and returns (J. M. Robson, "Worst case fragmentation of first fit and best fit storage allocation
/// strategies", The Computer Journal 20, 1977). Addresses are cheap, so an arena has eight times the bytes in use.
///
/// Threads: any. The search holds a lock, so callers take large extents and divide them.
package final class DataArena: Sendable {
    /// The unit of allocation, bytes. Extents start at a multiple of it.
    package static let pageByteCount = 256 << 10

    // SAFETY: the pointer never changes; each extent belongs to its claimant.
    /// The first byte of the mapping.
    package nonisolated(unsafe) let base: UnsafeMutableRawPointer
    /// The capacity, bytes; whole pages.
    package let byteCount: Int
    /// The memory file, to hand to a driver's process. It cannot be resized.
    package let descriptor: Int32
    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var pages: [PageState]
    /// All pages below this one are in use.
    private nonisolated(unsafe) var searchStart = 0
    // SAFETY: touched only under `lock`.
    /// Pages from here on have no memory.
    private nonisolated(unsafe) var touchedEnd = 0

    private struct PageState: BitwiseCopyable {
        var isUsed = false
        /// The page is free and may have memory.
        var isStale = false
        /// Calls of `trim` since the stale page was freed.
        var age: UInt8 = 0
    }

    /// - Parameter byteCount: the capacity in bytes, rounded up to whole pages.
    /// - Throws: when the system refuses the memory.
    package init(byteCount: Int) throws(OSError) {
        let count = (byteCount + Self.pageByteCount - 1) / Self.pageByteCount
        self.byteCount = count * Self.pageByteCount
        let descriptor = nbdext_memfd("nbdext-arena", Int64(self.byteCount))
        guard descriptor >= 0 else { throw OSError(code: -descriptor, doing: "make the data arena") }
        _ = nbdext_seal(descriptor)
        let mapping = mmap(nil, self.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        let code = errno
        guard let mapping, mapping != MAP_FAILED else {
            close(descriptor)
            throw OSError(code: code, doing: "map the data arena")
        }
        self.descriptor = descriptor
        base = mapping
        pages = Array(repeating: PageState(), count: count)
    }

    deinit {
        munmap(base, byteCount)
        close(descriptor)
    }

    /// A contiguous extent of at least `byteCount` bytes, page aligned, or nil when none is free.
    /// Its content is undefined.
    package func allocate(byteCount: Int) -> UnsafeMutableRawBufferPointer? {
        let count = (byteCount + Self.pageByteCount - 1) / Self.pageByteCount
        return lock.withLock {
            guard let first = findRun(of: count) else { return nil }
            for page in first..<first + count { pages[page] = PageState(isUsed: true) }
            if first == searchStart { searchStart = first + count }
            touchedEnd = max(touchedEnd, first + count)
            return UnsafeMutableRawBufferPointer(
                start: base + first * Self.pageByteCount, count: count * Self.pageByteCount)
        }
    }

    /// Gives back an extent of `allocate`. It keeps its memory for its next user, until `trim`.
    package func free(_ extent: UnsafeMutableRawBufferPointer) {
        let first = (extent.baseAddress! - base) / Self.pageByteCount
        lock.withLock {
            for page in first..<first + extent.count / Self.pageByteCount {
                precondition(pages[page].isUsed, "arena page freed twice")
                pages[page] = PageState(isStale: true)
            }
            searchStart = min(searchStart, first)
        }
    }

    /// Gives the memory of pages that have been free for a while back to the system. Call it regularly, from one thread
    /// at a time; allocations go on meanwhile.
    /// - Parameter age: the calls, this one included, during which a page has to have been free; 1 takes every free
    ///   page.
    package func trim(age: Int) {
        var next = 0
        while let run = takeStaleRun(from: next, age: age) {
            // After a failure the page keeps its memory, whose content means nothing.
            _ = nbdext_punch_hole(
                descriptor, Int64(run.lowerBound * Self.pageByteCount), Int64(run.count * Self.pageByteCount))
            lock.withLock {
                for page in run { pages[page] = PageState() }
                searchStart = min(searchStart, run.lowerBound)
            }
            next = run.upperBound
        }
        lock.withLock {
            while touchedEnd > 0, !pages[touchedEnd - 1].isUsed, !pages[touchedEnd - 1].isStale { touchedEnd -= 1 }
        }
    }

    /// Pages that are punched at a time. They cannot be allocated meanwhile.
    private static let trimPageCount = 32

    /// Ages the stale pages, and marks the next run of old enough ones as used.
    private func takeStaleRun(from start: Int, age: Int) -> Range<Int>? {
        lock.withLock {
            var first: Int?
            for page in min(start, touchedEnd)..<touchedEnd {
                if pages[page].isStale && Int(pages[page].age) + 1 >= age {
                    pages[page] = PageState(isUsed: true)
                    if first == nil { first = page }
                    if page + 1 - first! == Self.trimPageCount { return first!..<page + 1 }
                } else {
                    if let first { return first..<page }
                    if pages[page].isStale { pages[page].age += 1 }
                }
            }
            return first.map { $0..<touchedEnd }
        }
    }

    private func findRun(of count: Int) -> Int? {
        var length = 0
        for page in searchStart..<pages.count {
            length = pages[page].isUsed ? 0 : length + 1
            if length == count { return page + 1 - count }
        }
        return nil
    }
}
