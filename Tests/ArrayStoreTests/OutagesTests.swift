import MDFormat
import RAID
import Synchronization
import TestTraits
import Testing

@testable import ArrayStore

/// Which lost members an array waits for, and for how long. Time is turned by the test.
@Suite("Outages of an array's members", .blocks)
struct OutagesTests {
    /// Time, and what people are told.
    private final class World: Sendable {
        let time = Mutex<UInt64>(1000)
        let messages = Mutex<[String]>([])

        func pass(_ milliseconds: UInt64) { time.withLock { $0 += milliseconds } }
        var said: [String] { messages.withLock { $0 } }
    }

    private let world = World()
    private let members = (0..<4).map { MemberOutage(name: "m\($0)") }

    /// Outages of an array of four members that waits for 10 s.
    private func outages(redundancy: Int = 1, missing: Set<Role> = []) -> Outages {
        let outages = Outages(
            limitSeconds: 10, redundancy: redundancy, name: "a", now: { [world] in world.time.withLock { $0 } },
            clock: { 86_400 + 3661 }, report: { [world] text, _ in world.messages.withLock { $0.append(text) } })
        outages.set(members: members, missing: missing)
        outages.begin()
        return outages
    }

    @Test("the array does without one after a moment, and says nothing of a suspension")
    func one() {
        let outages = outages()
        members[2].lost("lost", grace: 250)
        #expect(members[2].isAwaited)
        #expect(outages.suspension == nil)
        world.pass(250)
        #expect(!members[2].isAwaited)
        #expect(!outages.hasWaitedInVain && world.said.isEmpty)
        // The next one is one too many, before the first is known to have failed.
        members[3].lost("lost", grace: 250)
        world.pass(9000)
        #expect(members[3].isAwaited)
        #expect(outages.suspension == Outages.Suspension(members: [3], deadline: 86_400 + 3671))
    }

    @Test("two at the same moment are waited for until the time is over, and nobody is given up before")
    func inVain() {
        let outages = outages()
        members[1].lost("lost: one", grace: 250)
        world.pass(200)
        members[2].lost("lost: two", grace: 250)
        #expect(outages.suspension == Outages.Suspension(members: [1, 2], deadline: 86_400 + 3671))
        world.pass(9999)
        #expect(members[1].isAwaited && members[2].isAwaited)
        #expect(!outages.hasWaitedInVain)
        world.pass(1)
        #expect(!members[2].isAwaited && !members[1].isAwaited)
        #expect(outages.suspension == nil && outages.hasWaitedInVain)
        #expect(
            world.said == [
                "a is suspended: waiting for member 1, 2 until 01:01:11 UTC", "m1 is lost: one", "m2 is lost: two",
                "a no longer waits for member 1, 2",
            ])
        // Never again.
        members[0].lost("lost", grace: 250)
        #expect(!members[0].isAwaited)
    }

    @Test("when one of two is back the array goes on, and the other has a moment more")
    func oneReturns() {
        let outages = outages()
        members[1].lost("lost", grace: 250)
        members[2].lost("lost", grace: 250)
        world.pass(5000)
        members[2].returned()
        #expect(outages.suspension == nil)
        #expect(world.said.last == "a goes on: enough of its members are back, unchanged")
        world.pass(1999)
        #expect(members[1].isAwaited)
        world.pass(1)
        #expect(!members[1].isAwaited)
        #expect(!outages.hasWaitedInVain)
        // A new suspension has all of its time.
        outages.set(members: members, missing: [1])
        members[0].lost("lost", grace: 250)
        world.pass(9999)
        #expect(members[0].isAwaited)
    }

    @Test("RAID 0, and RAID 5 without a member, wait for each", arguments: [0, 1])
    func noneToSpare(redundancy: Int) {
        let outages = outages(redundancy: redundancy, missing: redundancy == 1 ? [3] : [])
        members[0].lost("lost", grace: 250)
        world.pass(9000)
        #expect(members[0].isAwaited)
        members[0].returned()
        #expect(outages.suspension == nil)
        #expect(!members[0].isAwaited, "it is not lost")
    }

    @Test("nobody is waited for before the array is served, when it is being stopped, and without a role")
    func inactive() {
        let outages = outages(redundancy: 0)
        let spare = MemberOutage(name: "spare")
        spare.lost("lost", grace: 250)
        #expect(!spare.isAwaited)
        members[0].lost("lost", grace: 250)
        #expect(members[0].isAwaited)
        outages.end()
        #expect(!members[0].isAwaited && outages.hasWaitedInVain && outages.suspension == nil)
        outages.begin()
        members[1].lost("lost", grace: 250)
        #expect(!members[1].isAwaited)

        let early = Outages(
            limitSeconds: 10, redundancy: 0, name: "a", now: { 0 }, clock: { 0 }, report: { _, _ in })
        let member = MemberOutage(name: "m")
        early.set(members: [member], missing: [])
        member.lost("lost", grace: 250)
        early.begin()
        #expect(!member.isAwaited)
    }

    private func superblock(device: UInt32, events: UInt64, mark: UInt64) -> MDSuperblock {
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 4, byteCount: 256 << 10, chunkByteCount: 4096, name: "m", consistency: .bitmap)
        var superblock = MDSuperblock(
            geometry: plan.geometry, memberByteCount: plan.memberByteCount, name: "m",
            setUUID: Array(1...16), deviceUUID: Array(17...32), role: Role(index: Int(device)), time: 1)
        superblock.events = events
        superblock.draw(mark: mark, isWhole: true)
        superblock.seal()
        return superblock
    }

    @Test("only what has the member's own mark, or the one that was being written, is that member")
    func identity() {
        let outages = outages(redundancy: 0)
        let own = superblock(device: 1, events: 7, mark: 70)
        let next = superblock(device: 1, events: 8, mark: 80)
        outages.expect([own], of: 1)
        members[1].lost("lost", grace: 250)
        func isTaken(_ superblock: MDSuperblock, flushed: Bool = true) -> Bool {
            members[1].isUnchanged(superblock: superblock.bytes, hasFlushedWrites: flushed)
        }
        #expect(isTaken(own))
        #expect(!isTaken(own, flushed: false))
        #expect(!isTaken(next))
        #expect(!isTaken(superblock(device: 1, events: 6, mark: 60)))
        #expect(!isTaken(superblock(device: 1, events: 7, mark: 71)))
        #expect(!isTaken(superblock(device: 2, events: 7, mark: 70)))
        outages.expect([own, next], of: 1)
        #expect(isTaken(own) && isTaken(next))
        // People hear of it once until it is right again.
        #expect(world.said.filter { $0.contains("has changed since it was lost") }.count == 1)
    }
}
