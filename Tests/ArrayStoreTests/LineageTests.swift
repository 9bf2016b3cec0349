import MDFormat
import MemberIO
import RAID
import Synchronization
import TestTraits
import Testing

@testable import ArrayStore

/// Members prove what they are by marks that each change of the array's state draws anew.
@Suite("Members that prove what they are", .blocks)
struct LineageTests {
    private static let plan = ArrayStore.Plan(
        level: .raid5, memberCount: 3, byteCount: 256 << 10, chunkByteCount: 4096, name: "m", consistency: .bitmap)

    private func members(_ consistency: ArrayConsistency = .bitmap) throws -> [MemoryMember] {
        var plan = Self.plan
        plan.consistency = consistency
        let members = (0..<3).map {
            MemoryMember(name: "m\($0)", bytes: Array(repeating: 0, count: Int(plan.memberByteCount)))
        }
        var generator = SystemRandomNumberGenerator()
        try ArrayStore.format(members, plan: plan, time: 1, using: &generator)
        return members
    }

    private func open(
        _ members: [MemoryMember], _ messages: Messages = Messages(), force: Bool = false
    ) throws -> OpenedArray {
        try ArrayStore.open(
            members: members, directory: "here", readOnly: false, force: force, in: messages.environment)
    }

    private func superblock(_ member: MemoryMember) throws -> MDSuperblock {
        try MDSuperblock(parsing: member.bytes(at: 4096, count: 4096))
    }

    private func write(_ superblock: MDSuperblock, to member: MemoryMember) throws {
        var sealed = superblock
        sealed.seal()
        try member.write(bytes: sealed.bytes, at: 4096)
    }

    private func copy(_ member: MemoryMember) -> [UInt8] { member.state.withLock { $0.bytes } }
    private func restore(_ member: MemoryMember, _ bytes: [UInt8]) { member.state.withLock { $0.bytes = bytes } }

    /// What md does to a superblock that it writes: it keeps what it does not know, and the microseconds are 0.
    private func writtenByMD(_ superblock: MDSuperblock) throws -> MDSuperblock {
        var bytes = superblock.bytes
        for index in 197..<200 { bytes[index] = 0 }
        var sum = MDSuperblock(unchecked: bytes)
        sum.seal()
        return sum
    }

    @Test("a mark is kept where md does not look, and is none any more when md has written the superblock")
    func witness() throws {
        let members = try members()
        #expect(try superblock(members[0]).lineage == nil)
        let array = try open(members)
        try array.markDirty()
        let own = try superblock(members[0])
        let lineage = try #require(own.lineage)
        #expect(lineage.isSettled && lineage.mark != 0 && lineage.departed == 0)
        #expect(own.features == [.bitmap] && own.updateTime == 1_700_000_000)
        #expect(try members.map { try superblock($0).lineage } == [lineage, lineage, lineage])
        #expect(try writtenByMD(own).lineage == nil)
        try array.markClean()
        #expect(try superblock(members[0]).mark != lineage.mark)
    }

    @Test("a member that failed and comes back as it was is brought up to date by the bitmap")
    func returns() throws {
        let members = try members()
        let array = try open(members)
        try array.markDirty()
        #expect(array.recordFailure(role: 1))
        #expect(try array.add(members[1]) == .returning)
    }

    @Test("one that was rolled back to before bits were cleared is rebuilt as a whole")
    func rolledBack() throws {
        let members = try members()
        let array = try open(members)
        try array.markDirty()
        let old = copy(members[1])
        try array.renewMark()
        #expect(array.recordFailure(role: 1))
        restore(members[1], old)
        #expect(try array.add(members[1]) == .spare)
    }

    @Test("one that went on with others is rebuilt as a whole, however its events are")
    func splitBrain() throws {
        let members = try members()
        let array = try open(members)
        try array.markDirty()
        #expect(array.recordFailure(role: 1))
        // Elsewhere, with copies of the others.
        let others = try [0, 2].map { role in
            let other = MemoryMember(name: "m\(role)", bytes: copy(members[role]))
            var own = try superblock(other)
            own = try superblock(members[1]).withIdentity(of: own)
            try write(own, to: other)
            return other
        }
        let elsewhere = try open([others[0], members[1], others[1]], force: true)
        try elsewhere.markDirty()
        var own = try superblock(members[1])
        own.events = try superblock(members[0]).events - 1
        try write(own, to: members[1])
        #expect(try array.add(members[1]) == .spare)
    }

    @Test("a copy that is one event behind, or has the same events, is not taken for the member", arguments: [0, 1])
    func copies(behind: UInt64) throws {
        let members = try members(.resync)
        try open(members).markDirty()
        let old = copy(members[1])
        let again = try open(members)
        try again.markDirty()
        try again.markClean()
        restore(members[1], old)
        var own = try superblock(members[1])
        own.events = try superblock(members[0]).events - behind
        own.resyncOffset = MDSuperblock.clean
        try write(own, to: members[1])
        let messages = Messages()
        #expect(try open(members, messages).failedMembers == [1])
        #expect(messages.all.contains { $0.contains("older copy") }, "\(messages.all)")
    }

