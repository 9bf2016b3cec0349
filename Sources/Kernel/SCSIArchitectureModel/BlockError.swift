/// The reason why a block request failed.
package enum BlockError: UInt8, BitwiseCopyable, Sendable {
    /// It did not fail.
    case none
    /// The device could not do it (EIO).
    case inputOutput
    /// A member's file system is full (ENOSPC). No acknowledged data is lost.
    case noSpace
    /// The range is outside the device, or the request is meaningless (EINVAL).
    case invalid
    /// The device is write protected (EPERM).
    case readOnly
    /// The device does not know the operation (ENOTSUP).
    case notSupported
    /// The device is going away (ESHUTDOWN).
    case shutdown
}
