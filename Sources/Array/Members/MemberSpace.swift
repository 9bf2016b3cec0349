import CLinux
import Glibc
import MemberIO
import Platform
import Synchronization

/// Keeps track of the parts of a sparse member that have space on disk.
///
/// A RAID stripe is written in several pieces. If the file system filled up between two of them, the parity would be
/// wrong. So space is reserved on all members before the first piece is written. Reserved ranges are remembered, which
/// makes the usual check a bit test.
///
/// Threads: any.
package final class MemberSpace: Sendable {
    /// The number of bytes that one bit stands for and that are reserved together.
    package static let granuleByteCount: UInt64 = 64 << 10

    private let place: MemberPlace
    private let byteCount: UInt64
    // SAFETY: the pointer never changes, and the words are atomics.
    /// Mapped, so that only reserved parts take memory: members are sparse and may be very large.
    private nonisolated(unsafe) let bits: UnsafeMutablePointer<Atomic<UInt64>>
    private let mappedByteCount: Int

    /// - Parameters:
    ///   - place: the member's place.
    ///   - byteCount: the member's size.
    /// - Throws: when the process has no address space left for one bit a granule.
    package init(place: MemberPlace, byteCount: UInt64) throws(OSError) {
        self.place = place
        self.byteCount = byteCount
        let wordCount = Int((byteCount / Self.granuleByteCount + 64) / 64)
        mappedByteCount = wordCount * MemoryLayout<Atomic<UInt64>>.size
        let memory = mmap(
            nil, mappedByteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            throw OSError(code: errno, doing: "note which parts of a member of \(byteCount) bytes have space")
        }
        // Zeroed memory holds atomics of value zero.
        bits = memory.bindMemory(to: Atomic<UInt64>.self, capacity: wordCount)
    }

    deinit { munmap(bits, mappedByteCount) }

    /// Makes sure that writes to a range cannot fail for want of space. Returns `.noSpace` or `.done`, the latter also
    /// where the file system cannot promise it. May block. Offset and count are bytes of the member.
    package func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        assert(byteCount > 0, "a write of no bytes needs no space")
        assert(byteOffset + byteCount <= self.byteCount, "space behind the member's end was asked for")
        let last = (byteOffset + byteCount - 1) / Self.granuleByteCount
        for granule in byteOffset / Self.granuleByteCount...last where !isReserved(granule) {
            let start = granule * Self.granuleByteCount
            let length = min(Self.granuleByteCount, self.byteCount - start)
            guard obtain(byteOffset: start, byteCount: length) != .noSpace else { return .noSpace }
            bits[Int(granule / 64)].bitwiseOr(1 << (granule % 64), ordering: .releasing)
        }
        return .done
    }

    private func obtain(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        switch place {
        case .none: return .done
        case .file(let descriptor): return obtain(descriptor, byteOffset: byteOffset, byteCount: byteCount)
        case .bay(let bay):
            return bay.endpoint?.reserve(byteOffset: byteOffset, byteCount: byteCount)
                ?? obtain(bay.descriptor, byteOffset: byteOffset, byteCount: byteCount)
        case .endpoint(let endpoint):
            return endpoint.reserve(byteOffset: byteOffset, byteCount: byteCount)
        }
    }

    private func obtain(_ descriptor: Int32, byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        let result = nbdext_reserve(descriptor, Int64(byteOffset), Int64(byteCount))
        // A file system without fallocate cannot promise space, so a write there may still fail.
        return result == -ENOSPC || result == -EDQUOT ? .noSpace : .done
    }

    /// Forgets a range whose space was given back. Offset and count are bytes of the member.
    package func forget(byteOffset: UInt64, byteCount: UInt64) {
        guard byteCount > 0 else { return }
        assert(byteOffset + byteCount <= self.byteCount, "space behind the member's end was given back")
        let last = (byteOffset + byteCount - 1) / Self.granuleByteCount
        for granule in byteOffset / Self.granuleByteCount...last {
            bits[Int(granule / 64)].bitwiseAnd(~(1 << (granule % 64)), ordering: .releasing)
        }
    }

    /// Forgets everything, because another member is behind the place now.
    package func forgetAll() { madvise(bits, mappedByteCount, MADV_DONTNEED) }

    private func isReserved(_ granule: UInt64) -> Bool {
        bits[Int(granule / 64)].load(ordering: .acquiring) & (1 << (granule % 64)) != 0
    }
}
