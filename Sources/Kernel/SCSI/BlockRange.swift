/// A range of logical blocks, which need not lie inside the medium.
@usableFromInline package struct BlockRange: BitwiseCopyable, Sendable, Equatable {
    /// LOGICAL BLOCK ADDRESS: the first block.
    @usableFromInline package var lba: UInt64
    /// Blocks; may be 0.
    @usableFromInline package var blockCount: UInt64

    @inlinable package init(lba: UInt64, blockCount: UInt64) {
        self.lba = lba
        self.blockCount = blockCount
    }

    /// The blocks' numbers. A range that goes beyond the largest number ends there.
    @inlinable package var blocks: Range<UInt64> {
        let (end, overflow) = lba.addingReportingOverflow(blockCount)
        return lba..<(overflow ? .max : end)
    }

    /// Whether the range lies inside a medium of that many blocks.
    @inlinable package func isInside(mediumBlockCount: UInt64) -> Bool {
        lba <= mediumBlockCount && blockCount <= mediumBlockCount - lba
    }
}

extension CommandDescriptorBlock {
    /// The range of a READ, WRITE, VERIFY, SYNCHRONIZE CACHE or WRITE SAME, by the length of the CDB; without meaning
    /// for other commands (SBC-3, 5). READ (6) and WRITE (6) count 0 as 256 blocks (SBC-2).
    @inlinable package var blockRange: BlockRange {
        switch byteCount {
        case 6:
            BlockRange(
                lba: UInt64(load(0, as: UInt32.self) & 0x1F_FFFF), blockCount: bytes[4] == 0 ? 256 : UInt64(bytes[4]))
        case 10: BlockRange(lba: UInt64(load(2, as: UInt32.self)), blockCount: UInt64(load(7, as: UInt16.self)))
        case 12: BlockRange(lba: UInt64(load(2, as: UInt32.self)), blockCount: UInt64(load(6, as: UInt32.self)))
        default: BlockRange(lba: load(2, as: UInt64.self), blockCount: UInt64(load(10, as: UInt32.self)))
        }
    }
}

/// UNMAP's parameter list, with at most one block descriptor (SBC-3, 5.28.2).
@usableFromInline package struct UnmapParameterList: Sendable {
    /// Bytes of the list's header.
    @inlinable package static var headerByteCount: Int { 8 }
    /// Bytes of a block descriptor.
    @inlinable package static var descriptorByteCount: Int { 16 }
    /// Bytes of a list with one descriptor.
    @inlinable package static var byteCount: Int { headerByteCount + descriptorByteCount }

    /// UNMAP BLOCK DESCRIPTOR DATA LENGTH: the bytes of all descriptors.
    package var descriptorDataLength: Int
    /// The range of the first descriptor; nil if the list ends before the end of one.
    package var range: BlockRange?

    /// Decodes a list.
    /// - Returns: nil if the data is shorter than the header.
    package init?(parsing data: UnsafeRawBufferPointer) {
        guard data.count >= Self.headerByteCount else { return nil }
        descriptorDataLength = Int(UInt16(bigEndian: data.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        guard data.count >= Self.byteCount else { return }
        range = BlockRange(
            lba: UInt64(bigEndian: data.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            blockCount: UInt64(UInt32(bigEndian: data.loadUnaligned(fromByteOffset: 16, as: UInt32.self))))
    }

    /// Writes a list with one descriptor.
    /// - Parameter memory: room for `byteCount` bytes.
    @inlinable package static func store(lba: UInt64, blockCount: UInt32, to memory: UnsafeMutableRawPointer) {
        // UNMAP DATA LENGTH counts the bytes behind itself.
        memory.storeBytes(of: UInt16(byteCount - 2).bigEndian, as: UInt16.self)
        memory.storeBytes(of: UInt16(descriptorByteCount).bigEndian, toByteOffset: 2, as: UInt16.self)
        memory.storeBytes(of: UInt32(0), toByteOffset: 4, as: UInt32.self)
        memory.storeBytes(of: lba.bigEndian, toByteOffset: 8, as: UInt64.self)
        memory.storeBytes(of: blockCount.bigEndian, toByteOffset: 16, as: UInt32.self)
        memory.storeBytes(of: UInt32(0), toByteOffset: 20, as: UInt32.self)
    }
}
