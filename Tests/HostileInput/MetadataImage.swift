import ArrayStore
import MDFormat
import MemberIO
import RAID

/// The members of a small array, to be changed field by field.
package struct MetadataImage {
    /// How parity is kept right; nil is RAID 0, which has none.
    package typealias Kind = ArrayConsistency?
    package static let kinds: [Kind] = [nil] + ArrayConsistency.allCases.map { $0 }

    /// By role, then a spare of RAID 5.
    package private(set) var members: [SparseMember]
    package let geometry: ArrayGeometry
    private let bitmapByteOffset: UInt64?
    private let log: Range<UInt64>?

    /// - Parameters:
    ///   - isDirty: it was not stopped cleanly; with logs, one has an entry.
    ///   - isRebuilding: the last member has been rebuilt in part.
    package init(_ kind: Kind, isDirty: Bool, isRebuilding: Bool) throws {
        let plan = ArrayStore.Plan(
            level: kind == nil ? .raid0 : .raid5, memberCount: 3, byteCount: 96 << 10, chunkByteCount: 16 << 10,
            name: "host:trial", consistency: kind ?? .resync)
        geometry = plan.geometry
        members = (0..<3).map { SparseMember(name: "member-\($0).img", byteCount: plan.memberByteCount) }
        var generator = SystemRandomNumberGenerator()
        try ArrayStore.format(members, plan: plan, time: 1_700_000_000, using: &generator)
        let first = try Self.superblock(of: members[0])
        bitmapByteOffset = first.bitmapByteOffset
        log = first.partialParityLogRange
        guard kind != nil else { return }
        try addSpare(first)
        for index in 0..<3 {
            var own = try Self.superblock(of: members[index])
            if isDirty { own.resyncOffset = 0 }
            if isRebuilding && index == 2 { own.recoveryByteOffset = 16 << 10 }
            try Self.write(own, to: members[index])
        }
        if isDirty { try addLogEntry(first.setUUID) }
    }

    private static func superblock(of member: SparseMember) throws -> MDSuperblock {
        try MDSuperblock(parsing: member.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount))
    }

    private static func write(_ superblock: MDSuperblock, to member: SparseMember) throws {
        var sealed = superblock
        sealed.seal()
        try member.write(bytes: sealed.bytes, at: MDSuperblock.byteOffset)
    }

    private mutating func addSpare(_ superblock: MDSuperblock) throws {
        let spare = SparseMember(name: "spare.img", byteCount: members[0].byteCount)
        try Self.write(
            superblock.spare(
                deviceNumber: 3, deviceUUID: Array(repeating: 9, count: 16), memberByteCount: spare.byteCount),
            to: spare)
        members.append(spare)
    }

    /// A write of one block of the first stripe that was under way.
    private func addLogEntry(_ uuid: [UInt8]) throws {
        guard let log else { return }
        let entry = MDPartialParityLog.Entry(
            dataSector: 0, partialParityByteCount: 4096, dataByteCount: 4096,
            parityRole: UInt32(geometry.parityMember(stripe: 0).index),
            checksum: CRC32C.checksum(of: Array(repeating: 0, count: 4096)))
        let header = MDPartialParityLog(generation: 5, entries: [entry])
            .encoded(signature: MDPartialParityLog.signature(setUUID: uuid))
        try members[geometry.parityMember(stripe: 0)].write(bytes: header, at: log.lowerBound)
    }

    // MARK: Changing

    /// A change of the array's shape by md that a crash has cut in two.
    package enum HalfDone: Int, CaseIterable, Sendable {
        case begin, end, size
    }

    /// Lets a change of shape reach some members only.
    /// - Parameter told: bit by bit, the members that know.
    package func cut(_ change: HalfDone, told: Int) throws {
        for (index, member) in members.enumerated() {
            var own = try Self.superblock(of: member)
            let knows = told >> index & 1 != 0
            var reshape = MDSuperblock.Reshape(
                newLevel: own.level, newLayout: own.layout, newChunkSectors: own.chunkSectors, addedMemberCount: 1,
                position: 0, dataOffsetChange: -Int32(own.chunkSectors))
            if knows { own.events += 1 }
            switch change {
            case .begin where knows:
                own.memberCount += 1
                own.reshape = reshape
            case .end where !knows:
                reshape.position = 64
                own.reshape = reshape
                own.dataOffsetSectors += UInt64(own.chunkSectors)
                own.dataSectors -= UInt64(own.chunkSectors)
            case .size where !knows && own.usedSectors > 0: own.usedSectors -= UInt64(own.chunkSectors)
            default: break
            }
            try Self.write(own, to: member)
        }
    }

    /// Writes a value into a field of one member, or of all; checksums become right with `repairChecksums`.
    package func apply(_ change: MetadataChange) throws {
        for (index, member) in members.enumerated() where change.member == nil || change.member == index {
            switch change.area {
            case .size: member.byteCount = change.value
            case .superblock: try Self.put(change, in: member, at: MDSuperblock.byteOffset)
            case .bitmap: try Self.put(change, in: member, at: bitmapByteOffset ?? MDSuperblock.byteOffset)
            case .log: try Self.put(change, in: member, at: log?.lowerBound ?? MDSuperblock.byteOffset)
            }
        }
    }

    private static func put(_ change: MetadataChange, in member: SparseMember, at start: UInt64) throws {
        let bytes = (0..<change.width).map { UInt8(truncatingIfNeeded: change.value >> UInt64(8 * $0)) }
        // It may have become too short.
        try? member.write(bytes: bytes, at: start + UInt64(change.offset))
    }

    /// Makes all checksums right, without asking the code that is tried.
    package func repairChecksums() {
        for member in members {
            if let log { try? repairLog(of: member, log) }
            try? repairSuperblock(of: member)
        }
    }

    private func repairSuperblock(of member: SparseMember) throws {
        var bytes = try member.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount)
        for index in 216..<220 { bytes[index] = 0 }
        let end = min(256 + 2 * Int(Self.word(bytes, 220)), bytes.count)
        var sum: UInt64 = 0
        for offset in stride(from: 0, to: end, by: 4) {
            sum += UInt64(offset + 4 <= end ? Self.word(bytes, offset) : Self.word(bytes, offset) & 0xFFFF)
        }
        let folded = UInt32(truncatingIfNeeded: (sum & 0xFFFF_FFFF) + sum >> 32)
        for index in 0..<4 { bytes[216 + index] = UInt8(truncatingIfNeeded: folded >> UInt32(8 * index)) }
        try member.write(bytes: bytes, at: MDSuperblock.byteOffset)
    }

    private func repairLog(of member: SparseMember, _ log: Range<UInt64>) throws {
        var header = try member.bytes(at: log.lowerBound, count: 4096)
        guard header.contains(where: { $0 != 0 }) else { return }
        var position = log.lowerBound + 4096
        for entry in 0..<min(Int(Self.word(header, 528)), 148) {
            let offset = 536 + 24 * entry
            let byteCount = UInt64(Self.word(header, offset + 8))
            guard byteCount <= log.upperBound - position else { break }
            let checksum = CRC32C.checksum(of: try member.bytes(at: position, count: Int(byteCount)))
            for index in 0..<4 {
                header[offset + 20 + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * index))
            }
            position += byteCount
        }
        for index in 532..<536 { header[index] = 0 }
        let checksum = CRC32C.checksum(of: header)
        for index in 0..<4 { header[532 + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * index)) }
        try member.write(bytes: header, at: log.lowerBound)
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | (offset + $1 < bytes.count ? UInt32(bytes[offset + $1]) : 0) << UInt32(8 * $1) }
    }
}

