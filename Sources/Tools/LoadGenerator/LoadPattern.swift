import Glibc

/// The data of every write: bytes that depend on their place in the export alone, so that any read of what was written
/// can be checked, whoever wrote it last and in blocks of whatever size.
package final class LoadPattern: @unchecked Sendable {
    // SAFETY: the bytes do not change after `init`.

    /// The pattern begins again after so many bytes: no power of two, so a block that lands in another block's place is
    /// seen, and few enough to stay in a processor's cache.
    private static let periodByteCount: UInt64 = 61 * 4096
    private let bytes: UnsafeMutableRawPointer

    /// - Parameter blockByteCountMax: the longest piece that will be asked for.
    package init(blockByteCountMax: Int) {
        let period = Int(Self.periodByteCount)
        let count = period + blockByteCountMax
        bytes = .allocate(byteCount: count, alignment: 4096)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for offset in stride(from: 0, to: period, by: 8) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.storeBytes(of: state ^ (state >> 29), toByteOffset: offset, as: UInt64.self)
        }
        for offset in period..<count {
            bytes.storeBytes(
                of: bytes.load(fromByteOffset: offset - period, as: UInt8.self), toByteOffset: offset, as: UInt8.self)
        }
    }

    deinit { bytes.deallocate() }

    /// What an export holds from a byte on.
    package func bytes(at byteOffset: UInt64) -> UnsafeRawPointer {
        UnsafeRawPointer(bytes + Int(byteOffset % Self.periodByteCount))
    }

    /// Whether bytes are what was written to a place.
    func matches(_ other: UnsafeRawPointer, at byteOffset: UInt64, byteCount: Int) -> Bool {
        memcmp(bytes(at: byteOffset), other, byteCount) == 0
    }
}
