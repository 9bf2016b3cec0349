import ArrayEngine
import ArrayStore
import Glibc
import HardwareBus
import MDFormat
import Members
import Platform
import RAID
import RAIDControllerInterface
import SCSI
import TestSupport
import TestTraits
import Testing

@testable import RAIDController

/// A card over an array in a temporary directory, driven through its registers as a driver would.
final class CardFixture {
    static let ringCapacity = 64
    let temporary: TemporaryDirectory
    var directory: String { temporary.path }
    let array: OpenedArray
    private let second: TemporaryDirectory?
    let arrayEngine: ArrayEngine
    let card: RAIDController
    let lane: Int
    let data: UnsafeMutableRawPointer
    let dataAddress: UInt64
    private let submissionAddress: DART.BusAddress
    private let completionAddress: DART.BusAddress
    private let memory = RingMemory(capacity: ringCapacity)
    private var rings: CardRingClient { memory.client }
    static let dataByteCount = 4 << 20

    /// - Parameter second: the level of a second array, if there is to be one.
    convenience init(
        level: RAIDLevel, members: Int, engine: MemberEngineKind = .threads, writeCacheByteCount: Int = 0,
        second: RAIDLevel? = nil, unitsPerTarget: Int = 1
    ) throws {
        let directories = try ([level] + (second.map { [$0] } ?? [])).map { level in
            let directory = TemporaryDirectory()
            _ = try ArrayStore.create(
                directory: directory.path,
                plan: ArrayStore.Plan(
                    level: level, memberCount: members, byteCount: 8 << 20, chunkByteCount: 65536, name: "card"),
                force: false)
            return directory
        }
        try self.init(
            opening: directories[0], second: directories.count > 1 ? directories[1] : nil,
            unitsPerTarget: unitsPerTarget, engine: engine, writeCacheByteCount: writeCacheByteCount)
    }

    /// A card over an array that is there, or two.
    init(
        opening temporary: TemporaryDirectory, second: TemporaryDirectory? = nil, unitsPerTarget: Int = 1,
        engine: MemberEngineKind = .threads,
        writeCacheByteCount: Int = 0
    ) throws {
        self.temporary = temporary
        array = try ArrayStore.open(directory: temporary.path, readOnly: false)
        self.second = second
        let arrays = try [array] + (second.map { [try ArrayStore.open(directory: $0.path, readOnly: false)] } ?? [])
        let dart = DART(windowCount: 8, reservedCount: 1)
        arrayEngine = try ArrayEngine(
            arrays: arrays, memberEngine: engine, laneCount: 4, requestCapacity: RAIDController.requestCapacity)
        card = RAIDController(
            engine: arrayEngine, unitsPerTarget: unitsPerTarget, dart: dart,
            writeCacheByteCount: writeCacheByteCount)
        lane = try card.makeLane()
        data = .allocate(byteCount: Self.dataByteCount, alignment: 4096)
        data.initializeMemory(as: UInt8.self, repeating: 0, count: Self.dataByteCount)
        dataAddress = dart.map(window: 0, memory: data, byteCount: Self.dataByteCount, deviceMayWrite: true)!
        submissionAddress = Self.map(memory.submissions, card)
        completionAddress = Self.map(memory.completions, card)
        enable()
    }

    /// Gives the card empty rings, as a driver does when it starts.
    func enable() {
        rings.enable(submissionAddress: submissionAddress, completionAddress: completionAddress) {
            card.writeRegister($0, $1)
        }
    }

    deinit {
        card.releaseLane(lane)
        data.deallocate()
    }

    private static func map(_ memory: UnsafeMutableRawBufferPointer, _ card: RAIDController) -> DART.BusAddress {
        let window = card.dart.claimWindow()!
        return card.dart.map(
            window: window, memory: memory.baseAddress!, byteCount: memory.count, deviceMayWrite: true)!
    }

    /// Posts a command; its data is in the data area at an offset.
    func post(
        _ cdb: CommandDescriptorBlock, tag: UInt32 = 1, byteCount: Int = 0, at offset: Int = 0, isWrite: Bool = false,
        target: UInt16 = 0, logicalUnit: UInt8 = 0, address: UInt64? = nil
    ) {
        var command = RAIDCommandDescriptor()
        command.tag = tag
        command.targetID = target
        command.logicalUnit = logicalUnit
        command.cdb = cdb.bytes
        command.cdbSize = cdb.byteCount
        command.dataAddress = address ?? dataAddress + UInt64(offset)
        command.dataByteCount = UInt64(byteCount)
        command.direction = byteCount == 0 ? 0 : isWrite ? 1 : 2
        rings.addCommand().pointee = command
    }

