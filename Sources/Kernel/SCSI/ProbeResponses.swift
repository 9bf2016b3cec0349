/// Data-in of a device with its big-endian fields. Bytes behind the end read as 0.
package struct DeviceData {
    private let bytes: [UInt8]

    /// - Parameter bytes: copied, since a driver's process could change them between two reads.
    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }

    package var byteCount: Int { bytes.count }

    /// The byte at an offset; 0 behind the end.
    package subscript(offset: Int) -> UInt8 { offset < bytes.count ? bytes[offset] : 0 }

    /// A big-endian field; bytes behind the end read as 0.
    package func load<Integer: FixedWidthInteger>(_ offset: Int, as type: Integer.Type) -> Integer {
        var value: Integer = 0
        for index in offset..<offset + MemoryLayout<Integer>.size { value = value << 8 | Integer(self[index]) }
        return value
    }

    /// ASCII text without trailing blanks. Unprintable characters become blanks.
    package func text(_ range: Range<Int>) -> String {
        let scalars = range.map { Character(UnicodeScalar(self[$0] & 0x7F)) }
        let text = String(scalars.map { $0.isASCII && $0 >= " " ? $0 : " " })
        return String(text.reversed().drop { $0 == " " }.reversed())
    }
}

/// Standard INQUIRY data on the initiator's side (SPC-4, 6.6.2).
package struct InquiryData: Sendable, Equatable {
    /// PERIPHERAL QUALIFIER is 0: a device is there.
    package var isConnected: Bool
    /// PERIPHERAL DEVICE TYPE; 0 is a direct access block device.
    package var deviceType: UInt8
    /// RMB: the medium can be taken out.
    package var isRemovable: Bool
    /// VERSION: the standard that is claimed; 6 is SPC-4.
    package var version: UInt8
    /// CMDQUE.
    package var supportsQueuing: Bool
    /// ADDITIONAL LENGTH: bytes behind byte 4.
    package var additionalLength: UInt8
    /// T10 VENDOR IDENTIFICATION, without padding.
    package var vendor: String
    /// PRODUCT IDENTIFICATION, without padding.
    package var product: String
    /// PRODUCT REVISION LEVEL, without padding.
    package var revision: String

    /// Decodes the data; fields behind its end are 0.
    package init(_ data: DeviceData) {
        isConnected = data[0] >> 5 == 0
        deviceType = data[0] & 0x1F
        isRemovable = data[1] & 0x80 != 0
        version = data[2]
        additionalLength = data[4]
        supportsQueuing = data[7] & 0x02 != 0
        vendor = data.text(8..<16)
        product = data.text(16..<32)
        revision = data.text(32..<36)
    }
}

/// The capacity, mode and limit data of a medium on the initiator's side.
package struct MediumData: Sendable, Equatable {
    /// Logical blocks of the medium.
    package var blockCount: UInt64 = 0
    /// Bytes of a logical block.
    package var blockByteCount: UInt32 = 0
    /// LBPME: the medium is thin provisioned (SBC-3, 5.16.2).
    package var isProvisioned = false
    /// WP of the mode parameter header.
    package var isWriteProtected = false
    /// DPOFUA of the mode parameter header: FUA is honoured.
    package var supportsForceUnitAccess = false
    /// WCE of the caching page (SBC-3, 6.4.5).
    package var isWriteCacheEnabled = false
    /// LBPU: UNMAP is supported (SBC-3, 6.5.4).
    package var supportsUnmap = false
    /// LBPWS: WRITE SAME (16) may unmap (SBC-3, 6.5.4).
    package var supportsUnmappingWriteSame = false
    /// OPTIMAL TRANSFER LENGTH GRANULARITY, blocks; 0 when none is reported (SBC-3, 6.5.3).
    package var optimalTransferGranularity: UInt16 = 0
    /// OPTIMAL TRANSFER LENGTH, blocks; 0 when none is reported.
    package var optimalTransferBlocks: UInt32 = 0
    /// MAXIMUM UNMAP LBA COUNT; 0 when UNMAP is not supported.
    package var maximumUnmapBlocks: UInt32 = 0
    /// MAXIMUM WRITE SAME LENGTH, blocks; 0 when no limit is reported.
    package var maximumWriteSameBlocks: UInt64 = 0
    /// PRODUCT SERIAL NUMBER of page 80h.
    package var serialNumber = ""

    package init() {}

    /// Decodes READ CAPACITY (10) data (SBC-3, 5.15.2).
    /// - Returns: false if the capacity needs READ CAPACITY (16).
    package mutating func readCapacity10(_ data: DeviceData) -> Bool {
        let last = data.load(0, as: UInt32.self)
        blockCount = UInt64(last) + 1
        blockByteCount = data.load(4, as: UInt32.self)
        return last != .max
    }

    /// Decodes READ CAPACITY (16) data (SBC-3, 5.16.2).
    package mutating func readCapacity16(_ data: DeviceData) {
        blockCount = data.load(0, as: UInt64.self) &+ 1
        blockByteCount = data.load(8, as: UInt32.self)
        isProvisioned = data[14] & 0x80 != 0
    }

    /// Decodes the header of MODE SENSE (6) data: WP and DPOFUA (SBC-3, 6.4).
    package mutating func modeHeader6(_ data: DeviceData) {
        isWriteProtected = data[2] & 0x80 != 0
        supportsForceUnitAccess = data[2] & 0x10 != 0
    }

    /// Decodes the caching page of MODE SENSE (6) data, which follows the header and the block descriptors.
    package mutating func cachingPage6(_ data: DeviceData) {
        let offset = 4 + Int(data[3])
        if ModePage(rawValue: data[offset] & 0x3F) == .caching { isWriteCacheEnabled = data[offset + 2] & 0x04 != 0 }
    }

    /// Decodes the Block Limits page, B0h (SBC-3, 6.5.3).
    package mutating func blockLimits(_ data: DeviceData) {
        optimalTransferGranularity = data.load(6, as: UInt16.self)
        optimalTransferBlocks = data.load(12, as: UInt32.self)
        maximumUnmapBlocks = data.load(20, as: UInt32.self)
        maximumWriteSameBlocks = data.load(36, as: UInt64.self)
    }

    /// Decodes the Logical Block Provisioning page, B2h (SBC-3, 6.5.4).
    package mutating func provisioning(_ data: DeviceData) {
        supportsUnmap = data[5] & 0x80 != 0
        supportsUnmappingWriteSame = data[5] & 0x40 != 0
    }

    /// Decodes the Unit Serial Number page, 80h (SPC-4, 7.8).
    package mutating func unitSerialNumber(_ data: DeviceData) {
        serialNumber = data.text(4..<4 + Int(data.load(2, as: UInt16.self) & 0xFF))
    }
}

/// REPORT LUNS data on the initiator's side (SPC-4, 6.33).
package struct LogicalUnitList: Sendable {
    /// Bytes of the target's whole list with its header; may be more than were read.
    package let byteCount: Int
    /// The logical units that were read, in the target's order. Entries that do not use peripheral device addressing on
    /// bus 0 (SAM-5, 4.7.7.2) are left out.
    package let units: [UInt8]

    /// Decodes the header and the complete entries of the data.
    package init(_ data: DeviceData) {
        byteCount = Int(data.load(0, as: UInt32.self)) + Self.headerByteCount
        let entries = stride(from: Self.headerByteCount, to: min(byteCount, data.byteCount) - 7, by: 8)
        units = entries.filter { data[$0] == 0 }.map { data[$0 + 1] }
    }

    /// Bytes before the first entry.
    package static let headerByteCount = 8
}
