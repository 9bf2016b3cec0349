// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Synchronization

/// The root of DriverKit objects: an explicit reference count, as OSObject has in C++.
///
/// Swift manages the memory; the count exists so that a driver's ownership mistakes can be seen. It starts at 1
/// for the object's creator.
///
/// Threads: any.
open class OSObject: @unchecked Sendable {
    // SAFETY: the only state here is atomic; subclasses say how they protect theirs.
    private let count = Atomic<Int>(1)

    public init() {}

    /// Adds a reference.
    public final func retain() {
        count.add(1, ordering: .relaxed)
    }

    /// Gives a reference back.
    public final func release() {
        let remaining = count.subtract(1, ordering: .acquiringAndReleasing).newValue
        precondition(
            remaining >= 0,
            "\(type(of: self)): releases exceed retains; each release needs a retain or a creation of its own")
    }

    /// The references now held, for diagnosis.
    public final var retainCount: Int { count.load(ordering: .relaxed) }
}
