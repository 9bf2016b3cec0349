import ArrayStore
import Glibc
import MDFormat
import MemberIO
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

@Suite("Arrays of members that are not files", .blocks)
struct MemberTests {
    private static let geometry = ArrayGeometry(
        level: .raid5, memberCount: 3, chunkByteCount: 4096, memberDataByteCount: 64 << 10, dataByteOffset: 16 << 10)

    /// The members of a new array, of zeros but for their superblocks.
    private func members(dirty: Bool = false) -> [MemoryMember] {
        (0..<3).map { role in
            let byteCount = Self.geometry.dataByteOffset + Self.geometry.memberDataByteCount
            var superblock = MDSuperblock(
                geometry: Self.geometry, memberByteCount: byteCount, name: "m", setUUID: Array(1...16),
                deviceUUID: Array(repeating: UInt8(role), count: 16), role: Role(index: role), time: 1_600_000_000)
            if dirty { superblock.resyncOffset = 0 }
            superblock.seal()
            var bytes = [UInt8](repeating: 0, count: Int(byteCount))
            bytes.replaceSubrange(4096..<8192, with: superblock.bytes)
            return MemoryMember(name: "m\(role)", bytes: bytes)
        }
    }

    private func open(_ members: [MemoryMember], _ messages: Messages = Messages()) throws -> OpenedArray {
        try ArrayStore.open(members: members, directory: "here", readOnly: false, in: messages.environment)
    }

    @Test("an array opens from members in any order, and its state goes to all of them with the time that is given")
    func anyOrder() throws {
        let members = members()
        let array = try open(members.reversed())
        #expect(array.members.map { $0?.store.name } == ["m0", "m1", "m2"])
        try array.markDirty()
        for member in members {
            let superblock = try MDSuperblock(parsing: member.bytes(at: 4096, count: 4096))
            #expect(superblock.events == 2 && !superblock.isClean && superblock.updateTime == 1_700_000_000)
            // What was found is made durable before something newer is written, and that is settled when all have it.
            #expect(member.state.withLock { $0.flushCount } == 3)
        }
    }

    @Test("a dirty array's parity is rewritten where it is wrong, and nowhere else")
    func resync() throws {
        let members = members(dirty: true)
        // Stripe 4 has its parity on member 1.
        let offset = Self.geometry.memberByteOffset(stripe: 4, chunkOffset: 100)
        try members[0].write(bytes: [7], at: offset)
        try members[2].write(bytes: [4], at: offset)
        let messages = Messages()
        _ = try open(members, messages)
        #expect(try members[1].bytes(at: offset, count: 1) == [3])
        // One block of parity, and then superblocks that say so, twice.
        #expect(members.map { $0.state.withLock { $0.writeCount } } == [3, 3, 3])
        #expect(messages.last?.contains("4096 bytes were rewritten") == true, "\(messages.all)")
    }

    @Test("a member that lags by one change, after a crash, is brought up before the next change")
    func lagging() throws {
        let members = members()
        for role in [0, 2] {
            var superblock = try MDSuperblock(parsing: members[role].bytes(at: 4096, count: 4096))
            superblock.events += 1
            superblock.seal()
            try members[role].write(bytes: superblock.bytes, at: 4096)
        }
        _ = try open(members)
        let superblock = try MDSuperblock(parsing: members[1].bytes(at: 4096, count: 4096))
        #expect(superblock.events == 2 && superblock.deviceNumber == 1)
    }

    @Test("of members that came to the same count of events apart, those that know of the other's absence count")
    func apart() throws {
        let members = members()
        // Being stopped reached member 0 alone; then the array was opened without it.
        var alone = try MDSuperblock(parsing: members[0].bytes(at: 4096, count: 4096))
        alone.events += 1
        alone.seal()
        try members[0].write(bytes: alone.bytes, at: 4096)
        let degraded = try open(Array(members[1...]))
        try degraded.markDirty()
        try degraded.markClean()
        while alone.events < (try MDSuperblock(parsing: members[1].bytes(at: 4096, count: 4096))).events {
            alone.events += 1
        }
        alone.seal()
        try members[0].write(bytes: alone.bytes, at: 4096)
        #expect(try open(members).failedMembers == [0])
    }

    @Test("a member that cannot be read, is damaged or was cut short is left out")
    func leftOut() throws {
        let breakages: [(String, (inout MemoryMember.State) -> Void)] = [
            ("cannot be read", { $0.failsReads = true }), ("damaged", { $0.bytes[4096 + 200] ^= 1 }),
            ("cut short", { $0.bytes.removeLast(512) }),
        ]
        for (reason, damage) in breakages {
            let members = members()
            members[1].state.withLock { damage(&$0) }
            let messages = Messages()
            #expect(try open(members, messages).missingRole == 1)
            #expect(messages.all.count == 1 && messages.all[0].contains(reason), "\(messages.all)")
        }
    }

