import CDriverKit

/// Orders between threads that atomic operations make, told to ThreadSanitizer in a driver that is built with it.
enum ThreadOrder {
    /// What the calling thread has done comes before whatever follows an `after` of the same object.
    static func before(_ object: AnyObject) { nbdext_order_before(Unmanaged.passUnretained(object).toOpaque()) }

    /// What the calling thread does from now on comes after what was before each `before` of the object.
    static func after(_ object: AnyObject) { nbdext_order_after(Unmanaged.passUnretained(object).toOpaque()) }
}
