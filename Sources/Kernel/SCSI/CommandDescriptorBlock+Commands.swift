/// The commands that an initiator sends. Counts are logical blocks, lengths bytes.
extension CommandDescriptorBlock {
    /// FUA in byte 1 of READ and WRITE (10), (12) and (16) (SBC-3, 5.11 and 5.33).
    package static let forceUnitAccessBit: UInt8 = 0x08

    /// TEST UNIT READY (SPC-4, 6.47).
    package static let testUnitReady = CommandDescriptorBlock(.testUnitReady, byteCount: 6)

    /// REQUEST SENSE in fixed format (SPC-4, 6.39).
    package static func requestSense(allocationLength: UInt8) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.requestSense, byteCount: 6)
        cdb.bytes[4] = allocationLength
        return cdb
    }

    /// INQUIRY: standard data, or the vital product data page `page` with EVPD set (SPC-4, 6.6).
    package static func inquiry(
        page: VitalProductDataPage? = nil, allocationLength: UInt16
    ) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.inquiry, byteCount: 6)
        if let page {
            cdb.bytes[1] = 1
            cdb.bytes[2] = page.rawValue
        }
        cdb.store(allocationLength, at: 3)
        return cdb
    }

    /// READ CAPACITY (10): 8 bytes of data (SBC-3, 5.15).
    package static let readCapacity10 = CommandDescriptorBlock(.readCapacity10, byteCount: 10)

    /// READ CAPACITY (16): up to 32 bytes of data (SBC-3, 5.16).
    package static func readCapacity16(allocationLength: UInt32) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.serviceActionIn16, byteCount: 16)
        cdb.bytes[1] = ServiceAction.readCapacity16.rawValue
        cdb.store(allocationLength, at: 10)
        return cdb
    }

    /// MODE SENSE (6) of the current values of a page (SPC-4, 6.13).
    package static func modeSense6(page: ModePage, allocationLength: UInt8) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.modeSense6, byteCount: 6)
        cdb.bytes[2] = page.rawValue
        cdb.bytes[4] = allocationLength
        return cdb
    }

    /// READ or WRITE in the shortest form that the stack uses: (10), or (16) where the range or count needs it.
    package static func transfer(
        isWrite: Bool, lba: UInt64, blockCount: UInt32, forceUnitAccess: Bool
    ) -> CommandDescriptorBlock {
        let fits = lba <= UInt64(UInt32.max) && blockCount <= UInt32(UInt16.max)
        var cdb: CommandDescriptorBlock
        if fits {
            cdb = CommandDescriptorBlock(isWrite ? .write10 : .read10, byteCount: 10)
            cdb.store(UInt32(truncatingIfNeeded: lba), at: 2)
            cdb.store(UInt16(truncatingIfNeeded: blockCount), at: 7)
        } else {
            cdb = CommandDescriptorBlock(isWrite ? .write16 : .read16, byteCount: 16)
            cdb.store(lba, at: 2)
            cdb.store(blockCount, at: 10)
        }
        if forceUnitAccess { cdb.bytes[1] = forceUnitAccessBit }
        return cdb
    }

    /// SYNCHRONIZE CACHE (10) of the whole medium: LBA 0, count 0 (SBC-3, 5.26).
    package static let synchronizeCache10 = CommandDescriptorBlock(.synchronizeCache10, byteCount: 10)

    /// UNMAP, with the length of its parameter list, bytes (SBC-3, 5.28).
    package static func unmap(parameterListLength: UInt16) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.unmap, byteCount: 10)
        cdb.store(parameterListLength, at: 7)
        return cdb
    }

    /// WRITE SAME (16) of zeros without a data-out buffer (NDOB); `unmap` allows deallocation (SBC-3, 5.44).
    package static func writeZeroes16(lba: UInt64, blockCount: UInt32, unmap: Bool) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.writeSame16, byteCount: 16)
        cdb.bytes[1] = 0x01 | (unmap ? 0x08 : 0)
        cdb.store(lba, at: 2)
        cdb.store(blockCount, at: 10)
        return cdb
    }

    /// REPORT LUNS of all logical units (SPC-4, 6.33).
    package static func reportLUNs(allocationLength: UInt32) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.reportLUNs, byteCount: 12)
        cdb.store(allocationLength, at: 6)
        return cdb
    }

    /// START STOP UNIT that makes a medium ready or not ready (SBC-3, 5.25).
    package static func startStopUnit(start: Bool) -> CommandDescriptorBlock {
        var cdb = CommandDescriptorBlock(.startStopUnit, byteCount: 6)
        cdb.bytes[4] = start ? 1 : 0
        return cdb
    }
}
