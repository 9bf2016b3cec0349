import MDFormat
import MemberIO
import Platform
import RAID

/// A write to a member that has ended and may still be lost.
struct VolatileWrite {
    var byteOffset: Int
    var bytes: [UInt8]
    var range: Range<Int> { byteOffset..<byteOffset + bytes.count }
}

/// What the members hold after a crash.
struct CrashImage {
    static let sectorByteCount = 512
    let geometry: ArrayGeometry
    var members: [[UInt8]]

    /// How much of what was under way a crash spares.
    enum Luck: CaseIterable {
        /// Only what must be durable.
        case none
        /// Everything that ended, as when a process dies.
        case ended
        /// Any sectors of anything.
        case any
    }

    init(_ array: SimulatedArray, luck: Luck, using generator: inout SeededGenerator) {
        geometry = array.geometry
        members = luck == .ended ? array.members : array.durable
        guard luck != .none else { return }
        for member in members.indices where luck == .any {
            for write in array.volatileWrites[member] {
                spare(write, on: member, using: &generator)
            }
        }
        for io in array.pending where io.kind != .read && io.kind != .flush {
            var bytes = [UInt8](repeating: 0, count: Int(io.byteCount))
            if let memory = io.memory {
                bytes = Array(UnsafeRawBufferPointer(start: memory, count: bytes.count))
            }
            spare(VolatileWrite(byteOffset: Int(io.byteOffset), bytes: bytes), on: io.place.index, using: &generator)
        }
    }

    /// Lets some sectors of a write take place.
    private mutating func spare(_ write: VolatileWrite, on member: Int, using generator: inout SeededGenerator) {
        let likelihood = [0.0, 0.5, 1.0].randomElement(using: &generator)!
        var start = 0
        while start < write.bytes.count {
            // Sectors of the file, not of the write.
            let end = min(
                write.bytes.count,
                start + Self.sectorByteCount - (write.byteOffset + start) % Self.sectorByteCount)
            if Double.random(in: 0..<1, using: &generator) < likelihood {
                members[member].replaceSubrange(
                    write.byteOffset + start..<write.byteOffset + end, with: write.bytes[start..<end])
            }
            start = end
        }
    }

    // MARK: Recovery

    /// Makes parity right from the logs, as md does: each entry whose partial parity is intact and whose written
    /// members are all there.
    /// - Returns: entries that were followed.
    mutating func replayLogs(_ area: PartialParityLogArea, missing: Role?) -> Int {
        var count = 0
        for member in geometry.roles where member != missing {
            let start = Int(area.byteOffsets[member])
            let log = members[member].withUnsafeBytes {
                try? MDPartialParityLog(
                    parsing: UnsafeRawBufferPointer(rebasing: $0[start..<start + area.byteCount]),
                    signature: area.signature)
            }
            var position = start + MDPartialParityLog.headerByteCount
            for entry in log?.entries ?? [] {
                let partialParity = Array(members[member][position..<position + Int(entry.partialParityByteCount)])
                position += partialParity.count
                guard CRC32C.checksum(of: partialParity) == entry.checksum, entry.parityRole == UInt32(member.index)
                else {
                    continue
                }
                if replay(entry, partialParity, missing: missing) { count += 1 }
            }
        }
        return count
    }

    private mutating func replay(
        _ entry: MDPartialParityLog.Entry, _ partialParity: [UInt8], missing: Role?
    ) -> Bool {
        let isFull = partialParity.isEmpty
        let columnCount =
            isFull ? geometry.columnCount : Int(entry.dataByteCount) / Int(entry.partialParityByteCount)
        let byteCount = Int(entry.dataByteCount) / columnCount
        let (stripe, column, chunkOffset) = geometry.position(of: entry.dataSector * 512)
        let writtenMembers = (column..<column + columnCount).map { geometry.member(stripe: stripe, column: $0) }
        guard !writtenMembers.contains(where: { $0 == missing }) else { return false }
        let start = Int(geometry.memberByteOffset(stripe: stripe, chunkOffset: chunkOffset))
        var parity = isFull ? [UInt8](repeating: 0, count: byteCount) : partialParity
        for member in writtenMembers {
            for byte in 0..<byteCount { parity[byte] ^= members[member][start + byte] }
        }
        members[geometry.parityMember(stripe: stripe)].replaceSubrange(start..<start + byteCount, with: parity)
        return true
    }

    // MARK: What is left

    /// The first bytes of each sector of the array, as a number; those of a missing member from all others. Each sector
    /// must hold the same number everywhere.
    func stamps(missing: Role?) -> [UInt32?] {
        var stamps: [UInt32?] = []
        geometry.forEachExtent(byteOffset: 0, byteCount: geometry.capacityByteCount) { member, offset, count, _ in
            for sector in stride(from: Int(offset), to: Int(offset + count), by: Self.sectorByteCount) {
                stamps.append(stamp(member, sector, missing: missing))
            }
        }
        return stamps
    }

    private func stamp(_ member: Role, _ offset: Int, missing: Role?) -> UInt32? {
        let sources = member == missing ? geometry.roles.filter { $0 != missing } : [member]
        func word(_ at: Int) -> UInt32 {
            sources.reduce(0) { result, source in
                result ^ members[source].withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
            }
        }
        let first = word(offset)
        return stride(from: 64, to: Self.sectorByteCount, by: 64).allSatisfy { word(offset + $0) == first }
            ? first : nil
    }

    /// Sectors of the members' data, from its start, at which parity is wrong.
    var wrongSectors: [Int] {
        let start = Int(geometry.dataByteOffset)
        return (0..<Int(geometry.memberDataByteCount) / Self.sectorByteCount).filter { sector in
            let offset = start + sector * Self.sectorByteCount
            return stride(from: 0, to: Self.sectorByteCount, by: 64).contains { at in
                members.reduce(UInt32(0)) { result, member in
                    result ^ member.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset + at, as: UInt32.self) }
                } != 0
            }
        }
    }
}
