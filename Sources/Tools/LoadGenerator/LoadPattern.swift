import Glibc

/// The data of every write. Each byte depends on its place in the export alone, so any read can be checked, whichever
/// connection wrote the data and in blocks of any size.
package final class LoadPattern: @unchecked Sendable {
    // SAFETY: the bytes do not change after `init`.

    /// The pattern repeats after this many bytes. That is no power of two, so that a block in another block's place is
    /// noticed, and few enough to stay in a processor's cache.
    private static let periodByteCount: UInt64 = 61 * 4096
    private let bytes: UnsafeMutableRawPointer

    /// - Parameter blockByteCountMax: the most bytes that are used of a result of `bytes(at:)`.
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

    /// The export's content from an offset on.
    package func bytes(at byteOffset: UInt64) -> UnsafeRawPointer {
        UnsafeRawPointer(bytes + Int(byteOffset % Self.periodByteCount))
    }

    /// Whether bytes are those that were written to an offset.
    func matches(_ other: UnsafeRawPointer, at byteOffset: UInt64, byteCount: Int) -> Bool {
        memcmp(bytes(at: byteOffset), other, byteCount) == 0
    }
}
