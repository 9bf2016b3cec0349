import ArrayStore
import MDFormat
import MemberIO
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

/// Changes of an array's shape that md had begun to write when the power failed. The superblocks are as md leaves them.
@Suite("Changes of shape that not all members were told", .blocks)
struct HalfDoneChangeTests {
    /// A clean array of four members with bytes everywhere.
    private static func fixture(_ consistency: ArrayConsistency = .bitmap) throws -> RecoveryFixture {
        let fixture = try RecoveryFixture(consistency)
        for role in 0..<4 {
            try change(fixture, role) {
                $0.resyncOffset = MDSuperblock.clean
                // Nothing of ours was written since.
                $0.lineage = nil
                $0.events = 9
            }
            guard consistency == .bitmap else { continue }
            var bitmap = try fixture.bitmap(role)
            bitmap.events = 10
            try fixture.members[role].write(bytes: bitmap.encoded, at: fixture.superblock(role).bitmapByteOffset!)
        }
        return fixture
    }

    private static func change(_ fixture: RecoveryFixture, _ role: Int, _ body: (inout MDSuperblock) -> Void) throws {
        var superblock = try fixture.superblock(role)
        body(&superblock)
        superblock.seal()
        try fixture.members[role].write(bytes: superblock.bytes, at: 4096)
    }

    private static func superblocks(_ fixture: RecoveryFixture) throws -> [MDSuperblock] {
        try fixture.members.indices.map { try fixture.superblock($0) }
    }

    /// Nobody disagrees with anybody, as mdadm sees it, and every one has these.
    private static func expectAlike(_ fixture: RecoveryFixture, dataSectors: UInt64? = nil) throws {
        let superblocks = try superblocks(fixture)
        for superblock in superblocks {
            #expect(superblock.hasSameDimensions(as: superblocks[0]) && superblock.hasSameShape(as: superblocks[0]))
            #expect(superblock.hasSamePlaces(as: superblocks[0]) && superblock.reshape == nil)
            #expect(superblock.features.isDisjoint(with: [.reshape, .newOffset, .reshapeBackwards]))
            // Nobody counts them for a spare.
            #expect(superblock.events == superblocks[0].events || superblock.role == MDSuperblock.roleSpare)
        }
    }

    private static func dataIsRight(_ fixture: RecoveryFixture) throws -> Bool {
        try (0..<4).allSatisfy {
            try fixture.members[$0].bytes(at: fixture.geometry.dataByteOffset, count: fixture.data[$0].count)
                == fixture.data[$0]
        }
    }

    /// Opens with every number of writes that lead to the end, and then without a limit.
    private static func open(
        _ make: @autoclosure () throws -> RecoveryFixture, check: (RecoveryFixture, Messages) throws -> Void
    ) throws {
        var count = 0
        while true {
            let fixture = try make()
            let budget = Budget(count)
            for member in fixture.members { member.state.withLock { $0.budget = budget } }
            let isDone = (try? fixture.open()) != nil
            for member in fixture.members { member.state.withLock { $0.budget = nil } }
            let messages = Messages()
            let array = try fixture.open(messages)
            try array.markDirty()
            try array.markClean()
            try check(fixture, messages)
            if isDone { return }
            count += 1
            #expect(count < 1000)
        }
    }

    // MARK: The end of a reshape

    /// Of four members that a reshape from three has led to, some were not told that it is done: they say that data
    /// begins at 128 sectors behind where it does.
    private static func halfEnded(_ untold: Set<Int>, events: UInt64 = 8) throws -> RecoveryFixture {
        let fixture = try fixture()
        for role in untold {
            try change(fixture, role) {
                $0.reshape = MDSuperblock.Reshape(
                    newLevel: 5, newLayout: 2, newChunkSectors: 128, addedMemberCount: 1, position: 1024,
                    dataOffsetChange: -128)
                $0.dataOffsetSectors += 128
                $0.dataSectors -= 128
                $0.events = events
            }
        }
        return fixture
    }

