/// Tags, as a stack of fixed capacity in memory of its own. It never allocates after `init`.
struct TagList {
    private let tags: UnsafeMutablePointer<UInt16>
    private let capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        tags = .allocate(capacity: capacity)
    }

    /// Frees the memory. The owner calls this once; the list is unusable afterwards.
    func deallocate() { tags.deallocate() }

    /// In the order in which they were appended, until the list changes.
    var all: UnsafeBufferPointer<UInt16> { UnsafeBufferPointer(start: tags, count: count) }

    var last: UInt16? { count > 0 ? tags[count - 1] : nil }

    mutating func append(_ tag: UInt16) {
        precondition(count < capacity, "there are more tags than requests")
        tags[count] = tag
        count += 1
    }

    mutating func removeLast() {
        precondition(count > 0, "no tag is left")
        count -= 1
    }

    mutating func removeAll() { count = 0 }
}
