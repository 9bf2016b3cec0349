/// The reads that go straight to the members, by the tags of their requests: while all members of an array are in sync,
/// neither the planner nor its lock is needed.
///
/// Threads: any; an entry belongs to the lane that has the request.
final class DirectReads: Sendable {
    struct Entry: BitwiseCopyable {
        /// `LiveArray.membershipEpoch` at the start.
        let epoch: UInt64
        /// Member I/Os that have not come back.
        var remaining: UInt32 = 0
        var hasFailed = false
    }

    let capacity: Int
    // SAFETY: the pointer never changes; each entry has one owner at a time.
    private nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>

    /// - Parameter capacity: tags are below it.
    init(capacity: Int) {
        self.capacity = capacity
        entries = .allocate(capacity: capacity)
        entries.initialize(repeating: Entry(epoch: 0), count: capacity)
    }

    deinit { entries.deallocate() }

    subscript(tag: UInt32) -> UnsafeMutablePointer<Entry> {
        precondition(tag < capacity, "tags are below the request capacity")
        return entries + Int(tag)
    }
}
