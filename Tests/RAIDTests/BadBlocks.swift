import MDFormat
import MemberIO
import Platform
import RAID

/// Blocks of simulated members that cannot be read, until they are written as a whole.
struct BadBlocks {
    private struct Place: Hashable {
        var member: Int
        var block: UInt64
    }

    private let geometry: ArrayGeometry
    private let byteCount: UInt64
    private var places: Set<Place> = []
    /// Blocks that `addSome` has chosen: none goes bad twice, while it is healed.
    private var chosen: Set<UInt64> = []
    /// Blocks stay bad when they are written.
    var stayBad = false

    init(_ geometry: ArrayGeometry) {
        self.geometry = geometry
        byteCount = min(4096, geometry.chunkByteCount)
    }

    var isEmpty: Bool { places.isEmpty }

    /// Makes a block of a member's data area unreadable.
    /// - Parameter byteOffset: a byte of it, in the member file.
    mutating func add(member: Int, byteOffset: UInt64) {
        places.insert(Place(member: member, block: (byteOffset - geometry.dataByteOffset) / byteCount))
    }

    /// Makes some block unreadable of which all other members have theirs.
    mutating func addSome(using generator: inout SeededGenerator) {
        let block = UInt64.random(in: 0..<geometry.memberDataByteCount / byteCount, using: &generator)
        guard places.count < 4, chosen.insert(block).inserted else { return }
        places.insert(Place(member: Int.random(in: 0..<geometry.memberCount, using: &generator), block: block))
    }

    /// Whether a read meets one of them.
    func fails(_ io: MemberIO) -> Bool {
        guard io.kind.isRead, !places.isEmpty, io.byteOffset >= geometry.dataByteOffset else { return false }
        let start = io.byteOffset - geometry.dataByteOffset
        return (start / byteCount...(start + UInt64(io.byteCount) - 1) / byteCount).contains {
            places.contains(Place(member: Int(io.member), block: $0))
        }
    }

    /// A write is done.
    mutating func note(_ io: MemberIO) {
        guard !io.kind.isRead, io.kind != .flush, !stayBad, !places.isEmpty, io.byteOffset >= geometry.dataByteOffset
        else { return }
        let start = io.byteOffset - geometry.dataByteOffset
        let whole =
            (start + byteCount - 1)
            / byteCount..<max(
                (start + UInt64(io.byteCount)) / byteCount, (start + byteCount - 1) / byteCount)
        for block in whole { places.remove(Place(member: Int(io.member), block: block)) }
    }

    /// A member has been exchanged for another one.
    mutating func forget(member: Int) { places = places.filter { $0.member != member } }

    mutating func removeAll() { places = [] }
}
