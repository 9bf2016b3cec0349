import SCSIControllerDriverKit

extension HBAConstraints {
    /// Reads a driver's published limits.
    ///
    /// - Parameters:
    ///   - properties: keys as in SCSIParallelConstants. A missing key leaves the default, as in the block driver.
    ///   - allowsByteAndBlockCounts: whether byte and block counts are read. Only a KEXT can set them.
    package init(properties: OSDictionary, allowsByteAndBlockCounts: Bool) {
        self.init()
        func read(_ key: String, _ field: WritableKeyPath<HBAConstraints, UInt64>) {
            if let value = properties[key]?.numberValue { self[keyPath: field] = value }
        }
        read(kIOMaximumSegmentCountReadKey, \.maximumSegmentCountRead)
        read(kIOMaximumSegmentCountWriteKey, \.maximumSegmentCountWrite)
        read(kIOMaximumSegmentByteCountReadKey, \.maximumSegmentByteCountRead)
        read(kIOMaximumSegmentByteCountWriteKey, \.maximumSegmentByteCountWrite)
        read(kIOMinimumSegmentAlignmentByteCountKey, \.minimumSegmentAlignment)
        read(kIOMaximumSegmentAddressableBitCountKey, \.maximumSegmentAddressableBits)
        if allowsByteAndBlockCounts {
            read(kIOMaximumBlockCountReadKey, \.maximumBlockCountRead)
            read(kIOMaximumBlockCountWriteKey, \.maximumBlockCountWrite)
            read(kIOMaximumByteCountReadKey, \.maximumByteCountRead)
            read(kIOMaximumByteCountWriteKey, \.maximumByteCountWrite)
        }
    }
}