    @Test("a crash between the writes of one change leaves all members good, wherever it comes")
    func crashes() throws {
        var count = 0
        while true {
            let members = try members(.resync)
            let array = try open(members)
            try array.markDirty()
            let budget = Budget(count)
            for member in members { member.state.withLock { $0.budget = budget } }
            let isDone = (try? array.markClean()) != nil
            for member in members { member.state.withLock { $0.budget = nil } }
            #expect(try open(members).failedMembers == [], "after \(count) writes")
            if isDone { break }
            count += 1
        }
        #expect(count == 6)
    }

    @Test("an array that md has written opens as before, and what missed that is left out")
    func afterMD() throws {
        let members = try members()
        let array = try open(members)
        try array.markDirty()
        try array.markClean()
        let before = copy(members[2])
        for member in members { try write(writtenByMD(superblock(member)), to: member) }
        #expect(try open(members).failedMembers == [])
        restore(members[2], before)
        #expect(try open(members).failedMembers == [2])
    }

    @Test("a crash in md's first update leaves all members good; an older copy is left out all the same")
    func tornByMD() throws {
        let members = try members()
        let array = try open(members)
        try array.markDirty()
        let old = copy(members[2])
        try array.markClean()
        var own = try writtenByMD(superblock(members[0]))
        own.events += 1
        try write(own, to: members[0])
        let before = members.map { copy($0) }
        #expect(try open(members).failedMembers == [])
        for (member, bytes) in zip(members, before) { restore(member, bytes) }
        restore(members[2], old)
        var older = try superblock(members[2])
        older.events = own.events - 1
        try write(older, to: members[2])
        #expect(try open(members).failedMembers == [2])
    }

    @Test("a member that says that one failed which serves by force does not come back, also where md has written last")
    func newer() throws {
        let members = try members()
        let first = try open(members)
        try first.markDirty()
        #expect(first.recordFailure(role: 1) && first.recordFailure(role: 2))
        for member in members { try write(writtenByMD(superblock(member)), to: member) }
        let array = try open(Array(members[0...1]), force: true)
        try array.markDirty()
        let before = copy(members[2])
        #expect(throws: ArrayStoreError.self) { try array.add(members[2]) }
        #expect(copy(members[2]) == before)
    }

    /// A superblock whose member has a role by another number than its own.
    private func renumbered(_ own: MDSuperblock, _ number: UInt32, roleCount: Int) throws -> MDSuperblock {
        var bytes = own.bytes
        for entry in 256 + 2 * Int(own.roleCount)..<256 + 2 * roleCount { bytes[entry] = 0xFF }
        bytes[220] = UInt8(roleCount & 0xFF)
        bytes[221] = UInt8(roleCount >> 8)
        var result = MDSuperblock(unchecked: bytes)
        let role = own.role
        result.setRole(MDSuperblock.roleSpare, ofDevice: own.deviceNumber)
        result.deviceNumber = number
        result.setRole(role, ofDevice: number)
        return result
    }

    @Test("a number that the others' tables have no entry for brings nobody back")
    func strangeNumber() throws {
        let members = try members()
        let array = try open(members)
        try array.markDirty()
        #expect(array.recordFailure(role: 1))
        try write(renumbered(superblock(members[1]), 200, roleCount: 256), to: members[1])
        #expect(try array.add(members[1]) == .spare)
    }

    @Test(
        "a member that is older is not forced to stand in by a number that nobody or another one has",
        arguments: [(200, 256), (0, 128)])
    func forcedNumber(number: UInt32, roleCount: Int) throws {
        let members = try members(.resync)
        let array = try open(members)
        try array.markDirty()
        #expect(array.recordFailure(role: 1))
        try array.markClean()
        let before = copy(members[1])
        try write(renumbered(superblock(members[1]), number, roleCount: roleCount), to: members[1])
        #expect(throws: ArrayStoreError.self) { try open(Array(members[0...1]), force: true) }
        restore(members[1], before)
        #expect(try open(Array(members[0...1]), force: true).failedMembers == [2])
    }

    @Test("a member that was absent from the start comes back by the bitmap, and an older copy of it does not")
    func absent() throws {
        let members = try members()
        let first = try open(members)
        try first.markDirty()
        let old = copy(members[1])
        try first.markClean()
        let array = try open([members[0], members[2]])
        try array.markDirty()
        let own = copy(members[1])
        restore(members[1], old)
        #expect(try array.add(members[1]) == .spare)
        let again = try open([members[0], members[2]], force: true)
        try again.markDirty()
        restore(members[1], own)
        #expect(try again.add(members[1]) == .returning)
    }
}

extension MDSuperblock {
    fileprivate init(unchecked bytes: [UInt8]) {
        // It was right but for what was changed.
        var copy = bytes
        copy.replaceSubrange(216..<220, with: [0, 0, 0, 0])
        var sum: UInt64 = 0
        let length = 256 + 2 * (Int(bytes[220]) | Int(bytes[221]) << 8)
        for offset in stride(from: 0, to: length, by: 4) {
            sum += (0..<4).reduce(UInt64(0)) { $0 | UInt64(copy[offset + $1]) << (8 * UInt64($1)) }
        }
        let folded = UInt32(truncatingIfNeeded: (sum & 0xFFFF_FFFF) + (sum >> 32))
        for index in 0..<4 { copy[216 + index] = UInt8(truncatingIfNeeded: folded >> (8 * UInt32(index))) }
        self = try! MDSuperblock(parsing: copy)
    }

    /// The same state, on another member.
    fileprivate func withIdentity(of other: MDSuperblock) -> MDSuperblock {
        var result = other
        result.takeState(of: self)
        return result
    }
}
