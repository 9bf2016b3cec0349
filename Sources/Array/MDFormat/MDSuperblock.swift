/// The superblock of Linux md, metadata version 1.2: 4 KiB at byte 4096 of each member, little-endian.
///
/// The names in comments are those of `mdp_superblock_1` in md_p.h.
///
/// Bytes that have no meaning here are kept as they were read.
package struct MDSuperblock: Sendable, Equatable {
    /// Where the superblock lies in a member file.
    package static let byteOffset: UInt64 = 4096
    /// The superblock's size.
    package static let byteCount = 4096
    /// Entries in the role table of a new superblock.
    static let roleCapacity = 128
    /// MD_SB_MAGIC.
    static let magic: UInt32 = 0xA92B_4EFC

    /// `resyncOffset` of an array whose parity is right everywhere (MaxSector in md).
    package static let clean = UInt64.max
    /// MD_DISK_ROLE_SPARE: the member has no role.
    package static let roleSpare: UInt16 = 0xFFFF
    /// MD_DISK_ROLE_FAULTY: the member has failed.
    package static let roleFaulty: UInt16 = 0xFFFE
    /// MD_DISK_ROLE_JOURNAL. Values from here on are not roles: a journal, a faulty member, a spare.
    package static let firstSpecialRole: UInt16 = 0xFFFD
    /// Event counts are below this. No array gets there, so a count can always be raised.
    private static let eventsEnd: UInt64 = 1 << 63

    /// The optional contents of a superblock: `feature_map`, whose bits are MD_FEATURE_* in md_p.h.
    package struct Features: OptionSet, Sendable {
        /// The bits of `feature_map`.
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        /// BITMAP_OFFSET: the array has a bitmap.
        package static let bitmap = Features(rawValue: 1)
        /// RECOVERY_OFFSET: the member is being rebuilt, and `recoveryOffsetSectors` says how far.
        package static let recoveryOffset = Features(rawValue: 2)
        /// RESHAPE_ACTIVE: the array's shape is being changed.
        package static let reshape = Features(rawValue: 4)
        /// BAD_BLOCKS: the bad block log has entries.
        package static let badBlocks = Features(rawValue: 8)
        /// REPLACEMENT: the member is to replace one that is still there.
        package static let replacement = Features(rawValue: 16)
        /// RESHAPE_BACKWARDS: the reshape goes from the end to the start.
        package static let reshapeBackwards = Features(rawValue: 32)
        /// NEW_OFFSET: `new_offset` counts.
        package static let newOffset = Features(rawValue: 64)
        /// RECOVERY_BITMAP: the member is being rebuilt where the bitmap says so.
        package static let recoveryBitmap = Features(rawValue: 128)
        /// CLUSTERED: several hosts share the array.
        package static let clustered = Features(rawValue: 256)
        /// JOURNAL: the array has a journal.
        package static let journal = Features(rawValue: 512)
        /// PPL: each member has a partial parity log.
        package static let partialParityLog = Features(rawValue: 1024)
        /// MULTIPLE_PPLS: the area of the partial parity log holds several, one after the other.
        package static let multiplePartialParityLogs = Features(rawValue: 2048)
        /// RAID0_LAYOUT: `layout` is valid for RAID 0.
        package static let raid0Layout = Features(rawValue: 4096)
        /// Either kind of partial parity log.
        package static let anyPartialParityLog: Features = [.partialParityLog, .multiplePartialParityLogs]
    }

    /// The superblock's 4096 bytes.
    package private(set) var bytes: [UInt8]

    /// Why a block is not a usable superblock.
    package enum Problem: Error, Equatable {
        /// The block is not a superblock of version 1.2.
        case noMagic
        /// The superblock is damaged.
        case wrongChecksum
        /// A field has a value that no array can reach; the text says which.
        case impossible(String)
        /// The rest of a sentence that begins with the member's name: what the member has, and what to do.
        case unsupported(String)
    }

    // MARK: Fields, by their offsets in md_p.h

    /// The array's UUID, 16 bytes.
    package var setUUID: [UInt8] {
        get { Array(bytes[16..<32]) }
        set { bytes.replaceSubrange(16..<32, with: newValue) }
    }

    /// "host:name", or the name alone; at most 32 bytes.
    package var setName: String {
        get { String(decoding: bytes[32..<64].prefix { $0 != 0 }, as: UTF8.self) }
        set { bytes.replaceSubrange(32..<64, with: (Array(newValue.utf8) + Array(repeating: 0, count: 32)).prefix(32)) }
    }

    /// `feature_map`.
    package var features: Features {
        get { Features(rawValue: load(8)) }
        set { store(newValue.rawValue, 8) }
    }
    /// When the array was made: seconds since 1970 in the lower 40 bits (`ctime`).
    package var creationTime: UInt64 {
        get { load(64) }
        set { store(newValue, 64) }
    }
    /// The array's level, also one that is not served.
    package var level: Int32 {
        get { Int32(bitPattern: load(72)) }
        set { store(UInt32(bitPattern: newValue), 72) }
    }
    /// The layout, by the level: 2 is left-symmetric for RAID 5.
    package var layout: UInt32 {
        get { load(76) }
        set { store(newValue, 76) }
    }
    /// Sectors of each member that are used; 0 for RAID 0 (`size`).
    package var usedSectors: UInt64 {
        get { load(80) }
        set { store(newValue, 80) }
    }
    /// Sectors of a chunk (`chunksize`).
    package var chunkSectors: UInt32 {
        get { load(88) }
        set { store(newValue, 88) }
    }
    /// Members of the complete array (`raid_disks`).
    package var memberCount: UInt32 {
        get { load(92) }
        set { store(newValue, 92) }
    }
    /// Where the bitmap begins, in sectors from the superblock; may be negative. Valid with `.bitmap`.
    package var bitmapOffsetSectors: Int32 {
        get { Int32(bitPattern: load(96)) }
        set { store(UInt32(bitPattern: newValue), 96) }
    }
    /// Where the partial parity log begins, in sectors from the superblock; may be negative. Valid with
    /// `.anyPartialParityLog` (`ppl.offset`).
    package var partialParityLogOffsetSectors: Int16 {
        get { Int16(bitPattern: load(96)) }
        set { store(UInt16(bitPattern: newValue), 96) }
    }
    /// Sectors of the partial parity log's area (`ppl.size`).
    package var partialParityLogSectors: UInt16 {
        get { load(98) }
        set { store(newValue, 98) }
    }
    /// The sector of the member at which data begins (`data_offset`).
    package var dataOffsetSectors: UInt64 {
        get { load(128) }
        set { store(newValue, 128) }
    }
    /// Sectors of the member that can be used for data (`data_size`).
    package var dataSectors: UInt64 {
        get { load(136) }
        set { store(newValue, 136) }
    }
    /// The sector of the member at which the superblock lies (`super_offset`).
    package var superOffsetSectors: UInt64 {
        get { load(144) }
        set { store(newValue, 144) }
    }
    /// The member's data up to here has been rebuilt, in sectors from where data begins. Valid with `.recoveryOffset`.
    package var recoveryOffsetSectors: UInt64 {
        get { load(152) }
        set { store(newValue, 152) }
    }
    /// The member's index in the role table, for as long as it exists (`dev_number`).
    package var deviceNumber: UInt32 {
        get { load(160) }
        set { store(newValue, 160) }
    }
    /// The member's UUID, 16 bytes.
    package var deviceUUID: [UInt8] {
        get { Array(bytes[168..<184]) }
        set { bytes.replaceSubrange(168..<184, with: newValue) }
    }
    /// Seconds since 1970: the lower 40 bits of `utime`. The upper bits belong to `lineage`.
    package var updateTime: UInt64 {
        get { load(192) & 0xFF_FFFF_FFFF }
        set { storeBytes(newValue, count: 5, 192) }
    }
    /// Grows with every change of state. The members with the highest number have the newest state.
    package var events: UInt64 {
        get { load(200) }
        set { store(newValue, 200) }
    }
    /// Parity is right below this sector of the members' data areas.
    package var resyncOffset: UInt64 {
        get { load(208) }
        set { store(newValue, 208) }
    }
    private var checksum: UInt32 {
        get { load(216) }
        set { store(newValue, 216) }
    }
    /// Entries in the role table (`max_dev`).
    package internal(set) var roleCount: UInt32 {
        get { load(220) }
        set { store(newValue, 220) }
    }

    /// The role of the member with that device number; `roleSpare` if the table has no entry for it.
    package func role(ofDevice number: UInt32) -> UInt16 {
        guard hasEntry(ofDevice: number) else { return Self.roleSpare }
        return load(256 + 2 * Int(number))
    }

    /// Whether the table has an entry for a device number. The number may be any, since it comes from a member's
    /// superblock.
    package func hasEntry(ofDevice number: UInt32) -> Bool { number < roleCount }

    /// Changes an entry of the role table. A number without an entry stays without a role.
    package mutating func setRole(_ role: UInt16, ofDevice number: UInt32) {
        guard hasEntry(ofDevice: number) else {
            precondition(role >= Self.firstSpecialRole, "a member gets a role by a number that the table has")
            return
        }
        store(role, 256 + 2 * Int(number))
    }

    /// The device number that has a role, or nil.
    package func device(withRole role: UInt16) -> UInt32? {
        (0..<roleCount).first { self.role(ofDevice: $0) == role }
    }

    /// Takes over another member's state of the array. Everything else stays this member's own, even what has no
    /// meaning here.
    package mutating func takeState(of other: MDSuperblock) {
        events = other.events
        updateTime = other.updateTime
        lineage = other.lineage
        resyncOffset = other.resyncOffset
        roleCount = other.roleCount
        bytes.replaceSubrange(256..., with: other.bytes[256...])
    }

    /// This member's own role.
    package var role: UInt16 { role(ofDevice: deviceNumber) }

    /// Whether the array was stopped with its parity right everywhere. RAID 0 has no parity.
    package var isClean: Bool { level == RAIDLevel.raid0.rawValue || resyncOffset == Self.clean }

    // MARK: Making and reading

    /// All zeros, to be filled by another initialiser.
    init(blank: Void) { bytes = Array(repeating: 0, count: Self.byteCount) }

    /// Reads a superblock. The array that it describes need not be a supported one.
    package init(parsing bytes: [UInt8]) throws(Problem) {
        guard bytes.count >= Self.byteCount else { throw .noMagic }
        self.bytes = Array(bytes.prefix(Self.byteCount))
        let magic: UInt32 = load(0)
        let version: UInt32 = load(4)
        guard magic == Self.magic, version == 1, superOffsetSectors == Self.byteOffset / 512 else { throw .noMagic }
        guard roleCount <= 1920, checksum == computedChecksum else { throw .wrongChecksum }
        guard events < Self.eventsEnd else { throw .impossible("it counts \(events) events") }
    }

    /// Computes the checksum, as the last step before a write.
    package mutating func seal() { checksum = computedChecksum }

    /// md's checksum: the sum of all 32-bit words, with the checksum field as zero, folded once.
    private var computedChecksum: UInt32 {
        let length = 256 + 2 * Int(roleCount)
        var sum: UInt64 = 0
        var offset = 0
        while offset + 4 <= length {
            let word: UInt32 = offset == 216 ? 0 : load(offset)
            sum += UInt64(word)
            offset += 4
        }
        if offset < length {
            let half: UInt16 = load(offset)
            sum += UInt64(half)
        }
        return UInt32(truncatingIfNeeded: (sum & 0xFFFF_FFFF) + (sum >> 32))
    }

    func load<Integer: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> Integer {
        bytes.withUnsafeBytes { $0.integer(at: offset, as: Integer.self) }
    }

    mutating func store<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, _ offset: Int) {
        bytes.withUnsafeMutableBytes { $0.baseAddress!.put(value, at: offset) }
    }

    /// Stores the low bytes of a number, the lowest first.
    mutating func storeBytes<Integer: FixedWidthInteger & UnsignedInteger>(
        _ value: Integer, count: Int, _ offset: Int
    ) {
        var rest = value
        for index in 0..<count {
            bytes[offset + index] = UInt8(truncatingIfNeeded: rest)
            rest >>= 8
        }
    }
}
