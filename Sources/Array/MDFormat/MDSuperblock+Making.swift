extension MDSuperblock {
    /// Where a bitmap or a partial parity log begins in a new array, in sectors from the superblock. As with mdadm, it
    /// follows the superblock's 4 KiB.
    private static let logOffsetSectors: UInt16 = 8
    /// The size of a partial parity log's area, as mdadm makes it.
    private static let partialParityLogSectors: UInt16 = 2048

    /// The superblock of a new, clean array. `seal` it before it is written.
    /// - Parameters:
    ///   - geometry: the array's.
    ///   - memberByteCount: the size of each member.
    ///   - role: this member's role, and also its device number.
    ///   - time: seconds since 1970.
    ///   - consistency: `.resync` for RAID 0.
    package init(
        geometry: ArrayGeometry, memberByteCount: UInt64, name: String, setUUID: [UInt8], deviceUUID: [UInt8],
        role: Role, time: UInt64, consistency: ArrayConsistency = .resync
    ) {
        self.init(blank: ())
        store(Self.magic, 0)
        store(UInt32(1), 4)
        self.setUUID = setUUID
        setName = name
        creationTime = time & 0xFF_FFFF_FFFF
        level = geometry.level.rawValue
        chunkSectors = UInt32(geometry.chunkByteCount / 512)
        memberCount = UInt32(geometry.memberCount)
        dataOffsetSectors = geometry.dataByteOffset / 512
        dataSectors = (memberByteCount - geometry.dataByteOffset) / 512
        superOffsetSectors = Self.byteOffset / 512
        switch geometry.level {
        case .raid0:
            features = .raid0Layout
            layout = 1
        case .raid5:
            layout = 2
            usedSectors = geometry.memberDataByteCount / 512
        }
        switch consistency {
        case .resync: break
        case .bitmap:
            features.insert(.bitmap)
            bitmapOffsetSectors = Int32(Self.logOffsetSectors)
        case .ppl:
            features.insert(.partialParityLog)
            partialParityLogOffsetSectors = Int16(Self.logOffsetSectors)
            partialParityLogSectors = Self.partialParityLogSectors
        }
        deviceNumber = UInt32(role.index)
        self.deviceUUID = deviceUUID
        updateTime = creationTime
        events = 1
        resyncOffset = Self.clean
        roleCount = UInt32(Self.roleCapacity)
        for number in 0..<UInt32(Self.roleCapacity) {
            setRole(number < geometry.memberCount ? UInt16(number) : Self.roleSpare, ofDevice: number)
        }
    }

    /// The superblock of a new member of the same array, without a role. `seal` it before it is written.
    /// - Parameters:
    ///   - deviceNumber: a number that no member has.
    ///   - memberByteCount: the member's size.
    package func spare(deviceNumber: UInt32, deviceUUID: [UInt8], memberByteCount: UInt64) -> MDSuperblock {
        var spare = self
        spare.deviceNumber = deviceNumber
        spare.deviceUUID = deviceUUID
        spare.dataSectors = memberByteCount / 512 - dataOffsetSectors
        spare.recoveryByteOffset = nil
        spare.features.remove(.replacement)
        spare.isRecoveryGuided = false
        // Corrected reads (cnt_corrected_read), devflags and the bad block log (bblog) are another member's.
        spare.store(UInt32(0), 164)
        spare.store(UInt64(0), 184)
        return spare
    }

    /// Where data begins on a member of that size: behind the metadata and some room for a later reshape, as mdadm
    /// leaves it.
    package static func dataByteOffset(
        memberDataByteCount: UInt64, chunkByteCount: Int, consistency: ArrayConsistency = .resync
    ) -> UInt64 {
        let sectors = memberDataByteCount / 512
        var headroom: UInt64 = 262_144
        while headroom * 1024 > sectors && headroom / 2 >= UInt64(4 * chunkByteCount / 1024) { headroom /= 2 }
        let log =
            consistency == .ppl
            ? UInt64(partialParityLogSectors) : bitmapAreaByteCount(memberDataByteCount: memberDataByteCount) / 512
        return (24 + log + headroom + 2047) / 2048 * 2048 * 512
    }

    /// The bytes that mdadm reserves for a bitmap on a member of that size, whether there is a bitmap or not.
    package static func bitmapAreaByteCount(memberDataByteCount: UInt64) -> UInt64 {
        let sectors = memberDataByteCount / 512
        return sectors >= 200 << 21 ? 128 << 10 : sectors > 8 << 21 ? 64 << 10 : 4 << 10
    }
}
