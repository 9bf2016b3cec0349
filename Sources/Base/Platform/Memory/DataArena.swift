import CLinux
import Glibc

/// The memory in which every request's payload lives from the socket to the members.
///
/// One mapping of an anonymous memory file, so that a driver in another process could be given it. It is
/// divided into extents of whole `DataArena.pageByteCount` pages; pages that were never touched cost nothing.
///
/// An extent is taken from the lowest addresses that have room for it (first fit). With extents of 1 to n pages, of
/// which M bytes are in use at most, first fit never needs more than about M log2(n) bytes of addresses, whatever the
/// order of claims and returns (J. M. Robson, "Worst case fragmentation of first fit and best fit storage allocation
/// strategies", The Computer Journal 20, 1977). Addresses are cheap, so an arena has eight times what is in use.
///
/// Threads: any; extents are found under a lock, so callers take large ones and divide them.
package final class DataArena: Sendable {
    /// The unit of allocation, bytes. Extents start at a multiple of it.
    package static let pageByteCount = 256 << 10

    // SAFETY: the pointer never changes; each extent belongs to whoever allocated it.
    package nonisolated(unsafe) let base: UnsafeMutableRawPointer
    package let byteCount: Int
    /// The memory file, for a process that is given it. It cannot be resized.
    package let descriptor: Int32
    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var pages: [PageState]
    /// Every page below is in use.
    private nonisolated(unsafe) var searchStart = 0
    // SAFETY: touched only under `lock`.
    /// Every page from here on has no memory.
    private nonisolated(unsafe) var touchedEnd = 0

    private struct PageState: BitwiseCopyable {
        var isUsed = false
        /// The page is free and may have memory.
        var isStale = false
        /// The calls of `trim` since a stale page was freed.
        var age: UInt8 = 0
    }

    /// - Parameter byteCount: capacity in bytes; rounded up to whole pages.
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

    /// Gives back an extent that `allocate` returned. Its memory stays for whoever allocates it next, until `trim`.
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

    /// Gives the memory of pages back to the system that have been free for a while. To be called now and then, by one
    /// thread at a time; allocations go on meanwhile.
    /// - Parameter age: the number of calls, this one included, during which a page was free; 1 for every free page.
    package func trim(age: Int) {
        var next = 0
        while let run = takeStaleRun(from: next, age: age) {
            // A failure leaves memory where it was; its content is nobody's.
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

    /// Pages that are punched at a time: nobody can have them meanwhile.
    private static let trimPageCount = 32

    /// Lets pages age, and takes the next few that are old enough out of the arena.
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
