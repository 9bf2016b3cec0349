import Glibc
import HardwareBus
import MDFormat
import Members
import Platform
import RAID
import RAIDController
import RAIDControllerInterface
import SCSI
import TestTraits
import Testing

/// What the card does with memory that a driver maps, takes away, or should not have named.
@Suite("The memory of commands", .blocks)
struct CommandMemoryTests {
    private static var engines: [MemberEngineKind] {
        MemberEngineKind.detect() == .uring ? [.uring, .threads] : [.threads]
    }

    /// A mapping that is gone when nobody refers to it: whoever touches it then crashes.
    private final class Block: Sendable {
        static let byteCount = 1 << 20
        nonisolated(unsafe) let memory: UnsafeMutableRawPointer
        private let gone: OneShotEvent

        init(_ protection: Int32 = PROT_READ | PROT_WRITE, gone: OneShotEvent = OneShotEvent()) {
            memory = mmap(nil, Self.byteCount, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            self.gone = gone
        }

        deinit {
            munmap(memory, Self.byteCount)
            gone.set()
        }
    }

    private func map(_ block: Block, in fixture: CardFixture, window: Int) -> UInt64? {
        fixture.card.mapDMA(
            window: window, memory: UnsafeMutableRawBufferPointer(start: block.memory, count: Block.byteCount),
            owner: block, sharedID: 0)
    }

    private func sense(_ completion: RAIDCompletionDescriptor) -> SenseData? {
        completion.status == SCSIStatus.checkCondition.rawValue
            ? SenseData(parsing: completion.sense, byteCount: Int(completion.senseByteCount)) : nil
    }

    private func read(_ fixture: CardFixture, at address: UInt64, tag: UInt32 = 1, lba: UInt64 = 0) {
        fixture.post(
            .transfer(isWrite: false, lba: lba, blockCount: 512, forceUnitAccess: false), tag: tag,
            byteCount: 512 * 512, address: address)
    }

    @Test("memory that a driver takes away stays until the card has done what it had begun", arguments: engines)
    func unmapped(engine: MemberEngineKind) throws {
        let fixture = try CardFixture(level: .raid5, members: 3, engine: engine)
        memset(fixture.data, 7, 1 << 20)
        #expect(fixture.transfer(true, lba: 0, blocks: 2048).status == 0)
        let window = try #require(fixture.card.claimDMAWindow())
        let gone = OneShotEvent()
        var block: Block? = Block(gone: gone)
        let address = try #require(map(block!, in: fixture, window: window))
        for tag in 0..<4 { read(fixture, at: address + UInt64(tag) << 18, tag: UInt32(tag), lba: UInt64(tag) * 512) }
        fixture.ring()
        fixture.card.unmapDMA(window: window)
        block = nil
        // Nor does another block come in its place.
        let other = Block()
        #expect(map(other, in: fixture, window: window) == nil)
        #expect(!gone.isSet)
        #expect(fixture.run(4).allSatisfy { $0.status == 0 && $0.transportError == 0 })
        #expect(gone.isSet && fixture.card.dart.isFree(window: window))
        read(fixture, at: address)
        #expect(fixture.run()[0].transportError == 1)
        #expect(map(other, in: fixture, window: window) == address)
        read(fixture, at: address)
        #expect(fixture.run()[0].status == 0)
        #expect(UnsafeRawBufferPointer(start: other.memory, count: 1 << 18).allSatisfy { $0 == 7 })
        fixture.card.unmapDMA(window: window)
    }

    @Test("a card that is reset lets go of the memory of commands that it has not taken, and of its rings")
    func reset() throws {
        let fixture = try CardFixture(level: .raid5, members: 3)
        let window = try #require(fixture.card.claimDMAWindow())
        let gone = OneShotEvent()
        var block: Block? = Block(gone: gone)
        let address = try #require(map(block!, in: fixture, window: window))
        block = nil
        read(fixture, at: address)
        fixture.ring()
        let isRingHeld = (1...2).map { fixture.card.dart.isPinned(window: $0) }
        #expect(isRingHeld == [true, true])
        fixture.card.unmapDMA(window: window)
        #expect(!gone.isSet)
        fixture.card.reset()
        #expect(gone.isSet && !(1...2).contains { fixture.card.dart.isPinned(window: $0) })
    }

