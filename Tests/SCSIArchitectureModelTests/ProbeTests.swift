import ParallelInterface
import SCSI
import SCSIArchitectureModel
import Testing

@Suite("The start-up sequence of a target")
struct ProbeTests {
    /// Probes a disk; returns what was thrown, if anything was.
    private func probe(_ transport: ScriptedTransport) throws -> (disk: BlockCommandsDevice, error: ProbeError?) {
        let disk = try BlockCommandsDevice(transport: transport, address: UnitAddress(targetID: 3))
        do {
            try disk.probe()
            return (disk, nil)
        } catch let error as ProbeError {
            return (disk, error)
        }
    }

    @Test("the commands, in order, each with 10 s")
    func sequence() throws {
        let transport = try ScriptedTransport()
        _ = try probe(transport)
        #expect(
            transport.sent.indices.map(transport.command) == [
                "00 00 00 00 00 00", "12 00 00 00 06 00", "12 00 00 00 60 00", "a0 00 00 00 00 00 00 00 00 10 00 00",
                "00 00 00 00 00 00", "12 01 00 00 fc 00", "12 01 80 00 fc 00", "12 01 83 00 fc 00",
                "12 01 b0 00 fc 00", "12 01 b2 00 fc 00", "1a 00 3f 00 04 00", "1a 00 08 00 40 00",
                "25 00 00 00 00 00 00 00 00 00", "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
            ])
        #expect(transport.sent.allSatisfy { $0.timeoutMilliseconds == 10_000 && $0.targetID == 3 })
    }

    @Test("the first logical unit is asked for the others, and none of the others is")
    func logicalUnits() throws {
        let transport = try ScriptedTransport { $0.unitCount = 3 }
        #expect(try probe(transport).disk.reportedUnits == [0, 1, 2])
        let lists = transport.sent.indices.map(transport.command).filter { $0.hasPrefix("a0") }
        #expect(lists == ["a0 00 00 00 00 00 00 00 00 10 00 00", "a0 00 00 00 00 00 00 00 00 20 00 00"])
        transport.forget()
        let second = try BlockCommandsDevice(
            transport: transport, address: UnitAddress(targetID: 3, logicalUnit: 2))
        try second.probe()
        #expect(second.reportedUnits == [] && second.medium.blockCount == 1 << 20)
        #expect(!transport.names.contains("REPORT LUNS"))
        #expect(transport.sent.allSatisfy { $0.logicalUnit == 2 && $0.targetID == 3 })
        let absent = try BlockCommandsDevice(
            transport: transport, address: UnitAddress(targetID: 3, logicalUnit: 3))
        let error = #expect(throws: ProbeError.self) { try absent.probe() }
        #expect(error?.description == "target 3 LUN 3 is not a disk")
    }

    @Test("what the disk says of itself is kept")
    func traits() throws {
        let transport = try ScriptedTransport {
            $0.isReadOnly = true
            $0.isWriteCacheEnabled = false
            $0.maximumUnmapBlocks = 77
            $0.maximumWriteSameBlocks = 99
        }
        let disk = try probe(transport).disk
        #expect(disk.inquiry?.vendor == "NBDEXT")
        #expect(disk.inquiry?.product == "RAID")
        #expect(disk.medium.blockCount == 1 << 20)
        #expect(disk.medium.blockByteCount == 512)
        #expect(disk.medium.serialNumber == "S-1")
        #expect(disk.medium.isWriteProtected && !disk.medium.isWriteCacheEnabled)
        #expect(disk.medium.supportsForceUnitAccess && disk.medium.supportsUnmap)
        #expect(disk.medium.maximumUnmapBlocks == 77)
        #expect(disk.medium.maximumWriteSameBlocks == 99)
    }

    @Test("the 16-byte capacity is asked only for a disk that unmaps or that is large")
    func capacity() throws {
        let small = try ScriptedTransport { $0.supportsUnmap = false }
        #expect(try probe(small).disk.medium.blockCount == 1 << 20)
        #expect(!small.names.contains("READ CAPACITY(16)"))
        let large = try ScriptedTransport {
            $0.supportsUnmap = false
            $0.blockCount = 1 << 33
        }
        #expect(try probe(large).disk.medium.blockCount == 1 << 33)
    }

    @Test("a capacity that no client can address is refused", arguments: [1 << 54, 1 << 55, UInt64.max - 1])
    func tooLarge(blockCount: UInt64) throws {
        let transport = try ScriptedTransport { $0.blockCount = blockCount }
        let (_, error) = try probe(transport)
        #expect(error?.description.contains("no client can address more than") == true, "\(String(describing: error))")
        let largest = try ScriptedTransport { $0.blockCount = UInt64(Int64.max) / 512 }
        #expect(try probe(largest).error == nil)
    }

    @Test("a limit of 0 forbids UNMAP, and does not limit WRITE SAME")
    func zeroLimits() throws {
        let transport = try ScriptedTransport {
            $0.maximumUnmapBlocks = 0
            $0.maximumWriteSameBlocks = 0
        }
        let medium = try probe(transport).disk.medium
        #expect(!medium.supportsUnmap)
        #expect(medium.maximumWriteSameBlocks == UInt64(UInt32.max))
    }

    @Test("a disk may refuse the pages that say more about it")
    func optionalPages() throws {
        let transport = try ScriptedTransport()
        transport.refused = [[0x1A, 0x3F], [0x1A, 0x08], [0x12, 0xB0]]
        let (disk, error) = try probe(transport)
        #expect(error == nil)
        #expect(disk.medium.blockCount == 1 << 20)
        #expect(!disk.medium.isWriteCacheEnabled && !disk.medium.isWriteProtected && !disk.medium.supportsUnmap)
    }

    @Test("a disk that is not ready is waited for, and started when it asks for that")
    func notReady() throws {
        let transport = try ScriptedTransport()
        let answered: [Outcome?] = [nil, nil, nil, nil]
        transport.script =
            answered + [
                .sense(.powerOnOccurred), .sense(.becomingReady),
                .sense(SenseData(.notReady, AdditionalSenseCode(0x04, 0x02))),
            ]
        #expect(try probe(transport).error == nil)
        let loop = transport.names[4...].prefix { $0 != "INQUIRY" }
        let ready = "TEST UNIT READY"
        #expect(Array(loop) == [ready, ready, ready, "START STOP UNIT", ready])
    }

    @Test("busy, undelivered and unit attention answers are asked again, and missing sense data is fetched")
    func passingFailures() throws {
        let transport = try ScriptedTransport()
        transport.pendingSense = .powerOnOccurred
        transport.script = [
            nil, .busy, .undelivered(5), .sense(.powerOnOccurred), .checkConditionWithoutSense, nil, nil,
        ]
        #expect(try probe(transport).error == nil)
        #expect(
            transport.names.prefix(8) == [
                "TEST UNIT READY", "INQUIRY", "INQUIRY", "INQUIRY", "INQUIRY", "REQUEST SENSE", "INQUIRY", "INQUIRY",
            ])
    }

    @Test("an absent target is not asked twice", arguments: [UInt8(3), 4])
    func absent(status: UInt8) throws {
        let transport = try ScriptedTransport()
        transport.script = [.undelivered(status)]
        let error = try #require(try probe(transport).error)
        #expect(error.command == .testUnitReady)
        #expect(error.description.contains("TEST UNIT READY") && error.description.contains("task status \(status)"))
        #expect(transport.sent.count == 1)
    }

    @Test("a command that goes on failing ends the probe")
    func bounded() throws {
        let transport = try ScriptedTransport()
        transport.script = Array(repeating: .undelivered(5), count: 100)
        #expect(try probe(transport).error?.command == .testUnitReady)
        #expect(transport.sent.count == 8)
        let attentive = try ScriptedTransport()
        attentive.script = [nil] + Array(repeating: .sense(.powerOnOccurred), count: 100)
        #expect(try probe(attentive).error?.description.contains("unit attentions") == true)
        #expect(attentive.sent.count == 9)
    }

    @Test("a refused command is named, with its sense data")
    func refused() throws {
        let transport = try ScriptedTransport()
        transport.refused = [[0x25, 0x00]]
        let error = try #require(try probe(transport).error)
        #expect(error.command == .readCapacity10)
        #expect(error.sense == .invalidFieldInCDB)
        #expect(
            error.description.contains("READ CAPACITY(10)")
                && error.description.contains("05/24/00 (ILLEGAL REQUEST, INVALID FIELD IN CDB)"))
    }
}
