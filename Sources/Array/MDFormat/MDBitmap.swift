/// md's write-intent bitmap, version 4: a header of 256 bytes, then one bit for each `chunkByteCount` bytes of member
/// space. Bit i is bit i mod 8 of byte 256 + i / 8. A bit is set, durably and on every member, before data of its
/// region is written. So after a crash only regions whose bits are set can have wrong parity. All members have the same
/// bitmap.
///
/// Offsets are those of `bitmap_super_t` in Linux' md-bitmap.h.
package struct MDBitmap: Sendable, Equatable {
    /// Where the bits begin.
    package static let headerByteCount = 256
    /// The unit in which bitmaps are written.
    package static let pageByteCount = 4096
    /// Bits at most: a planner keeps some bytes for each. A bitmap that mdadm makes by itself has less than a million.
    package static let bitCountMax = 1 << 22
    /// BITMAP_MAGIC, "bitm".
    private static let magic: UInt32 = 0x6D74_6962
    /// BITMAP_MAJOR_HI: bits are little-endian on every host.
    private static let version: UInt32 = 4
    /// The bit BITMAP_STALE of `state`.
    private static let stateStale: UInt32 = 2
    /// The bit BITMAP_WRITE_ERROR of `state`.
    private static let stateWriteError: UInt32 = 4

    /// Why a block is not a usable bitmap. Each problem means that any region may have been written to.
    package enum Problem: Error, Equatable {
        /// The block does not begin with md's magic number.
        case noMagic
        /// The version is not 4. Clustered and lockless bitmaps have other versions.
        case unsupportedVersion(UInt32)
        /// The chunk is not a power of two or is below 512 bytes, or the covered size is impossible.
        case wrongSize
        /// The block has no room for all bits.
        case incomplete(bitCount: Int)
    }

    /// The array's UUID, 16 bytes (`uuid`).
    package var setUUID: [UInt8]
    /// The events of the superblock that was written after this header. If the superblock has more, the bitmap is out
    /// of date.
    package var events: UInt64
    /// An absent member with at least that many events missed only what the set bits cover (`events_cleared`).
    package var eventsCleared: UInt64
    /// Sectors of each member that the bits cover: its used size (`sync_size`).
    package var syncSectors: UInt64
    /// Bytes of member space for each bit: a power of two (`chunksize`).
    package var chunkByteCount: UInt64
    /// The daemon's period (`daemon_sleep`). Bits are cleared after two periods without a write.
    package var daemonSleepSeconds: UInt32
    /// Sectors of the bitmap's area, or 0 (`sectors_reserved`).
    package var reservedSectors: UInt32
    private var state: UInt32 = 0
    private var writeBehind: UInt32 = 0
    /// One bit a region, from the lowest bit of byte 0.
    package var bits: [UInt8]

    /// Whether md has marked the bitmap as out of date, or could not write it.
    package var isStale: Bool { state & (Self.stateStale | Self.stateWriteError) != 0 }

    /// How many regions a member has, and so how many bits there are.
    package var bitCount: Int { Self.bitCount(syncSectors: syncSectors, chunkByteCount: chunkByteCount) }

    /// Whether a region's bit is set.
    /// - Parameter bit: below `bitCount`.
    package func isSet(_ bit: Int) -> Bool { bits[bit / 8] & (1 << (bit % 8)) != 0 }

    /// How many regions a member of that size has.
    package static func bitCount(syncSectors: UInt64, chunkByteCount: UInt64) -> Int {
        let chunkSectors = chunkByteCount / 512
        return Int((syncSectors + chunkSectors - 1) / chunkSectors)
    }

    /// Bytes of a bitmap with that many bits, in whole pages.
    package static func byteCount(bitCount: Int) -> Int {
        (headerByteCount + (bitCount + 7) / 8 + pageByteCount - 1) / pageByteCount * pageByteCount
    }

    /// The smallest area in front of the data that is enough for the bitmap of a member of that size. The header has 32
    /// bits for the chunk, which limits the chunk to 2 GiB.
    static func areaByteCountMin(memberDataByteCount: UInt64) -> UInt64 {
        UInt64(byteCount(bitCount: bitCount(syncSectors: memberDataByteCount / 512, chunkByteCount: 1 << 31)))
    }

    /// The chunk that mdadm would choose: 64 MiB, or a larger one with which the bits fit the area.
    package static func chunkByteCount(syncSectors: UInt64, areaByteCount: Int) -> UInt64 {
        var chunk: UInt64 = 64 << 20
        while byteCount(bitCount: bitCount(syncSectors: syncSectors, chunkByteCount: chunk)) > areaByteCount {
            chunk *= 2
        }
        return chunk
    }

    /// A new bitmap, without set bits.
    /// - Parameters:
    ///   - setUUID: the array's, 16 bytes.
    ///   - syncSectors: used sectors of each member.
    ///   - areaByteCount: bytes that each member has for the bitmap.
    ///   - events: those of the superblocks that are written next.
    package init(setUUID: [UInt8], syncSectors: UInt64, areaByteCount: Int, events: UInt64) {
        self.setUUID = setUUID
        self.events = events
        eventsCleared = events
        self.syncSectors = syncSectors
        chunkByteCount = Self.chunkByteCount(syncSectors: syncSectors, areaByteCount: areaByteCount)
        daemonSleepSeconds = 5
        reservedSectors = UInt32(areaByteCount / 512)
        bits = []
        bits = Array(repeating: 0, count: (bitCount + 7) / 8)
    }

    /// Reads a bitmap from the bytes of its area.
    package init(parsing bytes: UnsafeRawBufferPointer) throws(Problem) {
        guard bytes.count >= Self.headerByteCount, bytes.integer(at: 0, as: UInt32.self) == Self.magic else {
            throw .noMagic
        }
        let version = bytes.integer(at: 4, as: UInt32.self)
        guard version == Self.version else { throw .unsupportedVersion(version) }
        setUUID = Array(bytes[8..<24])
        events = bytes.integer(at: 24, as: UInt64.self)
        eventsCleared = bytes.integer(at: 32, as: UInt64.self)
        syncSectors = bytes.integer(at: 40, as: UInt64.self)
        state = bytes.integer(at: 48, as: UInt32.self)
        chunkByteCount = UInt64(bytes.integer(at: 52, as: UInt32.self))
        daemonSleepSeconds = bytes.integer(at: 56, as: UInt32.self)
        writeBehind = bytes.integer(at: 60, as: UInt32.self)
        reservedSectors = bytes.integer(at: 64, as: UInt32.self)
        bits = []
        guard chunkByteCount >= 512, chunkByteCount.nonzeroBitCount == 1, syncSectors < 1 << 53 else {
            throw .wrongSize
        }
        guard bitCount <= (bytes.count - Self.headerByteCount) * 8 else { throw .incomplete(bitCount: bitCount) }
        bits = Array(bytes[Self.headerByteCount..<Self.headerByteCount + (bitCount + 7) / 8])
    }

    /// The header alone, 256 bytes. Header and bits change for different reasons, and are written separately.
    package var encodedHeader: [UInt8] {
        var header = [UInt8](repeating: 0, count: Self.headerByteCount)
        header.withUnsafeMutableBytes { memory in
            let base = memory.baseAddress!
            base.put(Self.magic, at: 0)
            base.put(Self.version, at: 4)
            for (index, byte) in setUUID.prefix(16).enumerated() { memory[8 + index] = byte }
            base.put(events, at: 24)
            base.put(eventsCleared, at: 32)
            base.put(syncSectors, at: 40)
            base.put(state, at: 48)
            base.put(UInt32(clamping: chunkByteCount), at: 52)
            base.put(daemonSleepSeconds, at: 56)
            base.put(writeBehind, at: 60)
            base.put(reservedSectors, at: 64)
        }
        return header
    }

    /// Header and bits, in whole pages.
    package var encoded: [UInt8] {
        let bytes = encodedHeader + bits
        return bytes + Array(repeating: 0, count: Self.byteCount(bitCount: bitCount) - bytes.count)
    }
}
