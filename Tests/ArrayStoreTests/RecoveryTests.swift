import ArrayStore
import MDFormat
import MemberIO
import RAID
import Synchronization
import TestTraits
import Testing

/// The members of an array in memory, with data and right parity, to be broken by tests.
struct RecoveryFixture {
    let geometry: ArrayGeometry
    var members: [MemoryMember]
    /// Each member's data, by role, as it should be.
    let data: [[UInt8]]

    /// A RAID 5 array of four members and three stripes, in the state of one that was not stopped cleanly.
    init(_ consistency: ArrayConsistency, bitmapEventsLag: UInt64 = 0) throws {
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 4, byteCount: 9 << 16, chunkByteCount: 65536, name: "r",
            consistency: consistency)
        geometry = plan.geometry
        members = (0..<4).map {
            MemoryMember(name: "m\($0)", bytes: Array(repeating: 0, count: Int(plan.memberByteCount)))
        }
        var generator = SystemRandomNumberGenerator()
        try ArrayStore.format(members, plan: plan, time: 1, using: &generator)
        data = Self.data
        for (member, bytes) in zip(members, data) { try member.write(bytes: bytes, at: geometry.dataByteOffset) }
        for member in members {
            var superblock = try MDSuperblock(parsing: member.bytes(at: 4096, count: 4096))
            superblock.resyncOffset = 0
            superblock.events += bitmapEventsLag
            superblock.seal()
            try member.write(bytes: superblock.bytes, at: 4096)
        }
    }

    /// Data and right parity of all members, the same wherever data begins.
    private static let data: [[UInt8]] = {
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: 4, chunkByteCount: 65536, memberDataByteCount: 3 << 16, dataByteOffset: 0)
        let count = Int(geometry.memberDataByteCount)
        var data = (0..<4).map { role in (0..<count).map { UInt8(truncatingIfNeeded: ($0 >> 9) * 31 + role * 77 + $0) }
        }
        for byte in 0..<count {
            let parity = geometry.parityMember(stripe: UInt64(byte) / geometry.chunkByteCount)
            var sum: UInt8 = 0
            for role in geometry.roles where role != parity { sum ^= data[role][byte] }
            data[parity][byte] = sum
        }
        return data
    }()

    /// Flips the bytes of one 4 KiB block of parity.
    func damageParity(stripe: UInt64, row: UInt64) throws {
        let member = members[geometry.parityMember(stripe: stripe)]
        let offset = geometry.memberByteOffset(stripe: stripe, chunkOffset: row)
        try member.write(bytes: member.bytes(at: offset, count: 4096).map { ~$0 }, at: offset)
    }

    /// Whether a block of parity is right.
    func hasRightParity(stripe: UInt64, row: UInt64) throws -> Bool {
        let role = geometry.parityMember(stripe: stripe)
        let offset = geometry.memberByteOffset(stripe: stripe, chunkOffset: row)
        let start = Int(offset - geometry.dataByteOffset)
        return try members[role].bytes(at: offset, count: 4096) == Array(data[role][start..<start + 4096])
    }

    /// Logs a write of one block of a column of a stripe on its parity member, as it is before data and parity are
    /// written.
    func log(stripe: UInt64, column: Int, row: UInt64, change: (inout MDPartialParityLog.Entry) -> Void = { _ in })
        throws
    {
        let role = geometry.parityMember(stripe: stripe)
        let start = Int(stripe * geometry.chunkByteCount + row)
        let written = geometry.member(stripe: stripe, column: column)
        let others = geometry.roles.filter { $0 != role && $0 != written }
        let partial = (start..<start + 4096).map { byte in others.reduce(0) { $0 ^ data[$1][byte] } }
        let array = (stripe * UInt64(geometry.columnCount) + UInt64(column)) * geometry.chunkByteCount + row
        var entry = MDPartialParityLog.Entry(
            dataSector: array / 512, partialParityByteCount: 4096, dataByteCount: 4096, parityRole: UInt32(role.index),
            checksum: CRC32C.checksum(of: partial))
        change(&entry)
        let superblock = try superblock(role.index)
        let signature = MDPartialParityLog.signature(setUUID: superblock.setUUID)
        let header = MDPartialParityLog(generation: 7, entries: [entry]).encoded(signature: signature)
        try members[role].write(bytes: header + partial, at: superblock.partialParityLogRange!.lowerBound)
    }

    /// Adds a member that is to take a role, and that has other data than the member with the role, everywhere.
    mutating func addReplacement(of role: Int, boundary: UInt64) throws {
        var table = try superblock(0)
        table.setRole(UInt16(role), ofDevice: 4)
        var own = table.spare(
            deviceNumber: 4, deviceUUID: Array(repeating: 4, count: 16),
            memberByteCount: geometry.dataByteOffset + geometry.memberDataByteCount)
        own.features.insert(.replacement)
        own.recoveryByteOffset = boundary
        members.append(MemoryMember(name: "new", bytes: try members[role].bytes(at: 0, count: members[role].count)))
        own.seal()
        try members[4].write(bytes: own.bytes, at: 4096)
        try members[4].write(bytes: data[role].map { ~$0 }, at: geometry.dataByteOffset)
        for index in 0..<4 {
            var superblock = try superblock(index)
            superblock.takeState(of: table)
            superblock.seal()
            try members[index].write(bytes: superblock.bytes, at: 4096)
        }
    }

    /// Which blocks of 4 KiB of the replacement's data are like those of the member with a role.
    func copiedBlocks(of role: Int) throws -> [Int] {
        let bytes = try members[4].bytes(at: geometry.dataByteOffset, count: Int(geometry.memberDataByteCount))
        return (0..<bytes.count / 4096).filter {
            bytes[$0 * 4096..<($0 + 1) * 4096] == data[role][$0 * 4096..<($0 + 1) * 4096]
        }
    }

    func superblock(_ role: Int) throws -> MDSuperblock {
        try MDSuperblock(parsing: members[role].bytes(at: 4096, count: 4096))
    }

    func logIsEmpty(_ role: Int) throws -> Bool {
        let superblock = try superblock(role)
        let range = superblock.partialParityLogRange!
        let header = MDPartialParityLog().encoded(signature: MDPartialParityLog.signature(setUUID: superblock.setUUID))
        return try members[role].bytes(at: range.lowerBound, count: range.count)
            == header + Array(repeating: 0, count: range.count - header.count)
    }

    func bitmap(_ role: Int) throws -> MDBitmap {
        let bytes = try members[role].bytes(at: superblock(role).bitmapByteOffset!, count: 4096)
        return try bytes.withUnsafeBytes { try MDBitmap(parsing: $0) }
    }

    @discardableResult
    func open(_ messages: Messages = Messages(), without missing: Int? = nil, force: Bool = false) throws -> OpenedArray
    {
        let present = members.enumerated().filter { $0.offset != missing }.map(\.element)
        return try ArrayStore.open(
            members: present, directory: "here", readOnly: false, force: force, in: messages.environment)
    }
}

