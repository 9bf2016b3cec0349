/// Why a block request failed.
package enum BlockError: UInt8, BitwiseCopyable, Sendable {
    case none
    /// The device could not do it (EIO).
    case inputOutput
    /// There is no room under a member (ENOSPC). Nothing that was acknowledged is lost.
    case noSpace
    /// The range is outside the device, or the request makes no sense (EINVAL).
    case invalid
    /// The device is write protected (EPERM).
    case readOnly
    /// The device does not know the operation (ENOTSUP).
    case notSupported
    /// The device is going away (ESHUTDOWN).
    case shutdown
}
