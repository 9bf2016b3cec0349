import ArrayStore
import Glibc
import MDFormat
import RAID
import RAIDController
import RAIDControllerInterface
import SCSI
import Synchronization
import TestTraits
import Testing

extension CardFixture {
    /// Writes blocks that hold a value in every byte.
    func write(_ value: UInt8, lba: UInt64, blocks: UInt32, forced: Bool = false) -> SenseData? {
        memset(data, Int32(value), Int(blocks) * 512)
        return sense(
            execute(
                .transfer(isWrite: true, lba: lba, blockCount: blocks, forceUnitAccess: forced),
                byteCount: Int(blocks) * 512, isWrite: true))
    }

    /// The first byte of each block; nil after an error.
    func read(lba: UInt64, blocks: UInt32) -> [UInt8]? {
        memset(data, 0xEE, Int(blocks) * 512)
        guard transfer(false, lba: lba, blocks: blocks).status == 0 else { return nil }
        let bytes = UnsafeRawBufferPointer(start: data, count: Int(blocks) * 512)
        return (0..<Int(blocks)).map { block in
            let part = bytes[block * 512..<block * 512 + 512]
            return part.allSatisfy { $0 == part.first! } ? part.first! : 0xEF
        }
    }

    func flush() -> SenseData? { sense(execute(.synchronizeCache10)) }

    func sense(_ completion: RAIDCompletionDescriptor) -> SenseData? {
        completion.status == SCSIStatus.checkCondition.rawValue
            ? SenseData(parsing: completion.sense, byteCount: Int(completion.senseByteCount)) : nil
    }

    /// Lets a member's descriptor name another file while `body` runs.
    func replacing(member: Int, with path: String, _ flags: Int32, _ body: () -> Void) {
        let descriptor = (array.members[member]!.store as! MemberFile).descriptor
        let saved = dup(descriptor)
        let other = open(path, flags)
        dup2(other, descriptor)
        body()
        dup2(saved, descriptor)
        close(saved)
        close(other)
    }
}

@Suite("The card's write cache", .blocks)
struct WriteCacheTests {
    private static let byteCount = 256 << 10

    private func fixture(_ level: RAIDLevel = .raid5, byteCount: Int = byteCount) throws -> CardFixture {
        try CardFixture(level: level, members: 3, writeCacheByteCount: byteCount)
    }

    @Test("a card without a cache has nothing to lose")
    func off() throws {
        let fixture = try fixture(byteCount: 0)
        #expect(fixture.write(1, lba: 0, blocks: 8) == nil)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 0)
        #expect(fixture.card.powerCut() == 0)
        #expect(fixture.read(lba: 0, blocks: 8) == Array(repeating: 1, count: 8))
    }

