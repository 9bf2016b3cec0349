// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDriverKit
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

    /// The address of the object that stands for this one in another language; 0 for none.
    private let skinAddress = Atomic<UInt>(0)
    // SAFETY: set once, before the first object has a skin.
    /// Ends a skin whose object has lost its last reference.
    package nonisolated(unsafe) static var endSkin: (@Sendable (UnsafeMutableRawPointer) -> Void)?

    /// An object with one reference, its creator's.
    public init() {}

    /// An object that the kernel makes and hands to a driver.
    package init(ownedByKernel: Bool) { kernelCount.store(ownedByKernel ? 1 : 0, ordering: .relaxed) }

    /// Adds a reference.
    public final func retain() {
        count.add(1, ordering: .relaxed)
    }

    /// Gives a reference back. A surplus release is reported and has no effect.
    public final func release() { _ = giveUp() }

    /// Gives a reference back, as `release`.
    /// - Returns: whether it was the last.
    package final func giveUp() -> Bool {
        ThreadOrder.before(self)
        let remaining = count.subtract(1, ordering: .acquiringAndReleasing).newValue
        let floor = kernelCount.load(ordering: .relaxed)
        if remaining < floor {
            count.add(1, ordering: .relaxed)
            DriverContext.report(
                .overRelease,
                "\(type(of: self)): a release without a retain of its own, in \(DriverContext.currentCall)")
            return false
        }
        if remaining == 0 { ThreadOrder.after(self) }
        return remaining == 0
    }

    /// Gives the kernel's reference up. The object is gone unless the driver has retained it.
    package final func kernelReleases() {
        kernelCount.store(0, ordering: .relaxed)
        let isLast = count.subtract(1, ordering: .acquiringAndReleasing).newValue == 0
        if isLast, let skin {
            ThreadOrder.after(self)
            Self.endSkin?(skin)
        }
    }

    // MARK: Skins

    /// The object that stands for this one in another language.
    package final var skin: UnsafeMutableRawPointer? {
        guard let skin = UnsafeMutableRawPointer(bitPattern: skinAddress.load(ordering: .acquiring)) else { return nil }
        nbdext_order_after(skin)
        return skin
    }

    /// Gives the object its skin, unless it has one. The object then lives until `forgetSkin`.
    /// - Returns: the object's skin.
    package final func setSkin(_ skin: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        nbdext_order_before(skin)
        let (isFirst, present) = skinAddress.compareExchange(
            expected: 0, desired: UInt(bitPattern: skin), ordering: .acquiringAndReleasing)
        guard isFirst else { return UnsafeMutableRawPointer(bitPattern: present)! }
        _ = Unmanaged.passRetained(self)
        return skin
    }

    /// Ends the skin: nobody uses it or this object's handle any more.
    package final func forgetSkin() {
        guard skinAddress.exchange(0, ordering: .acquiringAndReleasing) != 0 else { return }
        Unmanaged.passUnretained(self).release()
    }

    /// The references now held, for diagnosis.
    public final var retainCount: Int { count.load(ordering: .acquiring) }
}
