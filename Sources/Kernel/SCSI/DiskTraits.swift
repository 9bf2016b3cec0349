/// What a direct-access device says of itself.
package struct DiskTraits: Sendable {
    /// At most 8, 16 and 4 ASCII characters; padded with blanks.
    package var vendor = "NBDEXT"
    package var product = "RAID"
    package var revision = "1"
    /// Printable ASCII.
    package var serialNumber = ""
    /// 16 bytes that name the device for ever: a locally assigned designator.
    package var identifier: [UInt8] = Array(repeating: 0, count: 16)

    package var blockCount: UInt64 = 0
    package var blockByteCount: UInt32 = 512
    /// Logical blocks in a physical one, as a power of two.
    package var physicalBlockExponent: UInt8 = 3
    /// The size that the device likes, and the alignment of it, in blocks.
    package var optimalTransferGranularity: UInt16 = 8
    package var optimalTransferBlocks: UInt32 = 0
    package var isReadOnly = false
    /// The medium can be taken out (INQUIRY's RMB bit).
    package var isRemovable = false
    /// Writes may be complete before they are durable, until SYNCHRONIZE CACHE or FUA.
    package var isWriteCacheEnabled = true
    package var supportsUnmap = true
    /// The largest range of one UNMAP descriptor and of one WRITE SAME, blocks.
    package var maximumUnmapBlocks: UInt32 = .max
    package var maximumWriteSameBlocks: UInt64 = UInt64(UInt32.max)

    /// The logical units of the target that this one belongs to: 0 ..< count, 62 at most.
    package var unitCount: UInt8 = 1

    package init() {}
}
