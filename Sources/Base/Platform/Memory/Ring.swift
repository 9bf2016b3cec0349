/// A first-in first-out queue of fixed capacity, in memory of its own. It never allocates after `init`.
///
/// Inlinable: unspecialised code for each element took a twelfth of a request's instructions.
@usableFromInline package struct Ring<Element: BitwiseCopyable> {
    @usableFromInline let elements: UnsafeMutablePointer<Element>
    @usableFromInline let mask: Int
    @usableFromInline var head = 0
    @usableFromInline var tail = 0

    /// - Parameter minimumCapacity: elements that it must hold; rounded up to a power of two.
    package init(minimumCapacity: Int) {
        var capacity = 1
        while capacity < minimumCapacity { capacity <<= 1 }
        elements = .allocate(capacity: capacity)
        mask = capacity - 1
    }

    /// Frees the memory. The owner calls this once; the ring is unusable afterwards.
    package func deallocate() { elements.deallocate() }

    /// Whether it has no elements.
    /// The number of elements.
    @inlinable package var isEmpty: Bool { head == tail }
    @inlinable package var count: Int { tail &- head }

    /// Appends an element. Traps when the ring is full.
    @inlinable package mutating func append(_ element: Element) {
        precondition(count <= mask, "ring overflow")
        elements[tail & mask] = element
        tail &+= 1
    }

    /// Removes and returns the oldest element; nil when empty.
    @inlinable package mutating func popFirst() -> Element? {
        guard head != tail else { return nil }
        defer { head &+= 1 }
        return elements[head & mask]
    }
}
