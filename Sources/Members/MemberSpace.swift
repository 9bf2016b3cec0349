import CLinux
import Glibc
import MemberIO
import Synchronization

/// Which parts of a sparse member file are known to have space.
///
/// A RAID row is written in several pieces; if the file system filled up between two of them, the row's parity would
/// be wrong. So space is reserved on all members before the first piece is written. What is reserved is remembered,
/// which makes the check a bit test.
///
/// Threads: any.
package final class MemberSpace: Sendable {
    /// Bytes that one bit stands for, and that are reserved together.
    package static let granuleByteCount: UInt64 = 64 << 10

    private let file: Int32
    private let byteCount: UInt64
    private nonisolated(unsafe) let bits: UnsafeMutablePointer<Atomic<UInt64>>
    private let wordCount: Int

    /// - Parameters:
    ///   - file: the member's descriptor.
    ///   - byteCount: the file's size.
    package init(file: Int32, byteCount: UInt64) {
        self.file = file
        self.byteCount = byteCount
        wordCount = Int((byteCount / Self.granuleByteCount + 64) / 64)
        bits = .allocate(capacity: wordCount)
        for word in 0..<wordCount { (bits + word).initialize(to: Atomic(0)) }
    }

    deinit {
        bits.deinitialize(count: wordCount)
        bits.deallocate()
    }

    /// Makes sure that writes to a range cannot fail for want of space.
    package func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        let last = (byteOffset + byteCount - 1) / Self.granuleByteCount
        for granule in byteOffset / Self.granuleByteCount...last where !isReserved(granule) {
            let start = granule * Self.granuleByteCount
            let length = min(Self.granuleByteCount, self.byteCount - start)
            let result = nbdext_reserve(file, Int64(start), Int64(length))
            if result == -ENOSPC || result == -EDQUOT { return .noSpace }
            // A file system without fallocate cannot promise; a write there may still fail.
            bits[Int(granule / 64)].bitwiseOr(1 << (granule % 64), ordering: .releasing)
        }
        return .done
    }

    /// Forgets what is known of a range whose space was given back.
    package func forget(byteOffset: UInt64, byteCount: UInt64) {
        guard byteCount > 0 else { return }
        let last = (byteOffset + byteCount - 1) / Self.granuleByteCount
        for granule in byteOffset / Self.granuleByteCount...last {
            bits[Int(granule / 64)].bitwiseAnd(~(1 << (granule % 64)), ordering: .releasing)
        }
    }

    private func isReserved(_ granule: UInt64) -> Bool {
        bits[Int(granule / 64)].load(ordering: .acquiring) & (1 << (granule % 64)) != 0
    }
}
