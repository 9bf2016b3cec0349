import ArrayStore
import MDFormat
import Platform
import RAID
import TestTraits
import Testing

@testable import Simulation

/// Crashes at each I/O of the superblocks' changes: no good member may become stale by them.
@Suite("Crashes while superblocks are written", .blocks)
struct SuperblockCrashTests {
    private static let memberCount = 4

    private func makeMembers(_ world: SimulatedWorld) throws -> [SimulatedMember] {
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: Self.memberCount, chunkByteCount: 4096, memberDataByteCount: 8192,
            dataByteOffset: 16384)
        return try (0..<Self.memberCount).map { role in
            let member = SimulatedMember(name: "member \(role)", byteCount: 24576, world: world)
            var superblock = MDSuperblock(
                geometry: geometry, memberByteCount: 24576, name: "array", setUUID: Array(0..<16),
                deviceUUID: Array(repeating: UInt8(role), count: 16), role: Role(index: role), time: 1)
            superblock.seal()
            try member.write(bytes: superblock.bytes, at: MDSuperblock.byteOffset)
            try member.flush()
            return member
        }
    }

    private func open(_ members: [SimulatedMember]) throws -> OpenedArray {
        let world = members[0].world
        let environment = ArrayStore.Environment(
            clock: { 1 }, report: { _, _ in }, makeBay: { SimulatedBay(world: world) })
        return try ArrayStore.open(members: members, directory: "the test", readOnly: false, in: environment)
    }

    /// Two crashes, one in each change of the state, after every number of I/Os.
    @Test("two crashes in a row leave every member good", .slow, arguments: [true, false])
    func twice(powerFailsFirst: Bool) throws {
        // Opening reads; a change writes and flushes each member, perhaps twice.
        for first in 0...3 * Self.memberCount {
            for second in 0...10 * Self.memberCount {
                let world = SimulatedWorld(random: SeededGenerator(seed: UInt64(first * 100 + second)))
                let members = try makeMembers(world)
                func crash(powerFails: Bool) {
                    world.goDown()
                    for member in members { member.crash(powerFails: powerFails) }
                    world.comeUp()
                }
                let array = try open(members)
                world.setSynchronousCrash(after: first)
                try? array.markDirty()
                crash(powerFails: powerFailsFirst)
                world.setSynchronousCrash(after: second)
                try? open(members).markDirty()
                crash(powerFails: true)
                let last = try open(members)
                #expect(last.missingRole == nil, "crashes after \(first) and \(second) I/Os")
            }
        }
    }

    private func spare(_ world: SimulatedWorld) -> SimulatedMember {
        SimulatedMember(name: "spare", byteCount: 24576, world: world)
    }

    @Test("a crash while a spare takes a role leaves an array that can be opened", arguments: [true, false])
    func activation(powerFails: Bool) throws {
        for count in 0...4 * Self.memberCount {
            let world = SimulatedWorld(random: SeededGenerator(seed: UInt64(count)))
            let disks = try makeMembers(world) + [spare(world)]
            let array = try open(Array(disks.dropLast()))
            _ = try array.add(disks[Self.memberCount])
            #expect(array.recordFailure(role: 0))
            world.setSynchronousCrash(after: count)
            _ = try? array.activateSpare()
            world.goDown()
            for disk in disks { disk.crash(powerFails: powerFails) }
            world.comeUp()
            let last = try open(disks)
            #expect(last.failedMembers == [0], "a crash after \(count) I/Os")
            #expect(last.hasSpare != (last.recoveringMember != nil))
        }
    }

    @Test("a spare that was away does not share its number with the one that was added meanwhile")
    func numbers() throws {
        let world = SimulatedWorld(random: SeededGenerator(seed: 1))
        let members = try makeMembers(world)
        let (first, second) = (spare(world), spare(world))
        _ = try open(members).add(first)
        _ = try open(members).add(second)
        let array = try open(members + [first, second])
        for role in [1, 2] as [Role] {
            #expect(array.recordFailure(role: role))
            #expect(try array.activateSpare()?.role == role)
            #expect(array.flushRecovering())
            try array.recordRecovery(byteCount: array.geometry.memberDataByteCount)
            #expect(try array.endRecovery())
        }
        let last = try open(members + [first, second])
        #expect(last.failedMembers.isEmpty)
        #expect(last.recordFailure(role: 1))
        #expect(try open(members + [first, second]).failedMembers == [1])
    }
}
