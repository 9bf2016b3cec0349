import ArrayStore
import MDFormat
import MemberIO
import RAID
import Synchronization
import TestTraits
import Testing

@Suite("Members that come back, and meet trouble on the way", .blocks)
struct ReturningTests {
    /// An array whose member 1 was lost, and has missed one write.
    private func withoutMember1() throws -> (MemoryArray, OpenedArray) {
        let fixture = try MemoryArray(.bitmap)
        let array = try ArrayStore.open(
            members: fixture.members, directory: "here", readOnly: false, in: fixture.messages.environment)
        try array.markDirty()
        fixture.members[1].state.withLock { $0.loss = .unreachable("away") }
        #expect(array.recordFailure(role: 1))
        return (fixture, array)
    }

    /// The member as it is when its server answers again.
    private func anew(_ member: MemoryMember) -> MemoryMember {
        let again = MemoryMember(name: member.name, bytes: member.state.withLock { $0.bytes }, place: member.place)
        member.state.withLock { $0.successor = again }
        return again
    }

    @Test("a spare whose log takes no write before it has a role is tried again")
    func refusedLog() throws {
        let fixture = try MemoryArray(.ppl)
        let array = try ArrayStore.open(
            members: fixture.members, directory: "here", readOnly: false, in: fixture.messages.environment)
        _ = try array.add(fixture.spare)
        try array.markDirty()
        #expect(array.recordFailure(role: 1))
        // A log that is empty already is not written.
        let log = try #require(try fixture.superblock(fixture.spare).partialParityLogRange)
        try fixture.spare.write(bytes: [1], at: log.lowerBound)
        fixture.spare.state.withLock { $0.refusesWrites = true }
        let error = #expect(throws: ArrayStoreError.self) { try array.activateSpare() }
        #expect(error?.kind == .notTaken && error?.cause?.status == .refused && error?.places == [])
        #expect(array.hasSpare)
        fixture.spare.state.withLock { $0.refusesWrites = false }
        #expect(try array.activateSpare()?.role == 1)
    }

    @Test("one that takes no write before it has its role is tried again")
    func refusedEarly() throws {
        let (fixture, array) = try withoutMember1()
        let again = anew(fixture.members[1])
        again.state.withLock { $0.refusesWrites = true }
        array.takeBackReconnected()
        for _ in 0..<2 {
            let error = #expect(throws: ArrayStoreError.self) { try array.activateSpare() }
            #expect(error?.kind == .notTaken && error?.places == [])
        }
        again.state.withLock { $0.refusesWrites = false }
        #expect(try array.activateSpare()?.isGuided == true)
        #expect(try fixture.superblock(again).events == fixture.superblock(fixture.members[0]).events)
    }

    @Test("one that takes no write when it is told of its role has it, and hears of it later")
    func refusedLate() throws {
        let (fixture, array) = try withoutMember1()
        let again = anew(fixture.members[1])
        let writeCount = Mutex(0)
        again.state.withLock {
            $0.beforeWrite = { [unowned again] in
                guard
                    writeCount.withLock({
                        $0 += 1
                        return $0 > 1
                    })
                else { return }
                again.state.withLock { $0.refusesWrites = true }
            }
        }
        array.takeBackReconnected()
        #expect(try array.activateSpare()?.role == 1)
        #expect(fixture.messages.all.contains { $0.contains("Bad address") })
        again.state.withLock { ($0.refusesWrites, $0.beforeWrite) = (false, nil) }
        #expect(try array.recordRecovery(byteCount: 4096))
        #expect(try fixture.superblock(again).recoveryByteOffset == 4096)
        #expect(try array.endRecovery() && array.health == .clean)
    }

    @Test("one that is lost before it has its role, and one that is lost at once, are looked for")
    func lostAgain() throws {
        let (fixture, array) = try withoutMember1()
        let second = anew(fixture.members[1])
        let third = anew(second)
        let fourth = anew(third)
        second.state.withLock { ($0.failsReads, $0.loss) = (true, .unreachable("away")) }
        array.takeBackReconnected()
        #expect(!array.hasSpare)
        third.state.withLock { ($0.failsWrites, $0.loss) = (true, .unreachable("away")) }
        array.takeBackReconnected()
        #expect(throws: ArrayStoreError.self) { try array.activateSpare() }
        #expect(!array.hasSpare)
        array.takeBackReconnected()
        #expect(try array.activateSpare()?.isGuided == true)
        #expect(try fixture.superblock(fourth).events == fixture.superblock(fixture.members[0]).events)
    }

    @Test("one whose fault is its own is not tried again")
    func faulty() throws {
        let (fixture, array) = try withoutMember1()
        anew(fixture.members[1]).state.withLock { $0.failsWrites = true }
        array.takeBackReconnected()
        #expect(throws: ArrayStoreError.self) { try array.activateSpare() }
        array.takeBackReconnected()
        #expect(!array.hasSpare)
    }
}
