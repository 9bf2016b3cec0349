/// The checksum of md's partial parity log: CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), from all-ones and
/// inverted at the end. It is computed by a table, which is fast enough for metadata. The executor of the hot path uses
/// the processor's instruction.
package enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { rest, _ in rest & 1 == 0 ? rest >> 1 : rest >> 1 ^ 0x82F6_3B78 }
    }

    /// The checksum of a block of memory.
    package static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            var register = UInt32.max
            var index = 0
            while index < bytes.count {
                register = register >> 8 ^ table[Int((register ^ UInt32(bytes[index])) & 0xFF)]
                index += 1
            }
            return ~register
        }
    }

    /// The checksum of some bytes.
    package static func checksum(of bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum(of: $0) } }
}
