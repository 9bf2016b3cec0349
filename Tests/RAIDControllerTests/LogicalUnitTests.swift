import ArrayStore
import Glibc
import RAID
import RAIDController
import RAIDControllerInterface
import SCSI
import TestTraits
import Testing

@Suite("A target with several logical units", .blocks)
struct LogicalUnitTests {
    private func sense(_ completion: RAIDCompletionDescriptor) -> SenseData? {
        completion.status == SCSIStatus.checkCondition.rawValue
            ? SenseData(parsing: completion.sense, byteCount: Int(completion.senseByteCount)) : nil
    }

    /// Sends a command to a logical unit and waits for the answer.
    private func execute(
        _ fixture: CardFixture, _ cdb: CommandDescriptorBlock, unit: UInt8, target: UInt16 = 0, byteCount: Int = 0,
        isWrite: Bool = false
    ) -> RAIDCompletionDescriptor {
        fixture.post(cdb, byteCount: byteCount, isWrite: isWrite, target: target, logicalUnit: unit)
        return fixture.run()[0]
    }

    private func transfer(_ fixture: CardFixture, _ isWrite: Bool, unit: UInt8) -> RAIDCompletionDescriptor {
        execute(
            fixture, .transfer(isWrite: isWrite, lba: 0, blockCount: 256, forceUnitAccess: false), unit: unit,
            byteCount: 131_072, isWrite: isWrite)
    }

    @Test("each unit is an array of its own, with and without a write cache", arguments: [0, 1 << 20])
    func separation(cacheByteCount: Int) throws {
        let fixture = try CardFixture(
            level: .raid5, members: 3, writeCacheByteCount: cacheByteCount, second: .raid0, unitsPerTarget: 2)
        #expect(fixture.card.readRegister(RAIDControllerRegister.targetCount) == 1)
        #expect(fixture.card.readRegister(RAIDControllerRegister.logicalUnitCount) == 2)
        for unit: UInt8 in [0, 1] {
            memset(fixture.data, Int32(unit) + 0x41, 131_072)
            #expect(transfer(fixture, true, unit: unit).status == 0)
        }
        #expect((fixture.card.dirtyByteCount(target: 0, logicalUnit: 1) > 0) == (cacheByteCount > 0))
        for unit: UInt8 in [0, 1] {
            memset(fixture.data, 0, 131_072)
            #expect(transfer(fixture, false, unit: unit).status == 0)
            let data = UnsafeRawBufferPointer(start: fixture.data, count: 131_072)
            #expect(data.allSatisfy { $0 == unit + 0x41 }, "unit \(unit)")
        }
        #expect(execute(fixture, .synchronizeCache10, unit: 1).status == 0)
        #expect(fixture.card.dirtyByteCount(target: 0, logicalUnit: 1) == 0)
        #expect((fixture.card.dirtyByteCount(target: 0, logicalUnit: 0) > 0) == (cacheByteCount > 0))
        let snapshots = [fixture.card.snapshot(array: 0), fixture.card.snapshot(array: 1)]
        #expect(snapshots.map(\.level) == [5, 0])
        #expect(snapshots.map(\.target) == [0, 0] && snapshots.map(\.logicalUnit) == [0, 1])
    }

    @Test("the units are listed; one that is absent and a target that is absent are refused each in its way")
    func absence() throws {
        let fixture = try CardFixture(level: .raid5, members: 3, second: .raid0, unitsPerTarget: 2)
        for unit: UInt8 in [0, 1, 7] {
            let answer = execute(fixture, .reportLUNs(allocationLength: 64), unit: unit, byteCount: 64)
            #expect(answer.status == 0 && answer.dataByteCount == 24)
            let list = UnsafeRawBufferPointer(start: fixture.data, count: 24)
            #expect(list[3] == 16 && list[9] == 0 && list[17] == 1)
        }
        for unit: UInt8 in [2, 3, 255] {
            #expect(sense(transfer(fixture, false, unit: unit)) == .logicalUnitNotSupported)
            #expect(sense(transfer(fixture, true, unit: unit)) == .logicalUnitNotSupported)
            #expect(execute(fixture, .inquiry(allocationLength: 96), unit: unit, byteCount: 96).status == 0)
            #expect(fixture.data.load(as: UInt8.self) == 0x7F)
        }
        let elsewhere = execute(fixture, .testUnitReady, unit: 1, target: 1)
        #expect(elsewhere.transportError == 1)
    }

    @Test("arrays that do not share a target have one unit each")
    func ownTargets() throws {
        let fixture = try CardFixture(level: .raid5, members: 3, second: .raid0)
        #expect(fixture.card.readRegister(RAIDControllerRegister.targetCount) == 2)
        #expect(fixture.card.readRegister(RAIDControllerRegister.logicalUnitCount) == 1)
        #expect(execute(fixture, .testUnitReady, unit: 0, target: 1).status == 0)
        #expect(sense(execute(fixture, .testUnitReady, unit: 1, target: 1)) == .logicalUnitNotSupported)
        #expect(sense(transfer(fixture, false, unit: 1)) == .logicalUnitNotSupported)
    }
}
