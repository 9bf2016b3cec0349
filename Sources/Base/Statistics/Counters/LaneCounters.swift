import Synchronization

/// Counters that many threads count in without waiting for one another, and that any thread can read.
///
/// Every lane has words of its own, on cache lines of its own, so to count is to load, to add and to store. A reader
/// sees each word as it was a moment ago; it never goes back. Nothing orders two words.
///
/// Threads: a lane's words are counted in by one thread at a time; totals on any.
package final class LaneCounters: Sendable {
    /// Two cache lines: processors fetch lines in pairs.
    @usableFromInline static let alignment = 128

    package let laneCount: Int
    @usableFromInline let stride: Int
    // SAFETY: the pointer never changes, and the words are atomic.
    @usableFromInline nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// - Parameters:
    ///   - laneCount: lanes at most.
    ///   - wordCount: counters of each lane.
    package init(laneCount: Int, wordCount: Int) {
        self.laneCount = laneCount
        let wordsPerLine = Self.alignment / MemoryLayout<UInt64>.stride
        stride = (wordCount + wordsPerLine - 1) / wordsPerLine * wordsPerLine
        let count = max(laneCount * stride, 1)
        words = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<UInt64>.stride, alignment: Self.alignment
        ).bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
    }

    deinit { words.deallocate() }

    /// Counts. Only the thread that has the lane.
    @inlinable package func add(_ amount: UInt64, to word: Int, lane: Int) {
        let place = words + (lane &* stride &+ word)
        // Nobody else writes, so the two need not be one instruction.
        place.pointee.store(place.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// What all lanes have counted so far.
    package func total(of word: Int) -> UInt64 {
        var total: UInt64 = 0
        for lane in 0..<laneCount { total &+= words[lane * stride + word].load(ordering: .relaxed) }
        return total
    }
}
