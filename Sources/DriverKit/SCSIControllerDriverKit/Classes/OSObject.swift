// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import Synchronization

/// The root of DriverKit objects: an explicit reference count, as OSObject has in C++.
///
/// Swift manages the memory. The count exists to detect a driver's ownership mistakes. It starts at 1 for the object's
/// creator.
///
/// Threads: any.
open class OSObject: @unchecked Sendable {
    // SAFETY: the only state here is atomic; each subclass says how it protects its own.
    private let count = Atomic<Int>(1)
    /// The references that a driver cannot release: 1 while the kernel uses an object that it has made, else 0.
    private let kernelCount = Atomic<Int>(0)

    /// An object with one reference, its creator's.
    public init() {}

    /// An object that the kernel makes and hands to a driver.
    package init(ownedByKernel: Bool) { kernelCount.store(ownedByKernel ? 1 : 0, ordering: .relaxed) }

    /// Adds a reference.
    public final func retain() {
        count.add(1, ordering: .relaxed)
    }

    /// Gives a reference back. A surplus release is reported and has no effect.
    public final func release() {
        let remaining = count.subtract(1, ordering: .acquiringAndReleasing).newValue
        let floor = kernelCount.load(ordering: .relaxed)
        if remaining < floor {
            count.add(1, ordering: .relaxed)
            DriverContext.report(
                .overRelease,
                "\(type(of: self)): a release without a retain of its own, in \(DriverContext.currentCall)")
        }
    }

    /// Gives the kernel's reference up. The object is gone unless the driver has retained it.
    package final func kernelReleases() {
        kernelCount.store(0, ordering: .relaxed)
        count.subtract(1, ordering: .acquiringAndReleasing)
    }

    /// The references now held, for diagnosis.
    public final var retainCount: Int { count.load(ordering: .acquiring) }
}