/// A value that is written into a member's metadata.
package struct MetadataChange: Sendable, CustomStringConvertible {
    /// Which part of a member is changed.
    package enum Area: UInt8, Sendable, CaseIterable { case superblock, bitmap, log, size }

    /// Nil for all members.
    package var member: Int?
    package var area: Area
    /// Bytes from where the area begins.
    package var offset: Int
    /// Bytes.
    package var width: Int
    package var value: UInt64

    package init(member: Int?, area: Area, offset: Int, width: Int, value: UInt64) {
        self.member = member
        self.area = area
        self.offset = offset
        self.width = width
        self.value = value
    }

    package var description: String {
        let who = member.map { "member \($0)" } ?? "all members"
        return "\(who): \(area), byte \(offset), \(width) bytes: 0x\(String(value, radix: 16))"
    }

    /// All fields: where they are, and how long.
    package static let fields: [(area: Area, offset: Int, width: Int)] =
        superblockFields.map { (.superblock, $0.0, $0.1) } + bitmapFields.map { (.bitmap, $0.0, $0.1) }
        + logFields.map { (.log, $0.0, $0.1) } + [(.size, 0, 8)]

    /// `mdp_superblock_1` in Linux' md_p.h, with the first entries of the role table.
    private static let superblockFields: [(Int, Int)] = [
        (0, 4), (4, 4), (8, 4), (12, 4), (16, 8), (32, 8), (64, 8), (72, 4), (76, 4), (80, 8), (88, 4), (92, 4),
        (96, 4),
        (96, 2), (98, 2), (100, 4), (104, 8), (112, 4), (116, 4), (120, 4), (124, 4), (128, 8), (136, 8), (144, 8),
        (152, 8), (160, 4), (164, 4), (168, 8), (184, 4), (188, 4), (192, 8), (200, 8), (208, 8), (220, 4), (224, 8),
        (232, 8), (240, 8), (248, 8), (256, 2), (258, 2), (260, 2), (262, 2),
    ]
    /// `bitmap_super_t` in Linux' md-bitmap.h, and the first bits.
    private static let bitmapFields: [(Int, Int)] = [
        (0, 4), (4, 4), (8, 8), (24, 8), (32, 8), (40, 8), (48, 4), (52, 4), (56, 4), (60, 4), (64, 4), (68, 4),
        (256, 8),
    ]
    /// `ppl_header` and its first two entries, and partial parity.
    private static let logFields: [(Int, Int)] = [
        (512, 4), (520, 8), (528, 4), (536, 8), (544, 4), (548, 4), (552, 4), (560, 8), (568, 4), (572, 4), (576, 4),
        (4096, 8), (8192, 8),
    ]

    /// Values that arithmetic may not survive, and some that are plausible.
    package static let extremes: [UInt64] = [
        0, 1, 2, 3, 7, 8, 16, 128, 0xFFFD, 0xFFFE, 0xFFFF, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
        1 << 52, (1 << 53) - 1, 1 << 53, (1 << 54) + 1, 1 << 55, 1 << 60, (1 << 62) - 1, (1 << 63) - 1, 1 << 63,
        UInt64.max - 1, UInt64.max, 0x0000_0400, 0x0000_0081, 0x0000_0012,
    ]
}
