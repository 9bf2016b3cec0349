import MDFormat
import MemberIO
import Platform
import RAID

/// Blocks of simulated members that cannot be read, until they are written as a whole.
struct BadBlocks {
    private struct Block: Hashable {
        var place: Place
        var number: UInt64
    }

    private let geometry: ArrayGeometry
    private let byteCount: UInt64
    private var places: Set<Block> = []
    /// Blocks that `addSome` has chosen: none goes bad twice, while it is healed.
    private var chosen: Set<UInt64> = []
    /// Blocks stay bad when they are written.
    var stayBad = false

    init(_ geometry: ArrayGeometry) {
        self.geometry = geometry
        byteCount = min(4096, geometry.chunkByteCount)
    }

    var isEmpty: Bool { places.isEmpty }

    /// Makes a block of the data area of the member at a place unreadable.
    /// - Parameter byteOffset: a byte of it, in the member file.
    mutating func add(at place: Place, byteOffset: UInt64) {
        places.insert(Block(place: place, number: (byteOffset - geometry.dataByteOffset) / byteCount))
    }

    /// Makes some block unreadable of which all other members have theirs.
    mutating func addSome(using generator: inout SeededGenerator) {
        let block = UInt64.random(in: 0..<geometry.memberDataByteCount / byteCount, using: &generator)
        guard places.count < 4, chosen.insert(block).inserted else { return }
        places.insert(
            Block(place: Place(Role(index: Int.random(in: 0..<geometry.memberCount, using: &generator))), number: block)
        )
    }

    /// Whether a read meets one of them.
    func fails(_ io: MemberIO) -> Bool {
        guard io.kind.isRead, !places.isEmpty, io.byteOffset >= geometry.dataByteOffset else { return false }
        let start = io.byteOffset - geometry.dataByteOffset
        return (start / byteCount...(start + UInt64(io.byteCount) - 1) / byteCount).contains {
            places.contains(Block(place: io.place, number: $0))
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
        for block in whole { places.remove(Block(place: io.place, number: block)) }
    }

    /// A member has been exchanged for another one.
    mutating func forget(at place: Place) { places = places.filter { $0.place != place } }

    mutating func removeAll() { places = [] }
}
