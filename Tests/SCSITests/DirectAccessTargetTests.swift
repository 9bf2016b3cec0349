import Platform
import SCSI
import Testing

@Suite("The SCSI disk")
struct DirectAccessTargetTests {
    private let target: DirectAccessTarget = {
        var traits = DiskTraits()
        traits.blockCount = 1000
        traits.serialNumber = "SERIAL"
        traits.identifier = Array(1...16)
        traits.optimalTransferBlocks = 384
        return DirectAccessTarget(traits: traits)
    }()

    /// Sends a command with a buffer of that size.
    private func send(
        _ cdb: CommandDescriptorBlock, to target: DirectAccessTarget? = nil, data: [UInt8] = [], room: Int = 0,
        logicalUnit: UInt8 = 0
    ) -> (TargetAction, [UInt8]) {
        var buffer = data + Array(repeating: 0xEE, count: room)
        let action = buffer.withUnsafeMutableBytes {
            (target ?? self.target).action(for: cdb, logicalUnit: logicalUnit, data: $0)
        }
        return (action, buffer)
    }

    private func sense(_ action: TargetAction) -> SenseData? {
        if case .checkCondition(let sense) = action { sense } else { nil }
    }

    private func respondedCount(_ action: TargetAction) -> Int? {
        if case .respond(let count) = action { count } else { nil }
    }

    @Test("READ and WRITE of every length name the same range")
    func transfers() {
        for (byteCount, read, write) in [
            (6, OperationCode.read6, OperationCode.write6), (10, .read10, .write10), (12, .read12, .write12),
            (16, .read16, .write16),
        ] {
            for isWrite in [false, true] {
                var cdb = CommandDescriptorBlock(isWrite ? write : read, byteCount: UInt8(byteCount))
                switch byteCount {
                case 6:
                    cdb.bytes[3] = 100
                    cdb.bytes[4] = 3
                case 10:
                    cdb.store(UInt32(100), at: 2)
                    cdb.store(UInt16(3), at: 7)
                case 12:
                    cdb.store(UInt32(100), at: 2)
                    cdb.store(UInt32(3), at: 6)
                default:
                    cdb.store(UInt64(100), at: 2)
                    cdb.store(UInt32(3), at: 10)
                }
                switch send(cdb, room: 1536).0 {
                case .read(100, 3): #expect(!isWrite)
                case .write(100, 3, false): #expect(isWrite)
                default: Issue.record("\(cdb.description)")
                }
            }
        }
        var zero = CommandDescriptorBlock(.read6, byteCount: 6)
        zero.bytes[4] = 0
        if case .read(0, 256) = send(zero, room: 256 * 512).0 {} else { Issue.record("READ(6) of 0 is 256 blocks") }
    }