    @Test(
        "the end of a reshape reaches those that were not told",
        arguments: [[0], [3], [1, 2], [0, 1, 3]] as [Set<Int>])
    func end(untold: Set<Int>) throws {
        try Self.open(try Self.halfEnded(untold)) { fixture, _ in
            try Self.expectAlike(fixture)
            #expect(try Self.dataIsRight(fixture))
        }
        let messages = Messages()
        let fixture = try Self.halfEnded(untold)
        let array = try fixture.open(messages)
        #expect(array.failedMembers.isEmpty && array.geometry.memberCount == 4)
        #expect(messages.all.contains { $0.contains("the end of its reshape was not recorded on m\(untold.min()!)") })
    }

    @Test("a member that missed more than the end is stale, and not what keeps the array from being served")
    func stale() throws {
        let messages = Messages()
        let array = try Self.halfEnded([2], events: 6).open(messages)
        #expect(array.failedMembers == [2])
        #expect(messages.all.contains("m2 is left out: stale: it missed a change of the array's shape"))
    }

    @Test("one that is looked at only is not written to")
    func readOnly() throws {
        let fixture = try Self.halfEnded([1])
        let before = try Self.superblocks(fixture)
        let array = try ArrayStore.open(
            members: fixture.members, directory: "here", readOnly: true, in: Messages().environment)
        #expect(array.geometry.dataByteOffset == fixture.geometry.dataByteOffset)
        #expect(try Self.superblocks(fixture) == before)
        let described = try ArrayStore.describe(fixture.members, directory: "here") { _, _ in nil }
        #expect(described.stateText == "clean" && described.service == .possible)
    }

    @Test(
        "a reshape that is under way everywhere is left to md",
        arguments: [[1024, 1024, 1024, 1024], [512, 512, 1024, 1024]])
    func underWay(positions: [UInt64]) throws {
        let fixture = try Self.halfEnded([0, 1, 2, 3])
        for role in 0..<4 {
            try Self.change(fixture, role) {
                $0.reshape?.position = positions[role]
                $0.events = 8 + (positions[role] == 1024 ? 1 : 0)
            }
        }
        let error = #expect(throws: ArrayStoreError.self) { try fixture.open() }
        #expect(error?.description.contains("is being reshaped; assemble it with mdadm") == true)
    }

    // MARK: The begin of a reshape

    /// A reshape to five members, of which some know.
    private static func halfBegun(
        told: Set<Int>, position: UInt64 = 0, dataOffsetChange: Int32 = -128
    ) throws -> RecoveryFixture {
        var fixture = try fixture()
        let spare = try fixture.superblock(0).spare(
            deviceNumber: 4, deviceUUID: Array(repeating: 4, count: 16),
            memberByteCount: fixture.geometry.dataByteOffset + fixture.geometry.memberDataByteCount)
        fixture.members.append(
            MemoryMember(name: "m4", bytes: try fixture.members[0].bytes(at: 0, count: fixture.members[0].count)))
        var sealed = spare
        sealed.seal()
        try fixture.members[4].write(bytes: sealed.bytes, at: 4096)
        for role in told {
            try change(fixture, role) {
                $0.memberCount = 5
                $0.reshape = MDSuperblock.Reshape(
                    newLevel: 5, newLayout: 2, newChunkSectors: 128, addedMemberCount: 1, position: position,
                    dataOffsetChange: dataOffsetChange)
                $0.setRole(4, ofDevice: 4)
                $0.events = 10
            }
        }
        return fixture
    }

    @Test(
        "the begin of a reshape is undone where some were not told",
        arguments: [[0], [4], [1, 2, 4], [0, 1, 2, 3]] as [Set<Int>])
    func begin(told: Set<Int>) throws {
        try Self.open(try Self.halfBegun(told: told)) { fixture, _ in
            try Self.expectAlike(fixture)
            #expect(try Self.dataIsRight(fixture))
            #expect(try fixture.superblock(0).memberCount == 4)
            #expect(try fixture.superblock(4).role == MDSuperblock.roleSpare)
        }
        let messages = Messages()
        let array = try Self.halfBegun(told: told).open(messages)
        #expect(array.failedMembers.isEmpty && array.memberStates.count == 5)
        #expect(messages.all.contains { $0.contains("nothing was moved yet, and it is undone") }, "\(messages.all)")
    }

