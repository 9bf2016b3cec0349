import ArrayStore
import Glibc
import MDFormat
import MemberIO
import RAID
import TestTraits
import Testing

@Suite("Members that are replaced while they serve", .blocks)
struct ReplacementTests {
    private func conditions(_ array: OpenedArray) -> [String] {
        array.memberStates.map { "\($0.role.map(String.init) ?? "-") \($0.path ?? "-") \($0.condition)" }
    }

    @Test("the superblocks say what is going on as md says it, and how far it is")
    func onDisk() throws {
        let fixture = try MemoryArray()
        let array = try fixture.openReplacing(boundary: 64 << 10)
        #expect(array.missingRole == nil)
        let new = try fixture.superblock(fixture.spare)
        #expect(new.features.isSuperset(of: [.replacement, .recoveryOffset]))
        #expect(new.deviceNumber == 3 && new.role == 1 && new.recoveryByteOffset == 64 << 10)
        for member in fixture.members {
            let superblock = try fixture.superblock(member)
            #expect(superblock.features.isDisjoint(with: [.replacement, .recoveryOffset]))
            #expect((0...4).map { superblock.role(ofDevice: $0) } == [0, 1, 2, 1, 0xFFFF])
            #expect(superblock.events == new.events)
        }
        // And so it goes on when it is opened again.
        let again = try fixture.open()
        #expect(again.replacementState.map { [Int($0.role.rawValue), Int($0.byteCount)] } == [1, 64 << 10])
        #expect(conditions(again) == conditions(array))
        #expect(again.places.count == 4)
    }

    @Test("what takes a role is not made a spare by another name of it")
    func otherName() throws {
        let fixture = try MemoryArray()
        let array = try fixture.openReplacing()
        let again = MemoryMember(name: "again", bytes: fixture.spare.state.withLock { $0.bytes })
        let error = #expect(throws: ArrayStoreError.self) { try array.add(again) }
        #expect(error?.description.contains("is in use") == true, "\(error?.description ?? "")")
    }

    @Test("a member that comes back has the name that the array got while it was away")
    func renamed() throws {
        let fixture = try MemoryArray(.bitmap)
        let first = try ArrayStore.open(
            members: fixture.members, directory: "here", readOnly: false, in: fixture.messages.environment)
        try first.markDirty()
        try first.markClean()
        let others = [fixture.members[0], fixture.members[2]]
        for member in others {
            var own = try fixture.superblock(member)
            own.setName = "other"
            own.seal()
            try member.write(bytes: own.bytes, at: 4096)
        }
        let array = try ArrayStore.open(
            members: others, directory: "here", readOnly: false, in: fixture.messages.environment)
        try array.markDirty()
        #expect(try array.add(fixture.members[1]) == .returning)
        #expect(try array.activateSpare()?.isGuided == true)
        #expect(try fixture.superblock(fixture.members[1]).setName == "other")
    }

    @Test("in the end the new member has the role, and the old one is not taken for it any more")
    func ends() throws {
        let fixture = try MemoryArray()
        let array = try fixture.openReplacing(boundary: 128 << 10)
        #expect(try array.endRecovery())
        #expect(conditions(array) == ["0 m0 active", "1 new active", "2 m2 active", "- m1 failed"])
        let new = try fixture.superblock(fixture.spare)
        #expect(new.features.isDisjoint(with: [.replacement, .recoveryOffset]) && new.role == 1)
        let again = try fixture.open()
        #expect(again.members.map { $0?.store.name } == ["m0", "new", "m2"])
        #expect(fixture.messages.last?.contains("m1 is left out: failed") == true, "\(fixture.messages.all)")
        #expect(try array.remove { $0.path == "m1" } == "m1")
    }

    @Test("when the old member fails, the new one is rebuilt from where it is")
    func oldFails() throws {
        let fixture = try MemoryArray()
        let array = try fixture.openReplacing(boundary: 64 << 10)
        #expect(array.recordFailure(role: 1))
        #expect(array.missingRole == 1)
        #expect(array.recoveringMember.map { [Int($0.role.rawValue), Int($0.byteCount)] } == [1, 64 << 10])
        let new = try fixture.superblock(fixture.spare)
        #expect(new.features.contains(.recoveryOffset) && !new.features.contains(.replacement))
        #expect(new.recoveryByteOffset == 64 << 10)
        let again = try fixture.open()
        #expect(again.recoveringMember.map { [Int($0.role.rawValue), Int($0.byteCount)] } == [1, 64 << 10])
        #expect(again.replacementState == nil)
        // Without the server having been told, the member being gone is as good.
        let other = try MemoryArray()
        _ = try other.openReplacing(boundary: 64 << 10)
        let found = try ArrayStore.open(
            members: [other.members[0], other.members[2], other.spare], directory: "here", readOnly: false,
            in: other.messages.environment)
        #expect(found.recoveringMember.map { [Int($0.role.rawValue), Int($0.byteCount)] } == [1, 64 << 10])
    }

