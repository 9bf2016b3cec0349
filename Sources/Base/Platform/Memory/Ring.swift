/// A queue of fixed capacity in memory of its own; never allocates after it was made.
///
/// Inlinable, since unspecialised code for each element was a twelfth of a request's instructions.
package struct Ring<Element: BitwiseCopyable> {
    @usableFromInline let elements: UnsafeMutablePointer<Element>
    @usableFromInline let mask: Int
    @usableFromInline var head = 0
    @usableFromInline var tail = 0

    /// - Parameter minimumCapacity: how many elements it must hold; rounded up to a power of two.
    package init(minimumCapacity: Int) {
        var capacity = 1
        while capacity < minimumCapacity { capacity <<= 1 }
        elements = .allocate(capacity: capacity)
        mask = capacity - 1
    }

    package func deallocate() { elements.deallocate() }

    @inlinable package var isEmpty: Bool { head == tail }
    @inlinable package var count: Int { tail &- head }

    /// Appends an element. A full ring is a programmer's error.
    @inlinable package mutating func append(_ element: Element) {
        precondition(count <= mask, "ring overflow")
        elements[tail & mask] = element
        tail &+= 1
    }

    @inlinable package mutating func popFirst() -> Element? {
        guard head != tail else { return nil }
        defer { head &+= 1 }
        return elements[head & mask]
    }
}