    @Test("what may have moved something is refused, with the way out, and left as it is")
    func refused() throws {
        for (told, position, change, words) in [
            ([0, 1, 2, 4], 512, -128, "move m3 away, assemble the others with mdadm"),
            ([0, 1], 512, -128, "keep copies of all members"),
            ([0, 1], 0, 0, "keep copies of all members"),
            ([1], 0, 128, "nothing was moved yet, so move m1 away"),
        ] as [(Set<Int>, UInt64, Int32, String)] {
            let fixture = try Self.halfBegun(told: told, position: position, dataOffsetChange: change)
            let before = try Self.superblocks(fixture)
            for force in [false, true] {
                let error = #expect(throws: ArrayStoreError.self) { try fixture.open(force: force) }
                #expect(error?.description.contains(words) == true, "\(told): \(error.map { "\($0)" } ?? "")")
            }
            #expect(try Self.superblocks(fixture) == before)
        }
    }

    // MARK: The size

    /// An array of two stripes that was to get three: some know.
    private static func halfGrown(
        told: Set<Int>, consistency: ArrayConsistency = .bitmap, checkpoint: UInt64 = 256, cut: Bool = false
    ) throws -> RecoveryFixture {
        let fixture = try fixture(consistency)
        for role in 0..<4 {
            try change(fixture, role) {
                if told.contains(role) {
                    $0.events = 10
                    $0.resyncOffset = checkpoint
                } else {
                    $0.usedSectors = 256
                    $0.dataSectors = 256
                }
            }
        }
        // Nobody has made the parity of what is new.
        try fixture.damageParity(stripe: 2, row: 8192)
        if cut {
            for role in 0..<4 where !told.contains(role) {
                fixture.members[role].state.withLock { $0.bytes.removeLast(65536) }
            }
        }
        return fixture
    }

    private static let sizes: [(Set<Int>, UInt64)] = [
        ([0], 256), ([1, 2, 3], 256), ([2, 3], MDSuperblock.clean), ([0, 3], 0),
    ]

    @Test(
        "a new size reaches those that were not told, and the parity of what is new is made first",
        arguments: sizes)
    func size(told: Set<Int>, checkpoint: UInt64) throws {
        for consistency in [ArrayConsistency.bitmap, .resync] {
            try Self.open(try Self.halfGrown(told: told, consistency: consistency, checkpoint: checkpoint)) {
                fixture, _ in
                try Self.expectAlike(fixture)
                #expect(try fixture.hasRightParity(stripe: 2, row: 8192))
                #expect(try fixture.superblock(0).usedSectors == 384)
                #expect(try fixture.superblock(0).isClean)
            }
        }
    }

    @Test("a new size is undone where a file is too short for it")
    func short() throws {
        try Self.open(try Self.halfGrown(told: [0, 1], cut: true)) { fixture, _ in
            try Self.expectAlike(fixture)
            #expect(try fixture.superblock(0).usedSectors == 256)
        }
    }

    @Test("a smaller size that not all were told is undone: nothing is lost")
    func shrunk() throws {
        func make() throws -> RecoveryFixture {
            let fixture = try Self.fixture()
            for role in [0, 2] {
                try Self.change(fixture, role) {
                    $0.usedSectors = 256
                    $0.events = 10
                }
            }
            return fixture
        }
        try Self.open(try make()) { fixture, _ in
            try Self.expectAlike(fixture)
            #expect(try fixture.superblock(0).usedSectors == 384)
            #expect(try Self.dataIsRight(fixture))
        }
    }

    @Test("without a member, what was never made is doubtful, and what comes back later gets it")
    func degraded() throws {
        let fixture = try Self.halfGrown(told: [0, 1])
        let error = #expect(throws: ArrayStoreError.self) { try fixture.open(without: 3) }
        #expect(error?.kind == .dirtyAndDegraded)
        let messages = Messages()
        let array = try fixture.open(messages, without: 3, force: true)
        guard case .bitmap(let area) = array.consistency else {
            Issue.record("no bitmap")
            return
        }
        #expect(area.bitmap.bits == [0b1], "\(area.bitmap)")
        #expect(try fixture.bitmap(0).bits == [0b1] && fixture.superblock(2).usedSectors == 384)
    }

