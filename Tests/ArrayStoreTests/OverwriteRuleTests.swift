import MDFormat
import MemberIO
import RAID
import TestTraits
import Testing

@testable import ArrayStore

@Suite("Who may be overwritten", .blocks)
struct OverwriteRuleTests {
    @Test(
        "the rule, as a table",
        arguments: [
            (.inUse, false, false), (.former, true, false), (.newer, false, false), (.spare, true, false),
            (.blank, true, false), (.foreign, false, false),
        ] as [(OverwriteRule.Part, Bool, Bool)])
    func table(part: OverwriteRule.Part, serving: Bool, lost: Bool) {
        #expect((OverwriteRule(isLost: false).reasonToKeep(part) == nil) == serving)
        #expect((OverwriteRule(isLost: true).reasonToKeep(part) == nil) == lost)
    }

    private static let geometry = ArrayGeometry(
        level: .raid5, memberCount: 3, chunkByteCount: 4096, memberDataByteCount: 64 << 10, dataByteOffset: 16 << 10)

    private func superblock(_ role: Int, events: UInt64 = 1) -> MDSuperblock {
        var superblock = MDSuperblock(
            geometry: Self.geometry, memberByteCount: 80 << 10, name: "m", setUUID: Array(1...16),
            deviceUUID: Array(repeating: UInt8(role), count: 16), role: Role(index: role), time: 1_600_000_000)
        superblock.events = events
        superblock.seal()
        return superblock
    }

    private func member(_ name: String, _ superblock: MDSuperblock) -> MemoryMember {
        var bytes = [UInt8](repeating: 0, count: 80 << 10)
        bytes.replaceSubrange(4096..<8192, with: superblock.bytes)
        return MemoryMember(name: name, bytes: bytes)
    }

    private func open(_ members: [MemoryMember], force: Bool = false) throws -> OpenedArray {
        try ArrayStore.open(
            members: members, directory: "here", readOnly: false, force: force, in: Messages().environment)
    }

    private func contents(_ members: [MemoryMember]) -> [[UInt8]] { members.map { $0.state.withLock { $0.bytes } } }

    @Test("a lost array takes no member and lets go of none, and no byte of any is changed")
    func lost() throws {
        let members = (0..<3).map { member("m\($0)", superblock($0)) }
        let array = try open(members)
        try array.markDirty()
        #expect(array.recordFailure(role: 0))
        #expect(array.recordFailure(role: 1))
        let before = contents(members)
        for name in ["m0", "m1"] {
            #expect(throws: ArrayStoreError.self) { try array.remove { $0.path == name } }
        }
        let blank = MemoryMember(name: "new", bytes: Array(repeating: 0, count: 80 << 10))
        for member in members + [blank] {
            let error = #expect(throws: ArrayStoreError.self) { _ = try array.add(member) }
            #expect(error?.description.contains("--force") == true, "\(error?.description ?? "")")
        }
        #expect(contents(members) == before)
        #expect(array.memberStates.map(\.path) == ["m0", "m1", "m2"])
    }

    @Test("a member that is in use, or that has seen more than the array that is served, is not made a spare")
    func inUseOrNewer() throws {
        let members = (0..<3).map { member("m\($0)", superblock($0)) }
        let array = try open(Array(members[0...1]))
        try array.markDirty()
        let newer = member("newer", superblock(2, events: 100))
        let before = contents(members + [newer])
        for member in [members[0], newer] { #expect(throws: ArrayStoreError.self) { try array.add(member) } }
        #expect(contents(members + [newer]) == before)
        // The one that the array has gone on without may be.
        #expect(try array.add(members[2]) == .spare)
    }

    @Test("a member that is in use is not made a spare by another name of it, or from a copy")
    func otherName() throws {
        let members = (0..<3).map { member("m\($0)", superblock($0)) }
        let array = try open(members)
        try array.markDirty()
        #expect(array.recordFailure(role: 2))
        let again = MemoryMember(name: "again", bytes: contents(members)[0])
        let before = contents([again])
        let error = #expect(throws: ArrayStoreError.self) { try array.add(again) }
        #expect(error?.description.contains("is in use") == true, "\(error?.description ?? "")")
        #expect(contents([again]) == before)
        // The one that failed may be reached as it likes.
        #expect(try array.add(MemoryMember(name: "other", bytes: contents(members)[2])) == .spare)
    }

    @Test("what a forced array has gone on without is not made a spare, however far that has counted since")
    func olderServes() throws {
        let members = (0..<3).map { member("m\($0)", superblock($0)) }
        let first = try open(members)
        try first.markDirty()
        // What is written from here on is on members 0 and 2, and then the array is lost.
        #expect(first.recordFailure(role: 1) && first.recordFailure(role: 2))
        let array = try open(Array(members[0...1]), force: true)
        #expect(array.failedMembers == [2])
        for _ in 0..<5 { try array.markDirty() }
        let before = contents(members)
        let error = #expect(throws: ArrayStoreError.self) { try array.add(members[2]) }
        #expect(error?.description.contains("has changes") == true, "\(error?.description ?? "")")
        #expect(contents(members) == before)
    }

    @Test("a member that was about to come back keeps its superblock when it is removed")
    func removedWhileReturning() throws {
        let returning = member("m2", superblock(2))
        let array = try open((0..<2).map { member("m\($0)", superblock($0)) })
        try array.markDirty()
        array.lock.withLock {
            array.membership.add(spare: array.known.add(ArrayMember(store: returning, superblock: superblock(2))))
        }
        let before = contents([returning])
        #expect(try array.remove { $0.path == "m2" && $0.condition == .spare } == "m2")
        #expect(contents([returning]) == before)
    }
}
