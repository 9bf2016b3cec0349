import SCSIControllerDriverKit

extension HBAConstraints {
    /// Reads the limits that a driver published.
    ///
    /// - Parameters:
    ///   - properties: keys as in SCSIParallelConstants; a missing key means "unlimited", as in the block driver.
    ///   - allowsByteAndBlockCounts: only a KEXT can set the byte and block counts; a DEXT's are ignored.
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
