/// The description that a direct access block device gives of itself.
package struct DiskTraits: Sendable {
    /// INQUIRY's T10 VENDOR IDENTIFICATION; at most 8 ASCII characters. Shorter texts are padded with blanks.
    package var vendor = "NBDEXT"
    /// INQUIRY's PRODUCT IDENTIFICATION; at most 16 ASCII characters.
    package var product = "RAID"
    /// INQUIRY's PRODUCT REVISION LEVEL; at most 4 ASCII characters.
    package var revision = "1"
    /// The serial number of VPD page 80h, printable ASCII; 64 characters are used.
    package var serialNumber = ""
    /// The device's lasting identifier, 16 bytes, locally assigned (VPD page 83h).
    package var identifier: [UInt8] = Array(repeating: 0, count: 16)

    /// Logical blocks of the medium; not 0.
    package var blockCount: UInt64 = 0
    /// Bytes of a logical block.
    package var blockByteCount: UInt32 = 512
    /// Logical blocks in a physical block, as an exponent of two (READ CAPACITY (16)).
    package var physicalBlockExponent: UInt8 = 3
    /// OPTIMAL TRANSFER LENGTH GRANULARITY: the size and alignment of efficient transfers, blocks (SBC-3, 6.5.3).
    package var optimalTransferGranularity: UInt16 = 8
    /// OPTIMAL TRANSFER LENGTH of the Block Limits page, blocks; 0 reports none (SBC-3, 6.5.3).
    package var optimalTransferBlocks: UInt32 = 0
    /// Writes are refused, and MODE SENSE sets WP.
    package var isReadOnly = false
    /// INQUIRY's RMB: the medium can be taken out.
    package var isRemovable = false
    /// WCE: a write may complete before it is durable. SYNCHRONIZE CACHE and FUA make it durable.
    package var isWriteCacheEnabled = true
    /// UNMAP is answered and the medium is reported as thin provisioned.
    package var supportsUnmap = true
    /// The largest range of one UNMAP descriptor, blocks.
    package var maximumUnmapBlocks: UInt32 = .max
    /// The largest range of one WRITE SAME, blocks.
    package var maximumWriteSameBlocks: UInt64 = UInt64(UInt32.max)

    /// The target's logical units are 0 ..< `unitCount`; 62 at most.
    package var unitCount: UInt8 = 1

    package init() {}
}
