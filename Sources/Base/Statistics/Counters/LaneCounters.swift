import Synchronization

/// Counters that many threads add to without waiting for one another, and that any thread can read.
///
/// Every lane has words of its own, on cache lines of its own, so adding is a load, an addition and a store. A reader
/// sees each word as it was a moment ago; a word never goes back. Two words are not ordered.
///
/// Threads: one thread at a time adds to a lane's words; any thread reads totals.
@usableFromInline package final class LaneCounters: Sendable {
    /// Two cache lines: processors fetch lines in pairs.
    @usableFromInline static let alignment = 128

    /// Lanes at most.
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

    /// Adds to a counter. Only the thread that has the lane.
    @inlinable package func add(_ amount: UInt64, to word: Int, lane: Int) {
        let place = words + (lane &* stride &+ word)
        // No other thread writes this word, so load and store need not be one atomic instruction.
        place.pointee.store(place.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// The sum of a counter over all lanes. Any thread.
    package func total(of word: Int) -> UInt64 {
        var total: UInt64 = 0
        for lane in 0..<laneCount { total &+= words[lane * stride + word].load(ordering: .relaxed) }
        return total
    }
}