    @Test("when another member fails, the new one is a spare again, for the role that is missing")
    func otherFails() throws {
        let fixture = try MemoryArray()
        let array = try fixture.openReplacing(boundary: 64 << 10)
        #expect(array.recordFailure(role: 2))
        #expect(conditions(array) == ["0 m0 active", "1 m1 active", "2 m2 failed", "- new spare"])
        let again = try fixture.open()
        #expect(again.hasSpare && again.missingRole == 2)
        #expect(try array.activateSpare()?.role == 2)
        let new = try fixture.superblock(fixture.spare)
        #expect(new.role == 2 && new.recoveryByteOffset == 0 && !new.features.contains(.replacement))
    }

    @Test(
        "a replacement that is given up is a spare, and one that fails is not used any more", arguments: [true, false])
    func givenUp(isFaulty: Bool) throws {
        let fixture = try MemoryArray(.bitmap)
        let array = try fixture.openReplacing(boundary: 64 << 10)
        #expect(array.endReplacement(isFaulty: isFaulty).isEmpty)
        #expect(array.hasSpare == !isFaulty && array.replacementState == nil && array.missingRole == nil)
        let again = try fixture.open()
        #expect(again.hasSpare == !isFaulty && again.replacementState == nil && again.missingRole == nil)
    }

    @Test("one that was not there when the array was served is not believed later: it has missed writes")
    func wasAway() throws {
        let fixture = try MemoryArray()
        _ = try fixture.openReplacing(boundary: 64 << 10)
        let without = try ArrayStore.open(
            members: fixture.members, directory: "here", readOnly: false, in: fixture.messages.environment)
        #expect(without.replacementState == nil)
        try without.markDirty()
        let again = try fixture.open()
        #expect(again.replacementState == nil && again.missingRole == nil && !again.hasSpare)
        #expect(again.members.map { $0?.store.name } == ["m0", "m1", "m2"])
        // As a new one it can be used.
        _ = try again.add(fixture.spare)
        try again.beginReplacement(of: 1, by: "new")
        #expect(again.replacementState?.byteCount == 0)
    }

    @Test("a spare whose number a member has got while it was away gets another one before it replaces a member")
    func sameNumber() throws {
        let fixture = try MemoryArray()
        let other = MemoryMember(
            name: "other", bytes: Array(repeating: 0, count: Int(fixture.spare.byteCount)),
            place: fixture.spare.place)
        _ = try ArrayStore.open(
            members: fixture.members, directory: "here", readOnly: false, in: fixture.messages.environment
        )
        .add(other)
        let array = try fixture.openReplacing(boundary: 128 << 10)
        #expect(try array.endRecovery())
        #expect(try fixture.superblock(other).deviceNumber == fixture.superblock(fixture.spare).deviceNumber)
        let again = try ArrayStore.open(
            members: fixture.all + [other], directory: "here", readOnly: false, in: fixture.messages.environment)
        try again.beginReplacement(of: 1, by: "other")
        #expect(again.endReplacement(isFaulty: false).isEmpty)
        #expect(try fixture.open().members.map { $0?.store.name } == ["m0", "new", "m2"])
    }

    @Test("one that is found while another member is missing is a spare, and stays one")
    func otherMissing() throws {
        let fixture = try MemoryArray()
        _ = try fixture.openReplacing(boundary: 64 << 10)
        let found = [fixture.members[0], fixture.members[1], fixture.spare]
        let array = try ArrayStore.open(
            members: found, directory: "here", readOnly: false, in: fixture.messages.environment)
        #expect(array.hasSpare && array.missingRole == 2)
        try array.markDirty()
        let new = try fixture.superblock(fixture.spare)
        #expect(new.role == MDSuperblock.roleSpare && !new.features.contains(.replacement))
        try array.markClean()
        try array.markDirty()
        try array.markClean()
        let again = try ArrayStore.open(
            members: found, directory: "here", readOnly: false, in: fixture.messages.environment)
        #expect(again.hasSpare && again.missingRole == 2)
    }

    @Test("what cannot be done is refused, and changes nothing")
    func refusals() throws {
        let fixture = try MemoryArray()
        let array = try fixture.open()
        #expect(throws: ArrayStoreError.self) { try array.beginReplacement(of: 1, by: nil) }
        _ = try array.add(fixture.spare)
        #expect(throws: ArrayStoreError.self) { try array.beginReplacement(of: 1, by: "other") }
        fixture.members[2].state.withLock { $0.failsWrites = true }
        #expect(throws: ArrayStoreError.self) { try array.beginReplacement(of: 1, by: "new") }
        fixture.members[2].state.withLock { $0.failsWrites = false }
        #expect(array.hasSpare && array.replacementState == nil)
        try array.beginReplacement(of: 1, by: "new")
        #expect(throws: ArrayStoreError.self) { try array.beginReplacement(of: 0, by: nil) }
    }

    @Test("an end that cannot be written leaves the replacement as it was, and is done later")
    func failedEnd() throws {
        let fixture = try MemoryArray()
        let array = try fixture.openReplacing(boundary: 128 << 10)
        // The one that is replaced is not written any more.
        for member in fixture.all where member.name != "m1" {
            member.state.withLock { $0.failsWrites = true }
            #expect(throws: ArrayStoreError.self) { try array.endRecovery() }
            member.state.withLock { $0.failsWrites = false }
            #expect(conditions(array)[1] == "1 m1 active" && array.replacementState != nil)
            #expect(try fixture.open().missingRole == nil)
        }
        #expect(try array.endRecovery())
        #expect(try fixture.open().members[1]?.store.name == "new")
    }

