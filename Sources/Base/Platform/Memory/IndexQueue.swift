import Synchronization

/// A first-in first-out queue of the entries of a table, by index, which any thread fills and empties without a lock.
///
/// An entry of the queue has a place: a number that only grows. Its cell is that of the place modulo the capacity.
/// `append` reserves places with one addition to `tail`, and then fills their cells. `take` copies the filled cells
/// from `head` on, and then moves `head` behind them; if another thread has moved `head` meanwhile, the copies are
/// dropped.
///
/// A cell holds its place beside the index. So a cell that is not filled yet, or only in an earlier lap, is never
/// mistaken for the wanted one, and `head`, which only grows, cannot return to a value that a thread has seen.
///
/// A cell is never filled over an index that was not taken: an index is in the queue once at most, so there are never
/// more places between `head` and `tail` than there are indices, and the capacity is no smaller.
///
/// Order: filling a cell is a release and copying it an acquire, so whoever takes an index sees what its last owner has
/// written to that entry of the table. A thread that finds the queue empty may overlook an index that is being
/// appended. Nothing is lost if whoever appends looks afterwards, or makes another thread look.
///
/// Inlinable, since other modules' closures are called for each index.
@usableFromInline package struct IndexQueue: ~Copyable, @unchecked Sendable {
    // SAFETY: the pointer never changes, and the cells are atomics.
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let capacity: UInt64
    /// The place of the oldest entry.
    @usableFromInline let head = Atomic<UInt64>(0)
    /// One past the last place that was given.
    @usableFromInline let tail = Atomic<UInt64>(0)

    /// - Parameter indexCount: the number of indices: the queue holds those below it.
    package init(indexCount: Int) {
        precondition(indexCount <= 1 << 16, "an index has 16 bits; \(indexCount) entries have none")
        var capacity = 1
        while capacity < indexCount { capacity <<= 1 }
        self.capacity = UInt64(capacity)
        cells = .allocate(capacity: capacity)
        // In a filled cell, the place above the 16 bits of the index is not 0.
        for index in 0..<capacity { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: Int(capacity))
        cells.deallocate()
    }

    /// Whether there was no entry a moment ago.
    @inlinable package var isEmpty: Bool { head.load(ordering: .relaxed) == tail.load(ordering: .relaxed) }

    /// The number of indices that were taken so far.
    @inlinable package var takenCount: UInt64 { head.load(ordering: .relaxed) }

    @inlinable func cell(_ place: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        cells + Int(truncatingIfNeeded: place & (capacity &- 1))
    }

    /// Appends indices, whose entries their last owner no longer uses.
    /// - Parameter value: the indices, from 0 on.
    @inlinable package func append(count: Int, _ value: (Int) -> UInt16) {
        guard count > 0 else { return }
        // The order of this addition lets the assertion see each take that let one of the present entries come back.
        var place = tail.wrappingAdd(UInt64(count), ordering: .acquiringAndReleasing).oldValue
        assert(
            place + UInt64(count) - head.load(ordering: .relaxed) <= capacity,
            "more indices wait than there are: one of them is in the queue twice")
        for index in 0..<count {
            cell(place).pointee.store((place &+ 1) << 16 | UInt64(value(index)), ordering: .releasing)
            place &+= 1
        }
    }

    /// Takes the oldest indices, whose entries belong to the caller then.
    /// - Parameters:
    ///   - limit: the most indices to take.
    ///   - store: gets the indices, from 0 on; more than once, or more than are taken in the end, if other threads take
    ///     them. The last call for a number counts.
    /// - Returns: the number of indices, and the place of the first.
    @inlinable package func take(limit: Int, _ store: (Int, UInt16) -> Void) -> (count: Int, place: UInt64) {
        var first = head.load(ordering: .relaxed)
        while true {
            var count = 0
            while count < limit {
                let place = first &+ UInt64(count)
                let entry = cell(place).pointee.load(ordering: .acquiring)
                guard entry >> 16 == place &+ 1 else { break }
                store(count, UInt16(truncatingIfNeeded: entry))
                count += 1
            }
            if count == 0 {
                let current = head.load(ordering: .relaxed)
                if current == first || limit == 0 { return (0, first) }
                first = current
                continue
            }
            // The release is for the assertion in `append`.
            let (isDone, current) = head.compareExchange(
                expected: first, desired: first &+ UInt64(count), successOrdering: .acquiringAndReleasing,
                failureOrdering: .relaxed)
            if isDone { return (count, first) }
            assert(current > first, "the head of the queue went back")
            first = current
        }
    }
}