    @Test("an array that nobody has served since gets no other name")
    func rename() throws {
        let directory = TemporaryDirectory()
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 3, byteCount: 8 << 20, chunkByteCount: 65536, name: "a")
        _ = try ArrayStore.create(directory: directory.path, plan: plan, force: true)
        var superblock = try MDSuperblock(parsing: directory.read("member-1.img", at: 4096, count: 4096))
        superblock.events += 1
        superblock.usedSectors -= 128
        superblock.seal()
        directory.write(superblock.bytes, to: "member-1.img", at: 4096)
        #expect(throws: ArrayStoreError.self) { try ArrayStore.rename(directory: directory.path, to: "b") }
    }
}

/// `resync_offset` between none and all.
@Suite("A checkpoint of a resync", .blocks)
struct CheckpointTests {
    /// Two stripes are right by the checkpoint, and no bit is set.
    private func fixture(_ consistency: ArrayConsistency, sector: UInt64 = 256) throws -> RecoveryFixture {
        let fixture = try RecoveryFixture(consistency)
        for role in 0..<4 {
            var superblock = try fixture.superblock(role)
            superblock.resyncOffset = sector
            superblock.seal()
            try fixture.members[role].write(bytes: superblock.bytes, at: 4096)
        }
        try fixture.damageParity(stripe: 2, row: 4096)
        return fixture
    }

    @Test(
        "everything from there on is made right, whatever bits and logs say",
        arguments: [ArrayConsistency.resync, .bitmap, .ppl], [256, 200] as [UInt64])
    func resync(consistency: ArrayConsistency, sector: UInt64) throws {
        let fixture = try fixture(consistency, sector: sector)
        let messages = Messages()
        try fixture.open(messages)
        #expect(try fixture.hasRightParity(stripe: 2, row: 4096), "\(messages.all)")
        #expect(try (0..<4).allSatisfy { try fixture.superblock($0).isClean })
        if consistency == .bitmap { #expect(try fixture.bitmap(0).bits == [0]) }
    }

    @Test("what is below is not looked at without a bitmap", arguments: [ArrayConsistency.resync, .ppl])
    func below(consistency: ArrayConsistency) throws {
        let fixture = try fixture(consistency)
        try fixture.damageParity(stripe: 0, row: 0)
        try fixture.open()
        #expect(try fixture.hasRightParity(stripe: 2, row: 4096) && !fixture.hasRightParity(stripe: 0, row: 0))
    }

    @Test("a crash on the way leaves it doubtful", arguments: [ArrayConsistency.resync, .bitmap, .ppl])
    func crash(consistency: ArrayConsistency) throws {
        for count in 0..<100 {
            let fixture = try fixture(consistency)
            let budget = Budget(count)
            for member in fixture.members { member.state.withLock { $0.budget = budget } }
            let isDone = (try? fixture.open()) != nil
            for member in fixture.members { member.state.withLock { $0.budget = nil } }
            #expect(try fixture.hasRightParity(stripe: 2, row: 4096) || !fixture.superblock(0).isClean)
            try fixture.open()
            #expect(try fixture.hasRightParity(stripe: 2, row: 4096))
            if isDone { return }
        }
        Issue.record("it never ended")
    }

    @Test(
        "without a member it is not served, also with logs, unless that is forced",
        arguments: [ArrayConsistency.bitmap, .ppl])
    func degraded(consistency: ArrayConsistency) throws {
        let fixture = try fixture(consistency)
        let error = #expect(throws: ArrayStoreError.self) { try fixture.open(without: 1) }
        #expect(error?.kind == .dirtyAndDegraded)
        let messages = Messages()
        _ = try fixture.open(messages, without: 1, force: true)
        #expect(
            messages.all.contains { $0.contains("without member 1") && $0.contains("may come back wrong") },
            "\(messages.all)")
        // A member that comes back is brought up to date there.
        if consistency == .bitmap { #expect(try fixture.bitmap(0).bits == [1]) }
    }

    @Test("is told of as a job that is left")
    func status() throws {
        let described = try ArrayStore.describe(fixture(.bitmap).members, directory: "here") { _, _ in nil }
        #expect(described.stateText == "dirty")
        #expect(described.job == ArrayDescription.Job(kind: "resync", member: nil, percent: 66, isRunning: false))
    }
}