    @Test(
        "a crash at any write of any change leaves an array that is whole or degraded, and opens", .slow,
        arguments: [ArrayConsistency.resync, .bitmap, .ppl])
    func crashes(consistency: ArrayConsistency) throws {
        let changes: [(String, Int, (OpenedArray) throws -> Bool)] = [
            ("the end", 3, { try $0.endRecovery() }), ("the old one's failure", 2, { $0.recordFailure(role: 1) }),
            ("another one's failure", 2, { $0.recordFailure(role: 0) && $0.hasSpare }),
            ("giving up", 3, { $0.endReplacement(isFaulty: false).isEmpty && $0.hasSpare }),
            ("the new one's failure", 3, { $0.endReplacement(isFaulty: true).isEmpty }),
        ]
        for (name, remaining, change) in changes {
            var writeCount = 0
            var isDone = false
            while !isDone {
                let fixture = try MemoryArray(consistency)
                let array = try fixture.openReplacing(boundary: 128 << 10)
                // One that lacks a member and was not stopped cleanly is refused anyway.
                if remaining == 3 { try array.markDirty() }
                let budget = Budget(writeCount)
                for member in fixture.all { member.state.withLock { $0.budget = budget } }
                isDone = (try? change(array)) == true
                for member in fixture.all { member.state.withLock { $0.budget = nil } }
                let again = try fixture.open()
                let roles = again.memberStates.filter { $0.condition == .active }.count
                #expect(roles >= remaining, "\(name), write \(writeCount)")
                // What was told to one member is known to all from then on.
                let states = conditions(again)
                #expect(try conditions(fixture.open()) == states, "\(name), write \(writeCount)")
                writeCount += 1
            }
            #expect(writeCount > 3, "\(name)")
        }
    }
}

@Suite("Recovery with a replacement", .blocks)
struct ReplacementRecoveryTests {
    @Test("after a crash the replacement is made like the member that serves, below its boundary")
    func resync() throws {
        var fixture = try RecoveryFixture(.resync)
        try fixture.addReplacement(of: 1, boundary: 98304)
        try fixture.open()
        #expect(try fixture.copiedBlocks(of: 1) == Array(0..<24))
    }

    @Test("with a bitmap only its regions are looked at")
    func bitmap() throws {
        var fixture = try RecoveryFixture(.bitmap)
        try fixture.addReplacement(of: 1, boundary: 3 << 16)
        for role in 0..<4 {
            var bitmap = try fixture.bitmap(role)
            bitmap.chunkByteCount = 65536
            bitmap.bits = [0b010]
            try fixture.members[role].write(bytes: bitmap.encoded, at: fixture.superblock(role).bitmapByteOffset!)
        }
        try fixture.open()
        #expect(try fixture.copiedBlocks(of: 1) == Array(16..<32))
    }

    @Test("with logs only the rows of their entries are looked at, or all when an entry is torn")
    func logs() throws {
        var fixture = try RecoveryFixture(.ppl)
        try fixture.addReplacement(of: 1, boundary: 3 << 16)
        try fixture.log(stripe: 2, column: 0, row: 8192)
        try fixture.open()
        #expect(try fixture.copiedBlocks(of: 1) == [34])
        fixture = try RecoveryFixture(.ppl)
        try fixture.addReplacement(of: 1, boundary: 3 << 16)
        try fixture.log(stripe: 2, column: 0, row: 8192) { $0.checksum ^= 1 }
        try fixture.open()
        #expect(try fixture.copiedBlocks(of: 1) == Array(0..<48))
    }

    @Test("what the logs have recovered without a member is marked clean after the replacement has become a spare")
    func withoutMember() throws {
        var fixture = try RecoveryFixture(.ppl)
        try fixture.addReplacement(of: 1, boundary: 3 << 16)
        try fixture.log(stripe: 2, column: 0, row: 8192)
        let present = [0, 1, 2, 4].map { fixture.members[$0] }
        // The server dies before it serves the array.
        for _ in 0..<2 {
            let messages = Messages()
            let array = try ArrayStore.open(
                members: present, directory: "here", readOnly: false, in: messages.environment)
            #expect(array.failedMembers == [3])
            #expect(array.memberStates.contains { $0.path == "new" && $0.condition == .spare }, "\(array.memberStates)")
        }
    }

    @Test("a clean array's replacement is believed")
    func clean() throws {
        var fixture = try RecoveryFixture(.resync)
        for role in 0..<4 {
            var superblock = try fixture.superblock(role)
            superblock.resyncOffset = MDSuperblock.clean
            superblock.seal()
            try fixture.members[role].write(bytes: superblock.bytes, at: 4096)
        }
        try fixture.addReplacement(of: 1, boundary: 3 << 16)
        try fixture.open()
        #expect(try fixture.copiedBlocks(of: 1) == [])
    }
}