    /// Rings the doorbell and runs the card until so many commands are answered.
    func run(_ count: Int = 1) -> [RAIDCompletionDescriptor] {
        ring()
        var answers: [RAIDCompletionDescriptor] = []
        while answers.count < count {
            if !card.run(lane: lane) && card.hasOutstandingWork(lane: lane) {
                card.wait(lane: lane, orReadable: -1)
            }
            answers += takeAnswers()
        }
        return answers
    }

    /// Rings the doorbell.
    func ring() { rings.ringDoorbell { card.writeRegister($0, $1) } }

    /// Takes the answers that are in the completion ring.
    func takeAnswers() -> [RAIDCompletionDescriptor] { memory.taken() }

    func execute(
        _ cdb: CommandDescriptorBlock, byteCount: Int = 0, isWrite: Bool = false
    ) -> RAIDCompletionDescriptor {
        post(cdb, byteCount: byteCount, isWrite: isWrite)
        return run()[0]
    }

    func transfer(_ isWrite: Bool, lba: UInt64, blocks: UInt32) -> RAIDCompletionDescriptor {
        execute(
            .transfer(isWrite: isWrite, lba: lba, blockCount: blocks, forceUnitAccess: false),
            byteCount: Int(blocks) * 512, isWrite: isWrite)
    }
}

@Suite("The RAID controller card", .blocks)
struct RAIDControllerTests {
    private func sense(_ completion: RAIDCompletionDescriptor) -> SenseData? {
        completion.status == SCSIStatus.checkCondition.rawValue
            ? SenseData(parsing: completion.sense, byteCount: Int(completion.senseByteCount)) : nil
    }

    @Test("what was written is read, in one batch of commands", arguments: [RAIDLevel.raid0, .raid5])
    func batch(level: RAIDLevel) throws {
        let fixture = try CardFixture(level: level, members: 3, engine: MemberEngineKind.detect())
        for index in 0..<32 {
            memset(fixture.data + index * 8192, Int32(index + 1), 8192)
            fixture.post(
                .transfer(isWrite: true, lba: UInt64(index * 40), blockCount: 16, forceUnitAccess: index % 8 == 0),
                tag: UInt32(index), byteCount: 8192, at: index * 8192, isWrite: true)
        }
        let written = fixture.run(32)
        #expect(Set(written.map(\.tag)) == Set(0..<32))
        #expect(written.allSatisfy { $0.status == 0 && $0.dataByteCount == 8192 && $0.transportError == 0 })
        memset(fixture.data, 0, 32 * 8192)
        for index in 0..<32 {
            fixture.post(
                .transfer(isWrite: false, lba: UInt64(index * 40), blockCount: 16, forceUnitAccess: false),
                tag: UInt32(index), byteCount: 8192, at: index * 8192)
        }
        _ = fixture.run(32)
        for index in 0..<32 {
            let data = UnsafeRawBufferPointer(start: fixture.data + index * 8192, count: 8192)
            #expect(data.allSatisfy { $0 == UInt8(index + 1) }, "block \(index)")
        }
    }

    @Test("a member that fails under way is recorded, and its data comes out of parity")
    func failingMember() throws {
        let fixture = try CardFixture(level: .raid5, members: 4)
        memset(fixture.data, 0x77, 3 * 65536)
        #expect(fixture.transfer(true, lba: 0, blocks: 384).status == 0)
        // Reads behind the end of a file that was cut short are failures.
        truncate("\(fixture.directory)/member-1.img", 8192)
        memset(fixture.data, 0, 3 * 65536)
        #expect(fixture.transfer(false, lba: 0, blocks: 384).status == 0)
        #expect(UnsafeRawBufferPointer(start: fixture.data, count: 3 * 65536).allSatisfy { $0 == 0x77 })
        memset(fixture.data, 0x66, 3 * 65536)
        #expect(fixture.transfer(true, lba: 64, blocks: 384).status == 0)
        memset(fixture.data, 0, 3 * 65536)
        #expect(fixture.transfer(false, lba: 64, blocks: 384).status == 0)
        #expect(UnsafeRawBufferPointer(start: fixture.data, count: 3 * 65536).allSatisfy { $0 == 0x66 })
        truncate("\(fixture.directory)/member-1.img", off_t(fixture.array.members[1]!.store.byteCount))
        let status = try ArrayStore.examine(directory: fixture.directory)
        #expect(status.members.contains { $0.state == "failed" && $0.path?.hasSuffix("member-1.img") == true })
        // One more is too many.
        truncate("\(fixture.directory)/member-2.img", 8192)
        #expect(sense(fixture.transfer(false, lba: 0, blocks: 384)) == .unrecoveredReadError)
    }