    @Test("the initiator's commands come back as they were meant", arguments: 1...100)
    func roundTrip(seed: UInt64) {
        var traits = DiskTraits()
        traits.blockCount = 1 << 40
        let large = DirectAccessTarget(traits: traits)
        var random = SeededGenerator(seed: seed)
        let lba = UInt64(random.below(2) == 0 ? random.below(1 << 32) : random.below(1 << 39))
        let count = UInt32(1 + random.below(2) * 65535 + random.below(100))
        let forced = random.below(2) == 0
        let cdb = CommandDescriptorBlock.transfer(isWrite: true, lba: lba, blockCount: count, forceUnitAccess: forced)
        #expect(cdb.byteCount == (lba <= UInt64(UInt32.max) && count <= 65535 ? 10 : 16))
        let action = large.action(
            for: cdb, logicalUnit: 0,
            data: UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(bitPattern: 4096), count: Int(count) * 512))
        if case .write(lba, UInt64(count), forced) = action {} else { Issue.record("seed \(seed): \(cdb.description)") }
    }

    @Test("every refusal has its sense data")
    func refusals() {
        func check(
            _ cdb: CommandDescriptorBlock, _ expected: SenseData, data: [UInt8] = [], room: Int = 0, unit: UInt8 = 0,
            line: Int = #line
        ) {
            #expect(sense(send(cdb, data: data, room: room, logicalUnit: unit).0) == expected, "line \(line)")
        }
        func read(_ lba: UInt64, _ count: UInt32) -> CommandDescriptorBlock {
            .transfer(isWrite: false, lba: lba, blockCount: count, forceUnitAccess: false)
        }
        check(CommandDescriptorBlock(OperationCode(rawValue: 0xFF), byteCount: 10), .invalidOperationCode)
        check(read(999, 2), .logicalBlockAddressOutOfRange, room: 1024)
        check(read(.max, 1), .logicalBlockAddressOutOfRange, room: 512)
        check(read(0, 2), .invalidFieldInCDB, room: 512)
        check(read(0, 1), .logicalUnitNotSupported, room: 512, unit: 1)
        var protected = read(0, 1)
        protected.bytes[1] = 0x20
        check(protected, .invalidFieldInCDB, room: 512)
        check(
            .inquiry(page: VitalProductDataPage(rawValue: 0xC0), allocationLength: 255), .invalidFieldInCDB, room: 255)
        var pageWithoutBit = CommandDescriptorBlock.inquiry(allocationLength: 36)
        pageWithoutBit.bytes[2] = 0x80
        check(pageWithoutBit, .invalidFieldInCDB, room: 36)
        check(.modeSense6(page: ModePage(rawValue: 0x2A), allocationLength: 64), .invalidFieldInCDB, room: 64)
        var savedValues = CommandDescriptorBlock.modeSense6(page: .caching, allocationLength: 64)
        savedValues.bytes[2] |= 0xC0
        check(savedValues, .savingParametersNotSupported, room: 64)
        check(.reportLUNs(allocationLength: 8), .invalidFieldInCDB, room: 8)
        check(.writeZeroes16(lba: 0, blockCount: 0, unmap: true), .invalidFieldInCDB)
        check(.writeZeroes16(lba: 999, blockCount: 2, unmap: true), .logicalBlockAddressOutOfRange)
        check(.unmap(parameterListLength: 4), .parameterListLengthError, room: 4)
        check(.unmap(parameterListLength: 24), .parameterListLengthError, room: 8)
        var twoDescriptors = [UInt8](repeating: 0, count: 40)
        twoDescriptors[3] = 32
        check(.unmap(parameterListLength: 40), .invalidFieldInParameterList, data: twoDescriptors)
    }

    @Test("a read-only disk refuses what would change it, and says so in its mode header")
    func readOnly() {
        var traits = DiskTraits()
        traits.blockCount = 10
        traits.isReadOnly = true
        let target = DirectAccessTarget(traits: traits)
        let write = CommandDescriptorBlock.transfer(isWrite: true, lba: 0, blockCount: 1, forceUnitAccess: false)
        #expect(sense(send(write, to: target, room: 512).0) == .writeProtected)
        #expect(sense(send(.writeZeroes16(lba: 0, blockCount: 1, unmap: true), to: target).0) == .writeProtected)
        #expect(sense(send(.unmap(parameterListLength: 24), to: target, room: 24).0) == .writeProtected)
        let (_, data) = send(.modeSense6(page: .all, allocationLength: 4), to: target, room: 4)
        #expect(data[2] & 0x80 != 0)
    }

    @Test("WRITE SAME takes zeros only; UNMAP takes one descriptor")
    func zeroing() {
        if case .zero(5, 7, true) = send(.writeZeroes16(lba: 5, blockCount: 7, unmap: true)).0 {
        } else {
            Issue.record("NDOB")
        }
        var withData = CommandDescriptorBlock.writeZeroes16(lba: 5, blockCount: 7, unmap: false)
        withData.bytes[1] = 0
        if case .zero(5, 7, false) = send(withData, data: Array(repeating: 0, count: 512)).0 {
        } else {
            Issue.record("zeros")
        }
        #expect(sense(send(withData, data: Array(repeating: 1, count: 512)).0) == .invalidFieldInCDB)
        let list: [UInt8] = [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0]
        if case .zero(256, 9, true) = send(.unmap(parameterListLength: 24), data: list).0 {
        } else {
            Issue.record("UNMAP")
        }
    }

    @Test("identification pages")
    func inquiry() {
        let (action, data) = send(.inquiry(allocationLength: 96), room: 96)
        #expect(respondedCount(action) == 96)
        let inquiry = data.withUnsafeBytes { InquiryData(DeviceData($0)) }
        #expect(inquiry.vendor == "NBDEXT" && inquiry.product == "RAID" && inquiry.deviceType == 0)
        #expect(
            inquiry.supportsQueuing && inquiry.version == 6 && !inquiry.isRemovable && inquiry.additionalLength == 91)
        #expect(respondedCount(send(.inquiry(allocationLength: 6), room: 96).0) == 6)
        let (_, absent) = send(.inquiry(allocationLength: 96), room: 96, logicalUnit: 3)
        #expect(absent[0] == 0x7F)
        let (pages, list) = send(.inquiry(page: .supportedPages, allocationLength: 255), room: 255)
        #expect(respondedCount(pages) == 10)
        #expect(Array(list[..<10]) == [0, 0, 0, 6, 0, 0x80, 0x83, 0xB0, 0xB1, 0xB2])
        let (_, serial) = send(.inquiry(page: .unitSerialNumber, allocationLength: 255), room: 255)
        #expect(Array(serial[..<10]) == [0, 0x80, 0, 6] + Array("SERIAL".utf8))
        let (_, identification) = send(.inquiry(page: .deviceIdentification, allocationLength: 255), room: 255)
        #expect(Array(identification[8..<14]) == Array("NBDEXT".utf8))
        #expect(Array(identification[54..<70]) == Array(1...16))
        #expect(Int(identification[3]) == 66)
    }

    @Test("a target lists its logical units, and one that it does not have says so", arguments: [1, 2, 3, 62])
    func logicalUnits(count: UInt8) throws {
        var traits = target.traits
        traits.unitCount = count
        let unit = DirectAccessTarget(traits: traits)
        let (action, data) = send(.reportLUNs(allocationLength: 2048), to: unit, room: 2048, logicalUnit: count - 1)
        let byteCount = try #require(respondedCount(action))
        let list = data.withUnsafeBytes {
            LogicalUnitList(DeviceData(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])))
        }
        #expect(byteCount == 8 + 8 * Int(count) && list.byteCount == byteCount)
        #expect(list.units == Array(0..<count))
        let cut = data.withUnsafeBytes { LogicalUnitList(DeviceData(UnsafeRawBufferPointer(rebasing: $0[..<16]))) }
        #expect(cut.byteCount == byteCount && cut.units == [0])
        #expect(respondedCount(send(.readCapacity10, to: unit, room: 8, logicalUnit: count - 1).0) == 8)
        for cdb in [CommandDescriptorBlock.readCapacity10, .testUnitReady, .synchronizeCache10] {
            #expect(sense(send(cdb, to: unit, room: 8, logicalUnit: count).0) == .logicalUnitNotSupported)
        }
        #expect(send(.inquiry(allocationLength: 96), to: unit, room: 96, logicalUnit: count).1[0] == 0x7F)
        let (_, present) = send(.inquiry(allocationLength: 96), to: unit, room: 96, logicalUnit: count - 1)
        #expect(present[0] == 0)
    }

    @Test("logical units that are addressed in other ways are left out")
    func otherAddressing() {
        let bytes: [UInt8] = [0, 0, 0, 24, 0, 0, 0, 0] + [0, 1, 0, 0, 0, 0, 0, 0] + [0x40, 2, 0, 0, 0, 0, 0, 0]
        let list = (bytes + [0, 3, 0, 0, 0, 0, 0, 0]).withUnsafeBytes { LogicalUnitList(DeviceData($0)) }
        #expect(list.units == [1, 3])
    }

    @Test("capacity, limits and mode pages are read back as they were meant")
    func medium() {
        var medium = MediumData()
        func read(_ cdb: CommandDescriptorBlock, _ body: (DeviceData) -> Void) {
            let (action, data) = send(cdb, room: 255)
            guard let count = respondedCount(action) else {
                Issue.record("\(cdb.description)")
                return
            }
            data.withUnsafeBytes { body(DeviceData(UnsafeRawBufferPointer(rebasing: $0[..<count]))) }
        }
        var fits = false
        read(.readCapacity10) { fits = medium.readCapacity10($0) }
        #expect(fits)
        #expect(medium.blockCount == 1000 && medium.blockByteCount == 512)
        read(.readCapacity16(allocationLength: 32)) { medium.readCapacity16($0) }
        #expect(medium.blockCount == 1000 && medium.isProvisioned)
        read(.inquiry(page: .blockLimits, allocationLength: 64)) { medium.blockLimits($0) }
        #expect(medium.optimalTransferBlocks == 384 && medium.maximumUnmapBlocks == .max)
        read(.inquiry(page: .logicalBlockProvisioning, allocationLength: 64)) { medium.provisioning($0) }
        #expect(medium.supportsUnmap && medium.supportsUnmappingWriteSame)
        read(.modeSense6(page: .all, allocationLength: 4)) { medium.modeHeader6($0) }
        #expect(medium.supportsForceUnitAccess && !medium.isWriteProtected)
        read(.modeSense6(page: .caching, allocationLength: 64)) { medium.cachingPage6($0) }
        #expect(medium.isWriteCacheEnabled)
        var huge = DiskTraits()
        huge.blockCount = 1 << 33
        let (_, data) = send(.readCapacity10, to: DirectAccessTarget(traits: huge), room: 8)
        #expect(Array(data[..<4]) == [0xFF, 0xFF, 0xFF, 0xFF])
    }

    @Test("sense data survives both formats")
    func senseFormats() {
        let sense = SenseData.spaceAllocationFailed
        #expect(SenseData(parsing: sense.fixedFormat, byteCount: 18) == sense)
        var descriptor = InlineArray<32, UInt8>(repeating: 0)
        descriptor[0] = 0x72
        descriptor[1] = 7
        descriptor[2] = 0x27
        descriptor[3] = 7
        #expect(SenseData(parsing: descriptor, byteCount: 8) == sense)
        #expect(SenseData(parsing: descriptor, byteCount: 2) == nil)
        #expect(SenseData(parsing: .init(repeating: 0), byteCount: 18) == nil)
        #expect(sense.description == "07/27/07 (DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT)")
    }

    @Test("random command blocks never trap", arguments: 1...20)
    func randomBlocks(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let codes: [UInt8] = [
            0x00, 0x03, 0x08, 0x0A, 0x12, 0x1A, 0x25, 0x28, 0x2A, 0x2F, 0x35, 0x42, 0x5A, 0x88, 0x8A, 0x8F, 0x91, 0x93,
            0x9E, 0xA0, 0xA8,
        ]
        for _ in 0..<2000 {
            var cdb = CommandDescriptorBlock(
                OperationCode(rawValue: codes[random.below(codes.count)]), byteCount: [6, 10, 12, 16][random.below(4)])
            for index in 1..<16 where random.below(2) == 0 { cdb.bytes[index] = UInt8(random.below(256)) }
            let action = send(cdb, room: random.below(300), logicalUnit: UInt8(random.below(2))).0
            if case .respond(let count) = action { #expect(count <= 300, "seed \(seed)") }
        }
    }
}