    @Test("an array that cannot be opened says what kind of reason there is")
    func kinds() throws {
        func kind(_ members: [MemoryMember]) -> ArrayStoreError.Kind? {
            do {
                _ = try open(members)
                return nil
            } catch { return (error as? ArrayStoreError)?.kind }
        }
        #expect(kind(members()) == nil)
        #expect(kind([members()[0]]) == .tooManyMissing)
        #expect(kind(Array(members(dirty: true)[0...1])) == .dirtyAndDegraded)
        #expect(kind([]) == .refused)
        let failing = members(dirty: true)
        let offset = Self.geometry.memberByteOffset(stripe: 4, chunkOffset: 0)
        failing[0].state.withLock { $0.bytes[Int(offset)] = 1 }
        failing[1].state.withLock { $0.failsWrites = true }
        #expect(kind(failing) == .memberIO)
    }

    @Test("a failure that the others cannot be told of is reported as such")
    func failureNotRecorded() throws {
        let members = members()
        let messages = Messages()
        let array = try open(members, messages)
        members[2].state.withLock { $0.failsWrites = true }
        #expect(!array.recordFailure(role: 0))
        #expect(messages.last?.contains("m2") == true, "\(messages.all)")
    }

    @Test("a member that cannot be told of a change is named, and the others hear of it")
    func untold() throws {
        let members = members()
        let array = try open(members)
        members[0].state.withLock { $0.failsWrites = true }
        let error = #expect(throws: ArrayStoreError.self) { try array.markDirty() }
        #expect(error?.places == [0])
        for member in members[1...2] {
            #expect(try !MDSuperblock(parsing: member.bytes(at: 4096, count: 4096)).isClean)
        }
    }

    @Test("a member that the system refused to write to need not be failed, and hears of it with the next change")
    func refused() throws {
        let members = members()
        let array = try open(members)
        members[0].state.withLock { $0.refusesWrites = true }
        let error = #expect(throws: ArrayStoreError.self) { try array.renewMark() }
        #expect(error?.places == [] && error?.kind == .notTaken && error?.description.contains("m0") == true)
        members[0].state.withLock { $0.refusesWrites = false }
        try array.renewMark()
        let events = try members.map { try MDSuperblock(parsing: $0.bytes(at: 4096, count: 4096)).events }
        #expect(Set(events).count == 1 && array.failedMembers == [])
    }

    @Test("when one of several arrays cannot be marked dirty, those before it are clean, and nobody misses two changes")
    func markDirtyFails() throws {
        let all = [members(), members()]
        let arrays = try all.map { try open($0) }
        all[1][1].state.withLock { $0.failsWrites = true }
        #expect(throws: ArrayStoreError.self) { try OpenedArray.markDirty(arrays) }
        #expect(try MDSuperblock(parsing: all[0][0].bytes(at: 4096, count: 4096)).isClean)
        all[1][1].state.withLock { $0.failsWrites = false }
        #expect(try open(all[1]).failedMembers == [])
    }

    @Test("more failures than the array survives are not written down, so that it can be opened again")
    func lost() throws {
        let members = members()
        let messages = Messages()
        let array = try open(members, messages)
        try array.markDirty()
        #expect(array.recordFailure(role: 0))
        let states = try members.map { try $0.bytes(at: 4096, count: 4096) }
        #expect(array.recordFailure(role: 2))
        try array.markClean()
        #expect(try members.map { try $0.bytes(at: 4096, count: 4096) } == states)
        #expect(messages.last?.contains("--force") == true, "\(messages.all)")
        let again = try ArrayStore.open(
            members: members, directory: "here", readOnly: false, force: true, in: messages.environment)
        #expect(again.failedMembers == [0])
    }
}

@Suite("A member file", .blocks)
struct MemberFileTests {
    @Test("knows its holes and its end")
    func holes() throws {
        let directory = TemporaryDirectory()
        let path = "\(directory.path)/m"
        close(Glibc.open(path, O_RDWR | O_CREAT, 0o600))
        truncate(path, 1 << 20)
        let file = try MemberFile(path: path, readOnly: false)
        #expect(file.byteCount == 1 << 20)
        #expect(try file.nextData(from: 0) == nil)
        try file.write(bytes: [1, 2, 3], at: 512 << 10)
        #expect(try file.nextData(from: 0) == 512 << 10)
        #expect(try file.nextData(from: 600 << 10) == nil)
        #expect(try file.bytes(at: 512 << 10, count: 4) == [1, 2, 3, 0])
        #expect(throws: MemberStoreError.self) { try file.bytes(at: (1 << 20) - 2, count: 4) }
    }
}