    @Test("rings in a task's memory are not believed: the task would never end")
    func ringsOfTask() throws {
        let fixture = try CardFixture(level: .raid5, members: 3)
        let address = fixture.dataAddress
        fixture.card.writeRegister(RAIDControllerRegister.completionBaseLow, UInt32(truncatingIfNeeded: address))
        fixture.card.writeRegister(
            RAIDControllerRegister.completionBaseLow + 4, UInt32(truncatingIfNeeded: address >> 32))
        fixture.card.writeRegister(RAIDControllerRegister.control, RAIDControllerRegister.controlEnable)
        #expect(!fixture.card.dart.isPinned(window: 0))
        fixture.post(.testUnitReady)
        fixture.ring()
        #expect(!fixture.card.run(lane: fixture.lane))
    }

    @Test("a command's own direction counts, and not what the driver says of it")
    func direction() throws {
        let fixture = try CardFixture(level: .raid5, members: 3)
        let window = try #require(fixture.card.claimDMAWindow())
        let block = Block()
        memset(block.memory, 0xEE, Block.byteCount)
        let address = try #require(
            fixture.card.dart.map(
                window: window, memory: block.memory, byteCount: Block.byteCount, deviceMayWrite: false, owner: block))
        for cdb in [
            CommandDescriptorBlock.transfer(isWrite: false, lba: 0, blockCount: 8, forceUnitAccess: false),
            .inquiry(allocationLength: 96), .readCapacity10,
        ] {
            fixture.post(cdb, byteCount: 4096, isWrite: true, address: address)
            #expect(fixture.run()[0].transportError == 1)
        }
        #expect(UnsafeRawBufferPointer(start: block.memory, count: 4096).allSatisfy { $0 == 0xEE })
        let write = CommandDescriptorBlock.transfer(isWrite: true, lba: 0, blockCount: 8, forceUnitAccess: false)
        fixture.post(write, byteCount: 4096, isWrite: true, address: address)
        #expect(fixture.run()[0].status == 0)
        fixture.card.unmapDMA(window: window)
    }

    @Test("the bytes that commands have filled are counted, those of commands that have failed are not")
    func filledBytes() throws {
        let fixture = try CardFixture(level: .raid0, members: 2)
        var before = fixture.card.dart.filledByteCount(window: 0)
        func filled() -> UInt64 {
            defer { before = fixture.card.dart.filledByteCount(window: 0) }
            return (fixture.card.dart.filledByteCount(window: 0) &- before) & DART.filledByteCountMax
        }
        #expect(fixture.transfer(true, lba: 0, blocks: 512).status == 0)
        #expect(filled() == 0)
        #expect(fixture.transfer(false, lba: 0, blocks: 512).status == 0)
        #expect(filled() == 512 * 512)
        #expect(fixture.execute(.inquiry(allocationLength: 36), byteCount: 512).status == 0)
        #expect(filled() == 36)
        #expect(fixture.transfer(false, lba: .max, blocks: 8).status == 2)
        truncate("\(fixture.directory)/member-1.img", 8192)
        #expect(fixture.transfer(false, lba: 0, blocks: 512).status == 2)
        #expect(filled() == 0)
        // Beyond the counter's end.
        for _ in 0..<600 { _ = fixture.transfer(false, lba: 0, blocks: 8) }
        #expect(filled() == 600 * 4096)
    }

    @Test("memory that cannot be written to fails its commands, and no member", arguments: engines)
    func unusable(engine: MemberEngineKind) throws {
        for level in [RAIDLevel.raid0, .raid5] {
            let fixture = try CardFixture(level: level, members: 3, engine: engine)
            let window = try #require(fixture.card.claimDMAWindow())
            let block = Block(PROT_READ)
            let address = try #require(map(block, in: fixture, window: window))
            for tag in 0..<8 { read(fixture, at: address, tag: UInt32(tag), lba: UInt64(tag) * 512) }
            #expect(fixture.run(8).allSatisfy { sense($0) == .unrecoveredReadError })
            #expect(fixture.array.health == .clean)
            #expect(fixture.transfer(true, lba: 0, blocks: 512).status == 0)
            #expect(fixture.transfer(false, lba: 0, blocks: 512).status == 0)
            fixture.card.unmapDMA(window: window)
        }
    }
}
