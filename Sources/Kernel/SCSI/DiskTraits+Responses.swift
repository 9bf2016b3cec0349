/// The data-in of a disk's answers.
extension DiskTraits {
    /// Standard INQUIRY data (SPC-4, 6.6.2) of a disk that claims SPC-4 and queues commands.
    /// - Parameter isPresent: false for a logical unit that the target does not have.
    func standardInquiry(isPresent: Bool) -> ResponseData {
        var data = ResponseData()
        data[0] = isPresent ? 0x00 : 0x7F
        data[1] = isRemovable ? 0x80 : 0
        data[2] = 0x06
        data[3] = 0x12
        data[4] = 96 - 5
        data[7] = 0x02
        data.store(vendor, at: 8, width: 8)
        data.store(product, at: 16, width: 16)
        data.store(revision, at: 32, width: 4)
        data[95] = 0
        return data
    }

    /// A vital product data page (SPC-4, 7.8; SBC-3, 6.5); nil for an unsupported page.
    func vitalProductData(page: VitalProductDataPage) -> ResponseData? {
        var data = ResponseData()
        data[1] = page.rawValue
        switch page {
        case .supportedPages:
            let pages: [VitalProductDataPage] = [
                .supportedPages, .unitSerialNumber, .deviceIdentification, .blockLimits, .blockDeviceCharacteristics,
                .logicalBlockProvisioning,
            ]
            data.store(UInt16(pages.count), at: 2)
            for (index, page) in pages.enumerated() { data[4 + index] = page.rawValue }
        case .unitSerialNumber:
            let text = serialNumber.utf8.prefix(64)
            data.store(UInt16(text.count), at: 2)
            for (index, byte) in text.enumerated() { data[4 + index] = byte }
        case .deviceIdentification:
            deviceIdentification(&data)
        case .blockLimits:
            blockLimits(&data)
        case .blockDeviceCharacteristics:
            data.store(UInt16(0x3C), at: 2)
            data.store(UInt16(1), at: 4)  // no rotating medium
            data[63] = 0
        case .logicalBlockProvisioning:
            data.store(UInt16(4), at: 2)
            data[5] = supportsUnmap ? 0xC0 : 0  // LBPU, LBPWS
            data[6] = supportsUnmap ? 2 : 0  // thin provisioned
            data[7] = 0
        default:
            return nil
        }
        return data
    }

    /// Page 83h: two designators of the logical unit, vendor and identifier as text, and a locally assigned UUID.
    private func deviceIdentification(_ data: inout ResponseData) {
        let text = identifier.map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined()
        data[4] = 0x02  // ASCII
        data[5] = 0x01  // T10 vendor identification
        data[7] = UInt8(8 + text.utf8.count)
        data.store(vendor, at: 8, width: 8)
        data.store(text, at: 16, width: text.utf8.count)
        let second = 16 + text.utf8.count
        data[second] = 0x01  // binary
        data[second + 1] = 0x0A  // UUID
        data[second + 3] = 18
        data[second + 4] = 0x10
        for (index, byte) in identifier.prefix(16).enumerated() { data[second + 6 + index] = byte }
        data.store(UInt16(second + 22 - 4), at: 2)
    }

    /// Page B0h (SBC-3, 6.5.3).
    private func blockLimits(_ data: inout ResponseData) {
        data.store(UInt16(0x3C), at: 2)
        data[4] = 0x01  // WSNZ: a WRITE SAME count of zero is refused
        data.store(optimalTransferGranularity, at: 6)
        data.store(optimalTransferBlocks, at: 12)
        if supportsUnmap {
            data.store(maximumUnmapBlocks, at: 20)
            data.store(UInt32(1), at: 24)  // one descriptor a command
            data.store(UInt32(optimalTransferGranularity), at: 28)
        }
        data.store(maximumWriteSameBlocks, at: 36)
        data[63] = 0
    }

    /// READ CAPACITY (10) data (SBC-3, 5.15.2): the last address, or all ones if that needs 64 bits.
    func readCapacity10() -> ResponseData {
        var data = ResponseData()
        data.store(blockCount - 1 > UInt64(UInt32.max) ? UInt32.max : UInt32(blockCount - 1), at: 0)
        data.store(blockByteCount, at: 4)
        return data
    }

    /// READ CAPACITY (16) data (SBC-3, 5.16.2).
    func readCapacity16() -> ResponseData {
        var data = ResponseData()
        data.store(blockCount - 1, at: 0)
        data.store(blockByteCount, at: 8)
        data[13] = physicalBlockExponent & 0x0F
        data[14] = supportsUnmap ? 0x80 : 0  // LBPME
        data[31] = 0
        return data
    }

    /// MODE SENSE data (SPC-4, 7.5): the caching page (SBC-3, 6.4.5) and the control page.
    ///
    /// - Parameters:
    ///   - page: `caching`, `control`, or `all` for both.
    ///   - control: the page control field: 0 current, 1 changeable, 2 default.
    ///   - isLong: MODE SENSE (10).
    ///   - withBlockDescriptor: false if DBD is set.
    /// - Returns: nil for an unsupported page.
    func modeSense(page: ModePage, control: UInt8, isLong: Bool, withBlockDescriptor: Bool) -> ResponseData? {
        guard page == .caching || page == .control || page == .all else { return nil }
        var data = ResponseData()
        let header = isLong ? 8 : 4
        let deviceSpecific: UInt8 = (isReadOnly ? 0x80 : 0) | 0x10  // WP, DPOFUA
        data[isLong ? 3 : 2] = deviceSpecific
        data[header - 1] = withBlockDescriptor ? 8 : 0
        var offset = header
        if withBlockDescriptor {
            data.store(UInt32(truncatingIfNeeded: min(blockCount, UInt64(UInt32.max))), at: offset)
            data.store(blockByteCount, at: offset + 4)
            offset += 8
        }
        let reportsValues = control != 1
        if page == .caching || page == .all {
            data[offset] = ModePage.caching.rawValue
            data[offset + 1] = 18
            if reportsValues && isWriteCacheEnabled { data[offset + 2] = 0x04 }
            data[offset + 19] = 0
            offset += 20
        }
        if page == .control || page == .all {
            data[offset] = ModePage.control.rawValue
            data[offset + 1] = 10
            if reportsValues { data[offset + 3] = 0x10 }  // unrestricted reordering
            data[offset + 11] = 0
        }
        if isLong { data.store(UInt16(data.byteCount - 2), at: 0) } else { data[0] = UInt8(data.byteCount - 1) }
        return data
    }

    /// REPORT LUNS data (SPC-4, 6.33): all logical units of the target, in peripheral device addressing (SAM-5,
    /// 4.7.7.2).
    func reportLUNs() -> ResponseData {
        var data = ResponseData()
        data.store(UInt32(unitCount) * 8, at: 0)
        for unit in 0..<Int(unitCount) {
            data[9 + 8 * unit] = UInt8(unit)
            data[15 + 8 * unit] = 0
        }
        return data
    }
}
