import CLinux
import Glibc

/// The memory in which every request's payload lives from the socket to the members.
///
/// One mapping of an anonymous memory file, so that a driver in another process could be given it. It is
/// divided into extents of whole `DataArena.pageByteCount` pages; pages that were never touched cost nothing.
///
/// Threads: any; extents are found under a lock, so callers take large ones and divide them.
package final class DataArena: Sendable {
    /// The unit of allocation, bytes. Extents start at a multiple of it.
    package static let pageByteCount = 256 << 10

    package nonisolated(unsafe) let base: UnsafeMutableRawPointer
    package let byteCount: Int
    /// The memory file, for a process that is given it. It cannot be resized.
    package let descriptor: Int32
    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var isUsed: [Bool]
    private nonisolated(unsafe) var searchStart = 0

    /// - Parameter byteCount: capacity in bytes; rounded up to whole pages.
    /// - Throws: when the system refuses the memory.
    package init(byteCount: Int) throws(OSError) {
        let pages = (byteCount + Self.pageByteCount - 1) / Self.pageByteCount
        self.byteCount = pages * Self.pageByteCount
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
        isUsed = Array(repeating: false, count: pages)
    }

    deinit {
        munmap(base, byteCount)
        close(descriptor)
    }

    /// A contiguous extent of at least `byteCount` bytes, page aligned, or nil when none is free.
    /// Its content is undefined.
    package func allocate(byteCount: Int) -> UnsafeMutableRawBufferPointer? {
        let pages = (byteCount + Self.pageByteCount - 1) / Self.pageByteCount
        return lock.withLock {
            guard let first = findRun(of: pages, from: searchStart) ?? findRun(of: pages, from: 0) else { return nil }
            for page in first..<first + pages { isUsed[page] = true }
            searchStart = first + pages
            return UnsafeMutableRawBufferPointer(
                start: base + first * Self.pageByteCount, count: pages * Self.pageByteCount)
        }
    }

    /// Gives back an extent that `allocate` returned.
    package func free(_ extent: UnsafeMutableRawBufferPointer) {
        let first = (extent.baseAddress! - base) / Self.pageByteCount
        lock.withLock {
            for page in first..<first + extent.count / Self.pageByteCount {
                precondition(isUsed[page], "arena page freed twice")
                isUsed[page] = false
            }
            searchStart = min(searchStart, first)
        }
    }

    private func findRun(of pages: Int, from start: Int) -> Int? {
        var length = 0
        for page in start..<isUsed.count {
            length = isUsed[page] ? 0 : length + 1
            if length == pages { return page + 1 - pages }
        }
        return nil
    }
}