    @Test("a RAID 0 member that fails is a medium error")
    func failingRAID0() throws {
        let fixture = try CardFixture(level: .raid0, members: 2)
        truncate("\(fixture.directory)/member-1.img", 8192)
        #expect(sense(fixture.transfer(false, lba: 0, blocks: 256)) == .unrecoveredReadError)
        // What the other one holds can still be read, and nothing be written that would only be done in part.
        #expect(fixture.transfer(false, lba: 0, blocks: 8).status == 0)
        #expect(fixture.array.health == .failed)
        #expect(sense(fixture.transfer(true, lba: 0, blocks: 8)) == .writeError)
        #expect(fixture.execute(.synchronizeCache10).status != 0)
    }

    @Test("zeroed ranges read as zeros and give their space back")
    func zeroing() throws {
        let fixture = try CardFixture(level: .raid5, members: 3)
        memset(fixture.data, 5, 2 << 20)
        #expect(fixture.transfer(true, lba: 0, blocks: 4096).status == 0)
        var before = stat()
        stat("\(fixture.directory)/member-0.img", &before)
        #expect(fixture.execute(.writeZeroes16(lba: 3, blockCount: 4000, unmap: true)).status == 0)
        #expect(fixture.execute(.synchronizeCache10).status == 0)
        var after = stat()
        stat("\(fixture.directory)/member-0.img", &after)
        // A third of 2 MiB of data and parity, but for the two stripes at the edges.
        #expect(before.st_blocks - after.st_blocks >= ((1 << 20) - 2 * 65536) / 512)
        #expect(fixture.transfer(false, lba: 0, blocks: 4096).status == 0)
        let data = UnsafeRawBufferPointer(start: fixture.data, count: 2 << 20)
        for (index, byte) in data.enumerated() {
            let expected: UInt8 = (3 * 512..<4003 * 512).contains(index) ? 0 : 5
            guard byte == expected else {
                Issue.record("byte \(index) is \(byte)")
                return
            }
        }
    }

    @Test("VERIFY reads, and compares when it is asked to")
    func verify() throws {
        let fixture = try CardFixture(level: .raid5, members: 3)
        memset(fixture.data, 5, 8192)
        #expect(fixture.transfer(true, lba: 10, blocks: 16).status == 0)
        var cdb = CommandDescriptorBlock(.verify10, byteCount: 10)
        cdb.store(UInt32(10), at: 2)
        cdb.store(UInt16(16), at: 7)
        #expect(fixture.execute(cdb).status == 0)
        cdb.bytes[1] = 0x02
        #expect(fixture.execute(cdb, byteCount: 8192, isWrite: true).status == 0)
        memset(fixture.data + 8191, 6, 1)
        #expect(sense(fixture.execute(cdb, byteCount: 8192, isWrite: true)) == .miscompare)
    }

    @Test("VERIFY of large ranges takes little memory of the card, however many there are", arguments: [0, 1 << 20])
    func verifyBudget(cacheByteCount: Int) throws {
        let fixture = try CardFixture(level: .raid5, members: 3, writeCacheByteCount: cacheByteCount)
        let blocks = 4096
        memset(fixture.data, 5, blocks * 512)
        #expect(fixture.transfer(true, lba: 0, blocks: UInt32(blocks)).status == 0)
        var cdb = CommandDescriptorBlock(.verify10, byteCount: 10)
        cdb.store(UInt16(blocks), at: 7)
        cdb.bytes[1] = 0x02
        let count = CardFixture.ringCapacity - 4
        for _ in 0..<count { fixture.post(cdb, byteCount: blocks * 512, isWrite: true) }
        let completions = fixture.run(count)
        #expect(completions.count == count && completions.allSatisfy { $0.status == 0 })
        let used = fixture.card.unit(target: 0, logicalUnit: 0)!.verifyMemory.byteCount
        #expect(used > 0 && used <= 1 << 20, "\(used) bytes")
        // The last byte of the last piece counts, and the piece is free again after each kind of end.
        memset(fixture.data + blocks * 512 - 1, 6, 1)
        for _ in 0..<8 {
            #expect(sense(fixture.execute(cdb, byteCount: blocks * 512, isWrite: true)) == .miscompare)
        }
        memset(fixture.data + blocks * 512 - 1, 5, 1)
        #expect(fixture.execute(cdb, byteCount: blocks * 512, isWrite: true).status == 0)
    }

    @Test("memory that is not mapped, and targets that do not exist, are transport errors")
    func unreachable() throws {
        let fixture = try CardFixture(level: .raid5, members: 3)
        let read = CommandDescriptorBlock.transfer(isWrite: false, lba: 0, blockCount: 8, forceUnitAccess: false)
        fixture.post(read, byteCount: 4096, target: 9)
        fixture.post(read, byteCount: 4096, address: 0xDEAD_0000_0000)
        fixture.post(read, byteCount: 4096, at: CardFixture.dataByteCount - 512)
        #expect(fixture.run(3).allSatisfy { $0.transportError == 1 })
        #expect(!fixture.card.dart.isPinned(window: 0))
    }
}
