@_exported import CRAIDCard

extension RAIDCommandDescriptor {
    /// The command descriptor block (SPC).
    @inlinable
    public var cdb: InlineArray<16, UInt8> {
        // SAFETY: both are 16 bytes without padding.
        get { unsafeBitCast(__cdb, to: InlineArray<16, UInt8>.self) }
        set { __cdb = unsafeBitCast(newValue, to: type(of: __cdb)) }
    }

    /// The bytes of a submission ring of `capacity` entries.
    public static func ringByteCount(capacity: Int) -> Int { capacity * MemoryLayout<Self>.stride }
}

extension RAIDCompletionDescriptor {
    /// Sense data in fixed format (SPC).
    @inlinable
    public var sense: InlineArray<32, UInt8> {
        // SAFETY: both are 32 bytes without padding.
        get { unsafeBitCast(__sense, to: InlineArray<32, UInt8>.self) }
        set { __sense = unsafeBitCast(newValue, to: type(of: __sense)) }
    }

    /// The bytes of a completion ring of `capacity` entries, with its header.
    public static func ringByteCount(capacity: Int) -> Int {
        MemoryLayout<RAIDCompletionRingHeader>.size + capacity * MemoryLayout<Self>.stride
    }
}