@Suite("Recovery from partial parity logs", .blocks)
struct LogRecoveryTests {
    @Test("a torn row comes right, with all members and without one that was not being written", .slow)
    func torn() throws {
        // Stripe 1 has its parity on member 2, and its columns on 3, 0 and 1.
        for missing in [nil, 0, 1] {
            let fixture = try RecoveryFixture(.ppl)
            try fixture.log(stripe: 1, column: 0, row: 8192)
            try fixture.damageParity(stripe: 1, row: 8192)
            try fixture.open(without: missing)
            #expect(try fixture.hasRightParity(stripe: 1, row: 8192))
            for role in 0..<4 where role != missing {
                #expect(try fixture.superblock(role).isClean)
                #expect(try fixture.logIsEmpty(role))
            }
        }
    }

    @Test("a row whose written member is missing is left as it is, and so is the parity member's without its log")
    func writtenMemberMissing() throws {
        let fixture = try RecoveryFixture(.ppl)
        try fixture.log(stripe: 1, column: 0, row: 8192)
        try fixture.damageParity(stripe: 1, row: 8192)
        try fixture.open(without: 3)
        #expect(try !fixture.hasRightParity(stripe: 1, row: 8192))
    }

    @Test("a full stripe's parity is made from its data alone")
    func fullStripe() throws {
        let fixture = try RecoveryFixture(.ppl)
        try fixture.log(stripe: 2, column: 0, row: 0) { entry in
            entry.partialParityByteCount = 0
            entry.dataByteCount = 3 * 65536
            entry.checksum = CRC32C.checksum(of: [])
        }
        for row in [UInt64(0), 4096, 61440] { try fixture.damageParity(stripe: 2, row: row) }
        let messages = Messages()
        try fixture.open(messages)
        for row in [UInt64(0), 4096, 61440] { #expect(try fixture.hasRightParity(stripe: 2, row: row)) }
        #expect(!messages.all.contains { $0.contains("checking the parity") }, "\(messages.all)")
    }

    @Test("an entry that is torn or makes no sense is passed over, and all parity is checked", .slow)
    func mismatch() throws {
        let damages: [@Sendable (inout MDPartialParityLog.Entry) -> Void] = [
            { $0.checksum ^= 1 }, { $0.parityRole = 1 }, { $0.dataSector = 1 << 60 }, { $0.dataByteCount = 5 << 16 },
            { $0.dataByteCount = 0 },
        ]
        for (index, damage) in damages.enumerated() {
            let fixture = try RecoveryFixture(.ppl)
            try fixture.log(stripe: 1, column: 0, row: 8192, change: damage)
            try fixture.damageParity(stripe: 0, row: 0)
            let messages = Messages()
            try fixture.open(messages)
            #expect(try fixture.hasRightParity(stripe: 0, row: 0), "damage \(index)")
            #expect(messages.all.contains { $0.contains("were skipped") }, "damage \(index): \(messages.all)")
            #expect(try fixture.superblock(0).isClean)
        }
    }

    @Test("the newest of several units in a log counts")
    func severalUnits() throws {
        let fixture = try RecoveryFixture(.ppl)
        try fixture.log(stripe: 1, column: 0, row: 8192)
        let superblock = try fixture.superblock(2)
        let start = superblock.partialParityLogRange!.lowerBound
        let signature = MDPartialParityLog.signature(setUUID: superblock.setUUID)
        // An older record of the same row, whose partial parity was true once, and behind it the one made above.
        let newer = try fixture.members[2].bytes(at: start, count: 8192)
        let wrong = [UInt8](repeating: 0x99, count: 4096)
        var entry = try newer.withUnsafeBytes { try MDPartialParityLog(parsing: $0, signature: signature) }.entries[0]
        entry.checksum = CRC32C.checksum(of: wrong)
        let older = MDPartialParityLog(generation: 6, entries: [entry]).encoded(signature: signature)
        try fixture.members[2].write(bytes: older + wrong + newer, at: start)
        try fixture.damageParity(stripe: 1, row: 8192)
        try fixture.open()
        #expect(try fixture.hasRightParity(stripe: 1, row: 8192))
        #expect(try fixture.logIsEmpty(2))
    }

    @Test("a crash at any write of the recovery is harmless, with all members and without one", .slow)
    func crash() throws {
        for missing in [nil, 0] {
            var writeCount = 0
            var isDone = false
            while !isDone {
                let fixture = try RecoveryFixture(.ppl)
                try fixture.log(stripe: 1, column: 0, row: 8192)
                try fixture.damageParity(stripe: 1, row: 8192)
                let budget = Budget(writeCount)
                for member in fixture.members { member.state.withLock { $0.budget = budget } }
                isDone = (try? fixture.open(without: missing)) != nil
                for member in fixture.members { member.state.withLock { $0.budget = nil } }
                try fixture.open(without: missing)
                #expect(try fixture.hasRightParity(stripe: 1, row: 8192), "crash before write \(writeCount)")
                // As with md, empty logs leave an array dirty that cannot be checked.
                if missing == nil { #expect(try fixture.superblock(0).isClean) }
                writeCount += 1
            }
            #expect(writeCount > 6)
        }
    }
}

@Suite("Recovery with a bitmap", .blocks)
struct BitmapRecoveryTests {
    /// A fixture with a bitmap of 64 KiB regions, that is, one for each stripe.
    private func fixture(bits: UInt8, eventsLag: UInt64 = 0) throws -> RecoveryFixture {
        let fixture = try RecoveryFixture(.bitmap, bitmapEventsLag: eventsLag)
        for role in 0..<4 {
            var bitmap = try fixture.bitmap(role)
            bitmap.chunkByteCount = 65536
            bitmap.bits = [role == 1 ? bits : 0]
            try fixture.members[role].write(bytes: bitmap.encoded, at: fixture.superblock(role).bitmapByteOffset!)
        }
        for stripe in 0..<3 { try fixture.damageParity(stripe: UInt64(stripe), row: 0) }
        return fixture
    }

    @Test("only the regions are checked that some member's bitmap has, and then no bit is set")
    func regions() throws {
        let fixture = try fixture(bits: 0b010)
        try fixture.open()
        #expect(try (0..<3).map { try fixture.hasRightParity(stripe: $0, row: 0) } == [false, true, false])
        for role in 0..<4 {
            let superblock = try fixture.superblock(role)
            let bitmap = try fixture.bitmap(role)
            #expect(superblock.isClean && bitmap.bits == [0] && bitmap.events == superblock.events)
            #expect(bitmap.chunkByteCount == 65536 && bitmap.eventsCleared == superblock.events)
        }
    }

    @Test("a bitmap that is older than the superblock says nothing")
    func stale() throws {
        let fixture = try fixture(bits: 0b010, eventsLag: 1)
        let messages = Messages()
        try fixture.open(messages)
        #expect(try (0..<3).map { try fixture.hasRightParity(stripe: $0, row: 0) } == [true, true, true])
        #expect(messages.all.contains { $0.contains("out of date") }, "\(messages.all)")
        #expect(try fixture.bitmap(2).events == fixture.superblock(2).events)
    }

    @Test("without a member and without a bit there is nothing doubtful")
    func degradedAndIdle() throws {
        let fixture = try fixture(bits: 0)
        let messages = Messages()
        try fixture.open(messages, without: 0, force: true)
        #expect(
            messages.all.contains { $0.hasSuffix("not stopped cleanly: by its bitmap nothing was being written") },
            "\(messages.all)")
    }

    @Test("without a member the array starts by force only, and the doubtful places are named")
    func degraded() throws {
        let fixture = try fixture(bits: 0b110)
        #expect(throws: ArrayStoreError.self) { try fixture.open(without: 0) }
        let messages = Messages()
        let array = try fixture.open(messages, without: 0, force: true)
        #expect(messages.all.contains { $0.contains("without member 0") && $0.contains("196608..<589824") })
        // The bits stay: a member that comes back will need them.
        guard case .bitmap(let area) = array.consistency else {
            Issue.record("no bitmap")
            return
        }
        #expect(area.bitmap.bits == [0b110] && area.byteOffsets == [8192, 8192, 8192, 8192])
        try array.markDirty()
        let bitmap = try fixture.bitmap(1)
        #expect(bitmap.events == (try fixture.superblock(1).events) && bitmap.eventsCleared == 1)
    }
}

@Suite("Members that have gone apart", .blocks)
struct DivergedMembersTests {
    @Test("of two histories of the same length that of most members counts, whoever it leaves out", arguments: 0..<4)
    func equalEvents(alone: Int) throws {
        let fixture = try RecoveryFixture(.ppl)
        // One heard that another one is out, before the power failed; then all others went on without it.
        for role in 0..<4 {
            var superblock = try fixture.superblock(role)
            superblock.setRole(MDSuperblock.roleFaulty, ofDevice: UInt32(role == alone ? (alone + 1) % 4 : alone))
            superblock.events += 1
            superblock.seal()
            try fixture.members[role].write(bytes: superblock.bytes, at: 4096)
        }
        let messages = Messages()
        let array = try fixture.open(messages)
        #expect(array.failedMembers == [Role(index: alone)])
        #expect(messages.all.contains("m\(alone) is left out: failed"), "\(messages.all)")
    }
}
