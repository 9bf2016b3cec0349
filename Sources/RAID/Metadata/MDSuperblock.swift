/// The superblock of Linux md, metadata version 1.2: 4 KiB at byte 4096 of each member, little-endian.
///
/// Bytes that are not interpreted here are kept as they were read.
package struct MDSuperblock: Sendable, Equatable {
    /// Where the superblock lies in a member file.
    package static let byteOffset: UInt64 = 4096
    package static let byteCount = 4096
    /// Entries in the role table of a superblock that is made here.
    private static let roleCapacity = 128
    private static let magic: UInt32 = 0xA92B_4EFC

    /// `resyncOffset` of an array whose parity is right everywhere.
    package static let clean = UInt64.max
    /// Values of `roles` that are not a role.
    package static let roleSpare: UInt16 = 0xFFFF
    package static let roleFaulty: UInt16 = 0xFFFE
    /// Feature bit: the RAID 0 layout field is valid.
    private static let featureRAID0Layout: UInt32 = 4096
    /// Feature bit: the member has been rebuilt up to `recoveryOffset` only.
    private static let featureRecoveryOffset: UInt32 = 2

    package private(set) var bytes: [UInt8]

    /// Why a block is not a superblock that can be used.
    package enum Problem: Error, Equatable {
        case noMagic
        case wrongChecksum
        case unsupported(String)
    }

    // MARK: Fields, by their offsets in md_p.h

    package var setUUID: [UInt8] {
        get { Array(bytes[16..<32]) }
        set { bytes.replaceSubrange(16..<32, with: newValue) }
    }

    /// "host:name", or the name alone; at most 32 bytes.
    package var setName: String {
        get { String(decoding: bytes[32..<64].prefix { $0 != 0 }, as: UTF8.self) }
        set { bytes.replaceSubrange(32..<64, with: (Array(newValue.utf8) + Array(repeating: 0, count: 32)).prefix(32)) }
    }

    package var featureMap: UInt32 {
        get { load(8) }
        set { store(newValue, 8) }
    }
    package var creationTime: UInt64 {
        get { load(64) }
        set { store(newValue, 64) }
    }
    package var level: Int32 {
        get { Int32(bitPattern: load(72)) }
        set { store(UInt32(bitPattern: newValue), 72) }
    }
    package var layout: UInt32 {
        get { load(76) }
        set { store(newValue, 76) }
    }
    /// Sectors of each member that are used; 0 for RAID 0.
    package var usedSectors: UInt64 {
        get { load(80) }
        set { store(newValue, 80) }
    }
    package var chunkSectors: UInt32 {
        get { load(88) }
        set { store(newValue, 88) }
    }
    package var memberCount: UInt32 {
        get { load(92) }
        set { store(newValue, 92) }
    }
    package var dataOffsetSectors: UInt64 {
        get { load(128) }
        set { store(newValue, 128) }
    }
    package var dataSectors: UInt64 {
        get { load(136) }
        set { store(newValue, 136) }
    }
    package var superOffsetSectors: UInt64 {
        get { load(144) }
        set { store(newValue, 144) }
    }
    /// Sectors of the data area, from its start, that a member which is being rebuilt has. Valid with
    /// `featureRecoveryOffset`.
    private var recoveryOffset: UInt64 {
        get { load(152) }
        set { store(newValue, 152) }
    }
    /// The bytes of its data area that a member has been rebuilt to, or nil when it has all.
    package var recoveryByteOffset: UInt64? {
        get { featureMap & Self.featureRecoveryOffset == 0 ? nil : recoveryOffset &* 512 }
        set {
            featureMap = featureMap & ~Self.featureRecoveryOffset | (newValue == nil ? 0 : Self.featureRecoveryOffset)
            recoveryOffset = (newValue ?? 0) / 512
        }
    }
    /// The member's index in `roles`.
    package var deviceNumber: UInt32 {
        get { load(160) }
        set { store(newValue, 160) }
    }
    package var deviceUUID: [UInt8] {
        get { Array(bytes[168..<184]) }
        set { bytes.replaceSubrange(168..<184, with: newValue) }
    }
    package var updateTime: UInt64 {
        get { load(192) }
        set { store(newValue, 192) }
    }
    /// Grows with every change of state; the members with the highest number know best.
    package var events: UInt64 {
        get { load(200) }
        set { store(newValue, 200) }
    }
    package var resyncOffset: UInt64 {
        get { load(208) }
        set { store(newValue, 208) }
    }
    private var checksum: UInt32 {
        get { load(216) }
        set { store(newValue, 216) }
    }
    package private(set) var roleCount: UInt32 {
        get { load(220) }
        set { store(newValue, 220) }
    }

    /// The role of the member with that device number.
    package func role(ofDevice number: UInt32) -> UInt16 {
        guard number < roleCount else { return Self.roleSpare }
        return load(256 + 2 * Int(number))
    }

    package mutating func setRole(_ role: UInt16, ofDevice number: UInt32) {
        precondition(number < roleCount)
        store(role, 256 + 2 * Int(number))
    }

    /// The device number that has a role, or nil.
    package func device(withRole role: UInt16) -> UInt32? {
        (0..<roleCount).first { self.role(ofDevice: $0) == role }
    }

    /// This member's own role.
    package var role: UInt16 { role(ofDevice: deviceNumber) }

    package var isClean: Bool { resyncOffset == Self.clean }

    // MARK: Making and reading

    /// A superblock of a new, clean array; `seal` it before it is written.
    /// - Parameters:
    ///   - geometry: the array's.
    ///   - memberByteCount: the size of each member file.
    ///   - role: this member's role, which is also its device number.
    ///   - time: seconds since 1970.
    package init(
        geometry: ArrayGeometry, memberByteCount: UInt64, name: String, setUUID: [UInt8], deviceUUID: [UInt8],
        role: Int, time: UInt64
    ) {
        bytes = Array(repeating: 0, count: Self.byteCount)
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
            featureMap = Self.featureRAID0Layout
            layout = 1
        case .raid5:
            layout = 2
            usedSectors = geometry.memberDataByteCount / 512
        }
        deviceNumber = UInt32(role)
        self.deviceUUID = deviceUUID
        updateTime = creationTime
        events = 1
        resyncOffset = Self.clean
        roleCount = UInt32(Self.roleCapacity)
        for number in 0..<UInt32(Self.roleCapacity) {
            setRole(number < geometry.memberCount ? UInt16(number) : Self.roleSpare, ofDevice: number)
        }
    }

    /// Reads a superblock and checks that this version knows all that it says.
    package init(parsing bytes: [UInt8]) throws(Problem) {
        guard bytes.count >= Self.byteCount else { throw .noMagic }
        self.bytes = Array(bytes.prefix(Self.byteCount))
        let magic: UInt32 = load(0)
        let version: UInt32 = load(4)
        guard magic == Self.magic, version == 1 else { throw .noMagic }
        guard roleCount <= 1920, checksum == computedChecksum else { throw .wrongChecksum }
        guard superOffsetSectors == Self.byteOffset / 512 else { throw .unsupported("metadata other than version 1.2") }
        let known: UInt32 = level == RAIDLevel.raid0.rawValue ? Self.featureRAID0Layout : Self.featureRecoveryOffset
        guard featureMap & ~known == 0 else {
            throw .unsupported("features 0x\(String(featureMap & ~known, radix: 16)) of md")
        }
    }

    /// Completes the checksum.
    package mutating func seal() { checksum = computedChecksum }

    /// The array that the superblock describes, or why there is none.
    package func geometry() throws(Problem) -> ArrayGeometry {
        guard let level = RAIDLevel(rawValue: level) else { throw .unsupported("RAID level \(level)") }
        if level == .raid5 && layout != 2 { throw .unsupported("RAID 5 layouts other than left-symmetric") }
        let chunk = UInt64(chunkSectors) * 512
        guard chunk >= 4096, chunk <= 64 << 20, chunk.nonzeroBitCount == 1 else {
            throw .unsupported("a chunk of \(chunk) bytes")
        }
        let smallest = level == .raid5 ? 3 : 2
        guard memberCount >= smallest, memberCount <= 32 else { throw .unsupported("\(memberCount) members") }
        let sectors = level == .raid5 ? usedSectors : dataSectors
        guard sectors <= dataSectors, sectors >= UInt64(chunkSectors), sectors < 1 << 53, dataOffsetSectors < 1 << 53,
            dataOffsetSectors >= 16
        else { throw .unsupported("its sizes") }
        return ArrayGeometry(
            level: level, memberCount: Int(memberCount), chunkByteCount: Int(chunk),
            memberDataByteCount: sectors * 512, dataByteOffset: dataOffsetSectors * 512)
    }

    /// Where data begins on a member of that size: room for a later change of shape, as mdadm leaves it.
    package static func dataByteOffset(memberDataByteCount: UInt64, chunkByteCount: Int) -> UInt64 {
        let sectors = memberDataByteCount / 512
        var headroom: UInt64 = 262_144
        while headroom * 1024 > sectors && headroom / 2 >= UInt64(4 * chunkByteCount / 1024) { headroom /= 2 }
        let bitmap: UInt64 = sectors >= 200 << 21 ? 256 : sectors > 8 << 21 ? 128 : 8
        return (24 + bitmap + headroom + 2047) / 2048 * 2048 * 512
    }

    /// The sum of all 32-bit words, with the checksum field as zero, folded once.
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

    private func load<Integer: FixedWidthInteger & UnsignedInteger>(_ offset: Int) -> Integer {
        var value: Integer = 0
        for index in (0..<MemoryLayout<Integer>.size).reversed() { value = value << 8 | Integer(bytes[offset + index]) }
        return value
    }

    private mutating func store<Integer: FixedWidthInteger & UnsignedInteger>(_ value: Integer, _ offset: Int) {
        var rest = value
        for index in 0..<MemoryLayout<Integer>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: rest)
            rest >>= 8
        }
    }
}
