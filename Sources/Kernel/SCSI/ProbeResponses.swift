/// Reads big-endian fields out of data that a device sent. Bytes that are missing read as zero.
package struct DeviceData {
    private let bytes: [UInt8]

    /// - Parameter bytes: are copied: a driver's process could change them between two looks.
    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }

    package var byteCount: Int { bytes.count }

    package subscript(offset: Int) -> UInt8 { offset < bytes.count ? bytes[offset] : 0 }

    package func load<Integer: FixedWidthInteger>(_ offset: Int, as type: Integer.Type) -> Integer {
        var value: Integer = 0
        for index in offset..<offset + MemoryLayout<Integer>.size { value = value << 8 | Integer(self[index]) }
        return value
    }

    /// ASCII text without the padding.
    package func text(_ range: Range<Int>) -> String {
        let scalars = range.map { Character(UnicodeScalar(self[$0] & 0x7F)) }
        let text = String(scalars.map { $0.isASCII && $0 >= " " ? $0 : " " })
        return String(text.reversed().drop { $0 == " " }.reversed())
    }
}

/// Standard INQUIRY data, as an initiator reads it (SPC-4, 6.6.2).
package struct InquiryData: Sendable, Equatable {
    package var isConnected: Bool
    package var deviceType: UInt8
    package var isRemovable: Bool
    package var version: UInt8
    package var supportsQueuing: Bool
    package var additionalLength: UInt8
    package var vendor: String
    package var product: String
    package var revision: String

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

/// What the capacity, mode and limit pages say, as an initiator reads them.
package struct MediumData: Sendable, Equatable {
    package var blockCount: UInt64 = 0
    package var blockByteCount: UInt32 = 0
    package var isProvisioned = false
    package var isWriteProtected = false
    package var supportsForceUnitAccess = false
    package var isWriteCacheEnabled = false
    package var supportsUnmap = false
    package var supportsUnmappingWriteSame = false
    package var optimalTransferGranularity: UInt16 = 0
    package var optimalTransferBlocks: UInt32 = 0
    package var maximumUnmapBlocks: UInt32 = 0
    package var maximumWriteSameBlocks: UInt64 = 0
    package var serialNumber = ""

    package init() {}

    /// READ CAPACITY (10): false when the capacity needs the 16-byte command.
    package mutating func readCapacity10(_ data: DeviceData) -> Bool {
        let last = data.load(0, as: UInt32.self)
        blockCount = UInt64(last) + 1
        blockByteCount = data.load(4, as: UInt32.self)
        return last != .max
    }

    package mutating func readCapacity16(_ data: DeviceData) {
        blockCount = data.load(0, as: UInt64.self) &+ 1
        blockByteCount = data.load(8, as: UInt32.self)
        isProvisioned = data[14] & 0x80 != 0
    }

    /// The header of MODE SENSE (6) data.
    package mutating func modeHeader6(_ data: DeviceData) {
        isWriteProtected = data[2] & 0x80 != 0
        supportsForceUnitAccess = data[2] & 0x10 != 0
    }

    /// The caching page of MODE SENSE (6) data, behind the header and the block descriptors.
    package mutating func cachingPage6(_ data: DeviceData) {
        let offset = 4 + Int(data[3])
        if data[offset] & 0x3F == 0x08 { isWriteCacheEnabled = data[offset + 2] & 0x04 != 0 }
    }

    /// VPD page B0h.
    package mutating func blockLimits(_ data: DeviceData) {
        optimalTransferGranularity = data.load(6, as: UInt16.self)
        optimalTransferBlocks = data.load(12, as: UInt32.self)
        maximumUnmapBlocks = data.load(20, as: UInt32.self)
        maximumWriteSameBlocks = data.load(36, as: UInt64.self)
    }

    /// VPD page B2h.
    package mutating func provisioning(_ data: DeviceData) {
        supportsUnmap = data[5] & 0x80 != 0
        supportsUnmappingWriteSame = data[5] & 0x40 != 0
    }

    /// VPD page 80h.
    package mutating func unitSerialNumber(_ data: DeviceData) {
        serialNumber = data.text(4..<4 + Int(data.load(2, as: UInt16.self) & 0xFF))
    }
}

/// REPORT LUNS data, as an initiator reads it (SPC-4, 6.33).
package struct LogicalUnitList: Sendable {
    /// Bytes of the whole list with its header, which may be more than were read.
    package let byteCount: Int
    /// The logical units that were read, in the target's order. Those that are not addressed in the simplest way (SAM-5,
    /// 4.7.7.2: peripheral device addressing on bus 0) are left out.
    package let units: [UInt8]

    package init(_ data: DeviceData) {
        byteCount = Int(data.load(0, as: UInt32.self)) + Self.headerByteCount
        let entries = stride(from: Self.headerByteCount, to: min(byteCount, data.byteCount) - 7, by: 8)
        units = entries.filter { data[$0] == 0 }.map { data[$0 + 1] }
    }

    /// Bytes before the first logical unit.
    package static let headerByteCount = 8
}