    @Test("reads see what the cache holds, wholly and in part", arguments: [RAIDLevel.raid0, .raid5])
    func reads(level: RAIDLevel) throws {
        let fixture = try fixture(level)
        #expect(fixture.write(1, lba: 0, blocks: 64) == nil)
        #expect(fixture.flush() == nil)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 0)
        #expect(fixture.write(2, lba: 5, blocks: 13) == nil)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 13 * 512)
        #expect(fixture.read(lba: 5, blocks: 13) == Array(repeating: 2, count: 13))
        #expect(fixture.read(lba: 7, blocks: 2) == [2, 2])
        #expect(fixture.read(lba: 24, blocks: 2) == [1, 1])
        #expect(
            fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 13 * 512,
            "reads that hit or miss leave the cache alone")
        let expected = [UInt8](repeating: 1, count: 5) + Array(repeating: 2, count: 13) + Array(repeating: 1, count: 6)
        #expect(fixture.read(lba: 0, blocks: 24) == expected)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 0)
        #expect(fixture.read(lba: 0, blocks: 24) == expected)
    }

    @Test("what was flushed survives a power cut, and what was not is gone", arguments: [RAIDLevel.raid0, .raid5])
    func powerCut(level: RAIDLevel) throws {
        let fixture = try fixture(level)
        #expect(fixture.write(1, lba: 3, blocks: 200) == nil)
        #expect(fixture.flush() == nil)
        #expect(fixture.card.powerCut() == 0)
        #expect(fixture.write(2, lba: 100, blocks: 10) == nil)
        #expect(fixture.write(2, lba: 105, blocks: 10) == nil)
        #expect(fixture.card.powerCut() == 15 * 512)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 0)
        #expect(fixture.read(lba: 3, blocks: 200) == Array(repeating: 1, count: 200))
        #expect(fixture.write(3, lba: 100, blocks: 2) == nil)
        #expect(fixture.read(lba: 99, blocks: 4) == [1, 3, 3, 1])
        #expect(fixture.flush() == nil)
        #expect(fixture.card.powerCut() == 0)
    }

    @Test("another card finds what was flushed on the members")
    func reopening() throws {
        var first: CardFixture? = try fixture()
        let directory = first!.temporary
        #expect(first!.write(1, lba: 3, blocks: 200) == nil)
        #expect(first!.flush() == nil)
        #expect(first!.write(2, lba: 300, blocks: 2) == nil)
        first = nil
        let second = try CardFixture(opening: directory)
        #expect(second.read(lba: 2, blocks: 202) == [0] + Array(repeating: 1, count: 200) + [0])
        #expect(second.read(lba: 300, blocks: 2) == [0, 0])
    }

    @Test("FUA writes survive a power cut, what they overlap goes before them")
    func forcedUnitAccess() throws {
        let fixture = try fixture()
        #expect(fixture.write(1, lba: 0, blocks: 16) == nil)
        #expect(fixture.write(2, lba: 4, blocks: 8, forced: true) == nil)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 0)
        #expect(fixture.write(3, lba: 64, blocks: 1) == nil)
        #expect(fixture.card.powerCut() == 512)
        let expected = [UInt8](repeating: 1, count: 4) + Array(repeating: 2, count: 8) + Array(repeating: 1, count: 4)
        #expect(fixture.read(lba: 0, blocks: 16) == expected)
        #expect(fixture.read(lba: 64, blocks: 1) == [0])
    }

    @Test("zeroing and VERIFY find what the cache held")
    func otherCommands() throws {
        let fixture = try fixture()
        #expect(fixture.write(1, lba: 0, blocks: 16) == nil)
        #expect(fixture.execute(.writeZeroes16(lba: 3, blockCount: 4, unmap: false)).status == 0)
        #expect(fixture.read(lba: 2, blocks: 6) == [1, 0, 0, 0, 0, 1])
        #expect(fixture.write(2, lba: 1000, blocks: 1) == nil)
        // More pages than the cache holds.
        #expect(fixture.execute(.writeZeroes16(lba: 900, blockCount: 4000, unmap: true)).status == 0)
        #expect(fixture.read(lba: 999, blocks: 3) == [0, 0, 0])
        #expect(fixture.write(5, lba: 10, blocks: 16) == nil)
        var cdb = CommandDescriptorBlock(.verify10, byteCount: 10)
        cdb.store(UInt32(10), at: 2)
        cdb.store(UInt16(16), at: 7)
        cdb.bytes[1] = 0x02
        #expect(fixture.execute(cdb, byteCount: 8192, isWrite: true).status == 0)
    }

    @Test("writes wait for room, and long ones pass the cache by", arguments: [2, 3, 16, 64])
    func pressure(pages: Int) throws {
        let fixture = try fixture(byteCount: pages * 4096)
        for round in 0..<3 {
            // One batch of more than any of these caches holds, with holes.
            for index in 0..<48 {
                memset(fixture.data + index * 8192, Int32(round * 48 + index), 8192)
                let blocks = UInt32(1 + (index * 7 + round) % 16)
                fixture.post(
                    .transfer(isWrite: true, lba: UInt64(index * 17), blockCount: blocks, forceUnitAccess: false),
                    byteCount: Int(blocks) * 512, at: index * 8192, isWrite: true)
            }
            #expect(fixture.run(48).allSatisfy { $0.status == 0 })
            #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) <= UInt64(pages * 4096))
            for index in 0..<48 {
                let blocks = UInt32(1 + (index * 7 + round) % 16)
                let value = UInt8(round * 48 + index)
                #expect(
                    fixture.read(lba: UInt64(index * 17), blocks: blocks)
                        == Array(repeating: value, count: Int(blocks)))
            }
        }
        #expect(fixture.flush() == nil)
        #expect(fixture.write(200, lba: 0, blocks: UInt32(pages * 4 + 1)) == nil)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == 0)
        #expect(fixture.write(201, lba: 1, blocks: UInt32(pages * 4)) == nil)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) == UInt64(pages * 2048))
    }

    @Test("writes, flushes and reads of the same blocks in one batch")
    func batch() throws {
        let fixture = try fixture()
        for round in 0..<20 {
            memset(fixture.data, Int32(round * 2 + 1), 8192)
            memset(fixture.data + 8192, Int32(round * 2 + 2), 8192)
            #expect(fixture.transfer(true, lba: 3, blocks: 16).status == 0)
            fixture.post(.synchronizeCache10, tag: 1)
            fixture.post(
                .transfer(isWrite: true, lba: 3, blockCount: 16, forceUnitAccess: false), tag: 2, byteCount: 8192,
                at: 8192, isWrite: true)
            fixture.post(
                .transfer(isWrite: false, lba: 60, blockCount: 8, forceUnitAccess: false), tag: 3, byteCount: 4096,
                at: 16384)
            fixture.post(.synchronizeCache10, tag: 4)
            let answers = fixture.run(4)
            #expect(answers.allSatisfy { $0.status == 0 })
            #expect(Set(answers.map(\.tag)) == [1, 2, 3, 4])
            let value = UInt8(round * 2 + 2)
            #expect(fixture.read(lba: 3, blocks: 16) == Array(repeating: value, count: 16))
            // The write may have come after both flushes.
            let dropped = fixture.card.powerCut()
            #expect(dropped == 0 || dropped == 8192)
            #expect(fixture.read(lba: 3, blocks: 16) == Array(repeating: dropped == 0 ? value : value - 1, count: 16))
        }
    }

    @Test("a flush whose data a power cut drops fails")
    func powerCutDuringFlush() throws {
        let fixture = try fixture(byteCount: 1 << 20)
        for index in 0..<100 { #expect(fixture.write(1, lba: UInt64(index * 16), blocks: 8) == nil) }
        fixture.post(.synchronizeCache10, tag: 1)
        fixture.post(.testUnitReady, tag: 2)
        // The second command is answered while the first one waits.
        let card = fixture.card
        let dropped = Mutex<UInt64>(0)
        card.interruptHandler = { dropped.withLock { $0 += card.powerCut() } }
        let answers = fixture.run(2)
        card.interruptHandler = nil
        #expect(answers.map(\.tag) == [2, 1])
        #expect(fixture.sense(answers[1]) == .writeError)
        #expect(dropped.withLock { $0 } == 100 * 4096)
        // What was on its way has arrived.
        let left = (0..<100).filter { fixture.read(lba: UInt64($0 * 16), blocks: 8) == Array(repeating: 1, count: 8) }
        #expect(left.count == 16)
        #expect(fixture.flush() == nil)
    }

    @Test("a destage that fails keeps its data, and fails who needs it")
    func failingDestage() throws {
        let fixture = try fixture(.raid0)
        // The second chunk is on the second member.
        #expect(fixture.write(1, lba: 128, blocks: 10) == nil)
        #expect(fixture.write(2, lba: 0, blocks: 10) == nil)
        fixture.replacing(member: 1, with: "/dev/full", O_RDWR) {
            expectKept(fixture, failingWith: .spaceAllocationFailed)
            // Everything else goes on, through the room that is left.
            for index in 0..<200 {
                #expect(fixture.write(UInt8(index), lba: UInt64(index * 384 % 7680), blocks: 100) == nil)
            }
        }
        #expect(fixture.flush() == nil)
        #expect(fixture.card.powerCut() == 0)
        #expect(fixture.read(lba: 126, blocks: 14) == [0, 0] + Array(repeating: 1, count: 10) + [0, 0])
    }

    /// What cannot be destaged is kept, is read, and fails who needs it on a member.
    private func expectKept(_ fixture: CardFixture, failingWith error: SenseData) {
        #expect(fixture.flush() == error)
        #expect(fixture.write(3, lba: 130, blocks: 1, forced: true) == error)
        #expect(fixture.read(lba: 120, blocks: 16) == nil)
        #expect(fixture.read(lba: 128, blocks: 10) == Array(repeating: 1, count: 10))
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) >= 10 * 512)
    }

    @Test("a member that fails a destage ends writing to a RAID 0 array, and the cache keeps what it has")
    func destageThatFailsMember() throws {
        let fixture = try fixture(.raid0)
        #expect(fixture.write(1, lba: 128, blocks: 10) == nil)
        #expect(fixture.write(2, lba: 0, blocks: 10) == nil)
        fixture.replacing(member: 1, with: "/dev/null", O_RDONLY) { expectKept(fixture, failingWith: .writeError) }
        // The member would take them again. Nobody knows what it has lost meanwhile.
        #expect(fixture.flush() == .writeError)
        #expect(fixture.write(4, lba: 0, blocks: 1, forced: true) == .writeError)
        #expect(fixture.read(lba: 128, blocks: 10) == Array(repeating: 1, count: 10))
    }

    @Test("a cache full of what cannot be written refuses writes, and takes them again later")
    func fullOfFailures() throws {
        let fixture = try fixture(.raid0, byteCount: 16 * 4096)
        fixture.replacing(member: 1, with: "/dev/full", O_RDWR) {
            for page in 0..<16 { #expect(fixture.write(7, lba: UInt64(128 + page * 8), blocks: 8) == nil) }
            #expect(fixture.write(8, lba: 0, blocks: 1) == .spaceAllocationFailed)
            #expect(fixture.write(9, lba: 128, blocks: 4) == nil, "pages that are there take writes")
        }
        #expect(fixture.write(8, lba: 0, blocks: 1) == nil)
        #expect(fixture.flush() == nil)
        #expect(fixture.card.powerCut() == 0)
        #expect(fixture.read(lba: 126, blocks: 8) == [0, 0, 9, 9, 9, 9, 7, 7])
    }

    @Test("a RAID 5 member that fails during a destage costs nothing")
    func failingMember() throws {
        let fixture = try fixture()
        for chunk in 0..<3 { #expect(fixture.write(UInt8(chunk + 1), lba: UInt64(chunk * 128), blocks: 100) == nil) }
        fixture.replacing(member: 0, with: "/dev/null", O_RDONLY) {
            #expect(fixture.flush() == nil)
            #expect(fixture.card.powerCut() == 0)
            for chunk in 0..<3 {
                let expected = Array(repeating: UInt8(chunk + 1), count: 100)
                #expect(fixture.read(lba: UInt64(chunk * 128), blocks: 100) == expected)
            }
        }
    }
}
