import CParallelTasks

extension SCSIUserParallelTask {
    /// `fCommandDescriptorBlock` as an array, since Swift sees a C array as a tuple. The first `fCommandSize` bytes are
    /// in use.
    @inlinable public var cdb: InlineArray<16, UInt8> {
        // SAFETY: both are 16 bytes without padding.
        get { unsafeBitCast(fCommandDescriptorBlock, to: InlineArray<16, UInt8>.self) }
        set { fCommandDescriptorBlock = unsafeBitCast(newValue, to: type(of: fCommandDescriptorBlock)) }
    }
}
