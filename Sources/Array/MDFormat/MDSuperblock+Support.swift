/// Which md arrays are served, and why others are not. Each reason says what to do about it.
extension MDSuperblock {
    /// The most members of an array. md has up to 1920, with partial parity logs up to 64.
    package static let memberCountMax = 32
    /// The most bytes of an array that is served. New arrays have up to half of it, and some bytes more.
    private static let arrayByteCountMax: UInt64 = 1 << 61
    private static let chunkByteCounts: ClosedRange<UInt64> = 4096...64 << 20
    private static let servedByMD = "serve it with Linux md"

    /// How the array gets its parity right after a crash.
    package var consistency: ArrayConsistency {
        if features.contains(.bitmap) { return .bitmap }
        return features.isDisjoint(with: .anyPartialParityLog) ? .resync : .ppl
    }

    /// The byte at which the bitmap begins on each member; nil without a bitmap, or if it lies in front of or in the
    /// superblock.
    package var bitmapByteOffset: UInt64? {
        guard features.contains(.bitmap), bitmapOffsetSectors >= 8 else { return nil }
        return (superOffsetSectors + UInt64(bitmapOffsetSectors)) * 512
    }

    /// The bytes of this member's partial parity log; nil without one, or if it lies in front of or in the superblock.
    package var partialParityLogRange: Range<UInt64>? {
        guard !features.isDisjoint(with: .anyPartialParityLog), partialParityLogOffsetSectors >= 8 else { return nil }
        let start = (superOffsetSectors + UInt64(partialParityLogOffsetSectors)) * 512
        return start..<start + UInt64(partialParityLogSectors) * 512
    }

    /// The member's data up to here has been rebuilt, in bytes from where data begins. Nil for a member that is not
    /// being rebuilt.
    package var recoveryByteOffset: UInt64? {
        get { features.contains(.recoveryOffset) ? min(recoveryOffsetSectors, UInt64.max / 512) * 512 : nil }
        set {
            if newValue == nil { features.remove(.recoveryOffset) } else { features.insert(.recoveryOffset) }
            recoveryOffsetSectors = (newValue ?? 0) / 512
        }
    }

    /// Whether a member that is being rebuilt lacks only what the bitmap's set bits cover, even above
    /// `recoveryByteOffset`.
    package var isRecoveryGuided: Bool {
        get { features.isSuperset(of: [.recoveryOffset, .recoveryBitmap]) }
        set { if newValue { features.insert(.recoveryBitmap) } else { features.remove(.recoveryBitmap) } }
    }

    /// Whether another member's superblock is of an array with the same shape. (md compares some of this, mdadm the
    /// rest.)
    package func hasSameShape(as other: MDSuperblock) -> Bool {
        level == other.level && layout == other.layout && chunkSectors == other.chunkSectors
            && memberCount == other.memberCount && usedSectors == other.usedSectors
            && creationTime == other.creationTime && consistency == other.consistency
    }

    /// Whether data, bitmap and log are at the same places as on another member.
    package func hasSamePlaces(as other: MDSuperblock) -> Bool {
        dataOffsetSectors == other.dataOffsetSectors && bitmapByteOffset == other.bitmapByteOffset
            && partialParityLogRange == other.partialParityLogRange
    }

    /// The geometry of the array that the superblock describes.
    /// - Throws: `unsupported` if the array has something that is not served.
    package func geometry() throws(Problem) -> ArrayGeometry {
        try checkFeatures()
        let level = try supportedLevel()
        let chunk = UInt64(chunkSectors) * 512
        guard Self.chunkByteCounts.contains(chunk), chunk.nonzeroBitCount == 1 else {
            throw .unsupported(
                "has a chunk of \(chunk) bytes, which is not a power of two from 4K to 64M; \(Self.servedByMD)")
        }
        let smallest = level == .raid5 ? 3 : 2
        guard memberCount >= smallest, memberCount <= Self.memberCountMax else {
            throw .unsupported(
                "is of an array of \(memberCount) members; RAID \(level.rawValue) is served with \(smallest) to "
                    + "\(Self.memberCountMax): \(Self.servedByMD)")
        }
        let sectors = level == .raid5 ? usedSectors : dataSectors
        guard sectors <= dataSectors, sectors >= UInt64(chunkSectors), dataSectors < 1 << 53,
            dataOffsetSectors < 1 << 53, dataOffsetSectors >= superOffsetSectors + UInt64(Self.byteCount / 512)
        else {
            throw .unsupported("states impossible sizes; its superblock is damaged: restore it, or move it away")
        }
        let geometry = ArrayGeometry(
            level: level, memberCount: Int(memberCount), chunkByteCount: Int(chunk),
            memberDataByteCount: sectors * 512, dataByteOffset: dataOffsetSectors * 512)
        guard geometry.memberDataByteCount <= Self.arrayByteCountMax / UInt64(geometry.columnCount) else {
            throw .unsupported("is of an array of more than 2 EiB; \(Self.servedByMD)")
        }
        try checkPlaces(geometry)
        return geometry
    }

