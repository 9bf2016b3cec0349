import BlockStorage
import Platform

/// Memory in the data arena for one raw transfer of the cache.
struct StagingBuffer: BitwiseCopyable {
    let base: UnsafeMutableRawPointer
    let pageCount: Int
}

/// The buffers through which pages move between the cache and the raw device.
///
/// Neighbours on the device lie anywhere in the cache; a staging buffer makes one transfer of them. It also lets a
/// request write to a page while an older state of the page is on its way out.
///
/// Threads: under the page table's lock.
final class StagingPool {
    private static let smallCount = 512
    private static let largeCount = 16
    /// Pages of a large buffer: 1 MiB.
    static let largePageCount = 64

    private let arena: DataArena
    private let extent: UnsafeMutableRawBufferPointer
    private var small: [StagingBuffer] = []
    private var large: [StagingBuffer] = []

    /// - Throws: if the arena has no room.
    init(arena: DataArena) throws(OSError) {
        self.arena = arena
        let pageCount = Self.smallCount + Self.largeCount * Self.largePageCount
        guard let extent = arena.allocate(byteCount: pageCount * Int(CachePage.byteCount)) else {
            throw OSError(code: 12, doing: "find staging buffers in the data arena")
        }
        self.extent = extent
        var next = extent.baseAddress!
        for _ in 0..<Self.largeCount {
            large.append(StagingBuffer(base: next, pageCount: Self.largePageCount))
            next += Self.largePageCount * Int(CachePage.byteCount)
        }
        for _ in 0..<Self.smallCount {
            small.append(StagingBuffer(base: next, pageCount: 1))
            next += Int(CachePage.byteCount)
        }
    }

    deinit { arena.free(extent) }

    /// A buffer for `pageCount` pages, or a smaller one; nil if all are in use.
    func take(pageCount: Int) -> StagingBuffer? {
        if pageCount > 1, let buffer = large.popLast() { return buffer }
        return small.popLast() ?? large.popLast()
    }

    func giveBack(_ buffer: StagingBuffer) {
        if buffer.pageCount == 1 { small.append(buffer) } else { large.append(buffer) }
    }
}
