/// A queue of fixed capacity in memory of its own; never allocates after it was made.
package struct Ring<Element: BitwiseCopyable> {
    private let elements: UnsafeMutablePointer<Element>
    private let mask: Int
    private var head = 0
    private var tail = 0

    /// - Parameter minimumCapacity: how many elements it must hold; rounded up to a power of two.
    package init(minimumCapacity: Int) {
        var capacity = 1
        while capacity < minimumCapacity { capacity <<= 1 }
        elements = .allocate(capacity: capacity)
        mask = capacity - 1
    }

    package func deallocate() { elements.deallocate() }

    package var isEmpty: Bool { head == tail }
    package var count: Int { tail &- head }

    /// Appends an element. A full ring is a programmer's error.
    package mutating func append(_ element: Element) {
        precondition(count <= mask, "ring overflow")
        elements[tail & mask] = element
        tail &+= 1
    }

    package mutating func popFirst() -> Element? {
        guard head != tail else { return nil }
        defer { head &+= 1 }
        return elements[head & mask]
    }
}