    private func supportedLevel() throws(Problem) -> RAIDLevel {
        guard let level = RAIDLevel(rawValue: level) else {
            throw .unsupported(
                "is of a \(Self.name(ofLevel: level)) array, and only RAID 0 and 5 are supported; \(Self.servedByMD)")
        }
        switch level {
        case .raid5 where layout != 2:
            throw .unsupported(
                "is of a RAID 5 array with the layout \(Self.name(ofRAID5Layout: layout)), and only left-symmetric is "
                    + "supported; change it with Linux md: mdadm --grow --layout=left-symmetric")
        case .raid0 where layout > 2:
            throw .unsupported("is of a RAID 0 array with the unknown layout \(layout); \(Self.servedByMD)")
        default: return level
        }
    }

    private func checkFeatures() throws(Problem) {
        let reasons: [(Features, String)] = [
            (
                [.reshape, .reshapeBackwards, .newOffset],
                "is of an array that is being reshaped; assemble it with mdadm, wait until /proc/mdstat shows no "
                    + "reshape, and stop it"
            ),
            (.journal, "is of an array with a journal; remove that with Linux md, or \(Self.servedByMD)"),
            (.clustered, "is of a clustered array; \(Self.servedByMD)"),
            (
                .badBlocks,
                "has bad blocks on record; let Linux md replace the member, or drop the record if it is wrong: "
                    + "mdadm --assemble --update=force-no-bbl"
            ),
        ]
        for (bits, reason) in reasons where !features.isDisjoint(with: bits) { throw .unsupported(reason) }
        let known: Features = [
            .bitmap, .recoveryOffset, .recoveryBitmap, .replacement, .partialParityLog, .multiplePartialParityLogs,
            .raid0Layout,
        ]
        let unknown = features.subtracting(known).rawValue
        let pad: UInt32 = load(12)
        guard unknown == 0, pad == 0 else {
            throw .unsupported(
                "uses unknown features of md (0x\(String(unknown, radix: 16))); \(Self.servedByMD)")
        }
        let logs = features.intersection([.bitmap, .partialParityLog, .multiplePartialParityLogs])
        let isContradictory =
            logs.rawValue.nonzeroBitCount > 1 || level != 0 && features.contains(.raid0Layout)
            || level == 0 && !features.isSubset(of: .raid0Layout)
        guard !isContradictory else {
            throw .unsupported(
                "has features that exclude each other (0x\(String(features.rawValue, radix: 16))), as Linux md sees it "
                    + "too; its superblock is damaged")
        }
    }

    /// Checks that bitmap and log are between the superblock and the data.
    private func checkPlaces(_ geometry: ArrayGeometry) throws(Problem) {
        let isGood =
            switch consistency {
            case .resync: true
            case .bitmap:
                bitmapByteOffset.map {
                    $0 + MDBitmap.areaByteCountMin(memberDataByteCount: geometry.memberDataByteCount)
                        <= geometry.dataByteOffset
                } ?? false
            case .ppl:
                partialParityLogRange.map {
                    $0.upperBound <= geometry.dataByteOffset
                        && $0.count >= MDPartialParityLog.headerByteCount + 4096
                } ?? false
            }
        guard isGood else {
            throw .unsupported("has its bitmap or partial parity log at an unusual place; \(Self.servedByMD)")
        }
    }

    private static func name(ofLevel level: Int32) -> String {
        switch level {
        case -1: "linear"
        case -4: "multipath"
        case 1, 4, 6, 10: "RAID \(level)"
        default: "level \(level)"
        }
    }

    private static func name(ofRAID5Layout layout: UInt32) -> String {
        let names = [
            "left-asymmetric", "right-asymmetric", "left-symmetric", "right-symmetric", "parity-first", "parity-last",
        ]
        return layout < UInt32(names.count) ? names[Int(layout)] : "\(layout)"
    }
}
