import SCSI
import Testing

@Suite("Names of SCSI's codes")
struct NameTests {
    @Test("no two codes have the same name, and all codes that a disk executes have one")
    func unique() {
        let operations = (0...UInt8.max).compactMap { OperationCode(rawValue: $0).name }
        #expect(operations.count >= 60 && Set(operations).count == operations.count)
        let pages = (0...UInt8.max).compactMap { VitalProductDataPage(rawValue: $0).name }
        #expect(pages.count >= 18 && Set(pages).count == pages.count)
        let modes = (0...UInt8.max).compactMap { ModePage(rawValue: $0).name }
        #expect(modes.count >= 10 && Set(modes).count == modes.count)
        let keys = (0...UInt8(15)).compactMap { SenseKey(rawValue: $0)?.description }
        #expect(Set(keys).count == 16)
        var codes: [String] = []
        for code in 0...UInt8.max {
            for qualifier in 0...UInt8.max {
                if let name = AdditionalSenseCode(code, qualifier).name { codes.append(name) }
            }
        }
        #expect(codes.count >= 60 && Set(codes).count == codes.count)
        var traits = DiskTraits()
        traits.blockCount = 8
        let disk = DirectAccessTarget(traits: traits)
        for code in 0...UInt8.max {
            let operation = OperationCode(rawValue: code)
            let cdb = CommandDescriptorBlock(operation, byteCount: 6)
            let action = disk.action(
                for: cdb, logicalUnit: 0, data: UnsafeMutableRawBufferPointer(start: nil, count: 0))
            if case .checkCondition(.invalidOperationCode) = action { continue }
            #expect(operation.name != nil, "\(operation) is executed")
        }
    }

    @Test(
        "known codes have the standards' names",
        arguments: [
            ("READ(16)", OperationCode.read16.description),
            ("COMPARE AND WRITE", OperationCode.compareAndWrite.description),
            ("operation C1h", OperationCode(rawValue: 0xC1).description),
            ("TASK SET FULL", SCSIStatus(rawValue: 0x28).description),
            ("status 55h", SCSIStatus(rawValue: 0x55).description),
            ("05/20/00 (ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE)", SenseData.invalidOperationCode.description),
            ("04/80/01 (HARDWARE ERROR)", SenseData(.hardwareError, AdditionalSenseCode(0x80, 1)).description),
            ("Block Limits (B0h)", VitalProductDataPage(rawValue: 0xB0).description),
            ("B9h", VitalProductDataPage(rawValue: 0xB9).description), ("Caching (08h)", ModePage.caching.description),
        ])
    func names(expected: String, name: String) { #expect(name == expected) }

    @Test("a command is named by its service action, and summed up with its page")
    func commands() {
        #expect(CommandDescriptorBlock.readCapacity16(allocationLength: 32).name == "READ CAPACITY(16)")
        var status = CommandDescriptorBlock(.serviceActionIn16, byteCount: 16)
        status.bytes[1] = ServiceAction.getLBAStatus.rawValue
        #expect(status.name == "GET LBA STATUS")
        status.bytes[1] = 0x1F
        #expect(status.name == "SERVICE ACTION IN(16)")
        let page = CommandDescriptorBlock.inquiry(page: .blockLimits, allocationLength: 64)
        #expect(page.summary == "INQUIRY of page Block Limits (B0h)")
        #expect(CommandDescriptorBlock.inquiry(allocationLength: 36).summary == "INQUIRY")
        let mode = CommandDescriptorBlock.modeSense6(page: .all, allocationLength: 4)
        #expect(mode.summary == "MODE SENSE(6) of page All Pages (3Fh)")
    }
}

@Suite("Ranges and parameter lists")
struct BlockRangeTests {
    @Test("a range that leaves 64 bits is cut, and lies in no medium")
    func overflow() {
        var cdb = CommandDescriptorBlock(.read16, byteCount: 16)
        cdb.store(UInt64.max - 3, at: 2)
        cdb.store(UInt32(8), at: 10)
        #expect(cdb.blockRange.blocks == UInt64.max - 3..<UInt64.max)
        #expect(!cdb.blockRange.isInside(mediumBlockCount: .max))
        #expect(BlockRange(lba: 8, blockCount: 2).isInside(mediumBlockCount: 10))
        #expect(!BlockRange(lba: 9, blockCount: 2).isInside(mediumBlockCount: 10))
    }

    @Test("an UNMAP list is read back as it was written")
    func unmapList() throws {
        var bytes = [UInt8](repeating: 0xEE, count: UnmapParameterList.byteCount)
        bytes.withUnsafeMutableBytes {
            UnmapParameterList.store(lba: 0x0102_0304_0506_0708, blockCount: 0x1122_3344, to: $0.baseAddress!)
        }
        #expect(
            bytes == [0, 22, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0])
        let list = try #require(bytes.withUnsafeBytes { UnmapParameterList(parsing: $0) })
        #expect(list.descriptorDataLength == 16)
        #expect(list.range == BlockRange(lba: 0x0102_0304_0506_0708, blockCount: 0x1122_3344))
        let header = bytes.prefix(23).withUnsafeBytes { UnmapParameterList(parsing: $0) }
        #expect(header?.descriptorDataLength == 16 && header?.range == nil)
        #expect(bytes.prefix(7).withUnsafeBytes { UnmapParameterList(parsing: $0) } == nil)
    }
}
