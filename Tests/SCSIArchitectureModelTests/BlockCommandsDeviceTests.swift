import SCSI
import SCSIArchitectureModel
import Testing

@Suite("A disk's commands")
struct BlockCommandsDeviceTests {
    @Test("reads and writes take the short form where it fits")
    func transfers() throws {
        let fixture = try DiskFixture { $0.blockCount = 1 << 40 }
        let buffer = fixture.transport.arena.base
        var forced = BlockStage(taskIndex: 1, operation: .write, lba: 0xFFFF_FFFF, blockCount: 1, buffer: buffer)
        forced.forceUnitAccess = true
        fixture.submit(
            BlockStage(taskIndex: 0, operation: .read, lba: 0x0102_0304, blockCount: 2, buffer: buffer), forced,
            BlockStage(taskIndex: 2, operation: .write, lba: 0x1_0000_0000, blockCount: 2, buffer: buffer))
        #expect(fixture.transport.command(0) == "28 00 01 02 03 04 00 00 02 00")
        #expect(fixture.transport.command(1) == "2a 08 ff ff ff ff 00 00 01 00")
        #expect(fixture.transport.command(2) == "8a 00 00 00 00 01 00 00 00 00 00 00 00 02 00 00")
        let sent = fixture.transport.sent
        #expect(sent.map(\.direction) == [.targetToInitiator, .initiatorToTarget, .initiatorToTarget])
        #expect(sent.map(\.requestedTransferCount) == [1024, 512, 1024])
        #expect(sent.allSatisfy { $0.timeoutMilliseconds == 30_000 && $0.targetID == 3 && $0.buffer == buffer })
    }

    @Test("a count above 65535 takes the long form")
    func longCount() throws {
        let fixture = try DiskFixture()
        // The script answers, so the disk does not look for that much memory.
        fixture.transport.script = [Outcome()]
        fixture.submit(
            BlockStage(taskIndex: 0, operation: .read, blockCount: 65536, buffer: fixture.transport.arena.base))
        #expect(fixture.transport.command(0) == "88 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00")
    }

    @Test("an unmap carries one descriptor, each task its own")
    func unmap() throws {
        let fixture = try DiskFixture()
        fixture.submit(
            BlockStage(taskIndex: 0, operation: .unmap, lba: 0x1234, blockCount: 5),
            BlockStage(taskIndex: 1, operation: .unmap, lba: 8, blockCount: 9))
        #expect(fixture.transport.command(0) == "42 00 00 00 00 00 00 00 18 00")
        let head: [UInt8] = [0, 22, 0, 16, 0, 0, 0, 0]
        #expect(
            fixture.transport.parameterLists == [
                head + [0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 0],
                head + [0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0],
            ])
        #expect(fixture.recorder.completions.map(\.error) == [.none, .none])
    }

    @Test("zeroes give space back only where the stage and the disk allow it")
    func zeroes() throws {
        var stage = BlockStage(taskIndex: 0, operation: .zero, lba: 16, blockCount: 8)
        let fixture = try DiskFixture()
        fixture.submit(stage)
        stage.mayUnmap = true
        fixture.submit(stage)
        #expect(fixture.transport.command(0) == "93 01 00 00 00 00 00 00 00 10 00 00 00 08 00 00")
        #expect(fixture.transport.command(1) == "93 09 00 00 00 00 00 00 00 10 00 00 00 08 00 00")
        let thick = try DiskFixture { $0.supportsUnmap = false }
        thick.submit(stage)
        #expect(thick.transport.command(0) == "93 01 00 00 00 00 00 00 00 10 00 00 00 08 00 00")
    }

    @Test("a flush covers the whole medium, and is not needed without a write cache")
    func flush() throws {
        let fixture = try DiskFixture()
        fixture.submit(BlockStage(taskIndex: 0, operation: .flush))
        #expect(fixture.transport.command(0) == "35 00 00 00 00 00 00 00 00 00")
        let through = try DiskFixture { $0.isWriteCacheEnabled = false }
        #expect(fixture.disk.needsFlush)
        #expect(!through.disk.needsFlush)
    }

    @Test("a batch goes down, and its outcome up, in one call; what must be sent again, in one more")
    func batches() throws {
        let fixture = try DiskFixture()
        let buffer = fixture.transport.arena.base
        fixture.transport.script = [nil, .busy, nil, .busy]
        fixture.submit((0..<4).map { BlockStage(taskIndex: $0, operation: .read, blockCount: 1, buffer: buffer) })
        #expect(fixture.transport.submissionSizes == [4, 2])
        let batches: [[UInt32]] = fixture.recorder.batches.map { $0.map(\.taskIndex).sorted() }
        #expect(Set(batches) == [[0, 2], [1, 3]])
    }
}

@Suite("Outcomes of a disk's commands")
struct OutcomeTests {
    /// An outcome that ends a stage, and with what.
    struct Ending: Sendable, CustomTestStringConvertible {
        var response: UInt8 = 2
        var status: UInt8 = 2
        var sense: SenseData?
        var error: BlockError
        var testDescription: String { "\(response) \(status) \(sense?.description ?? "-")" }
    }

    private static let endings = [
        Ending(sense: .spaceAllocationFailed, error: .noSpace), Ending(sense: .writeProtected, error: .readOnly),
        Ending(sense: SenseData(.dataProtect, AdditionalSenseCode(0x27, 0x02)), error: .readOnly),
        Ending(sense: .invalidOperationCode, error: .notSupported),
        Ending(sense: .logicalBlockAddressOutOfRange, error: .invalid),
        Ending(sense: .invalidFieldInCDB, error: .inputOutput),
        Ending(sense: .unrecoveredReadError, error: .inputOutput), Ending(sense: .writeError, error: .inputOutput),
        // RESERVATION CONFLICT; and the number of CONDITION MET, which means "device not present" here.
        Ending(status: 0x18, error: .inputOutput), Ending(response: 1, status: 4, error: .inputOutput),
    ]

    @Test("what another try cannot mend is reported at once", arguments: endings)
    func final(ending: Ending) throws {
        let fixture = try DiskFixture()
        fixture.read(ending: Outcome(response: ending.response, status: ending.status, sense: ending.sense))
        #expect(fixture.transport.sent.count == 1)
        #expect(fixture.recorder.completions.map(\.error) == [ending.error])
        #expect(fixture.recorder.completions[0].byteCount == 0)
    }

    private static let passing = [
        // Status 2 with a delivery failure is a time-out of the protocol, not CHECK CONDITION.
        Ending(response: 1, status: 2, error: .none), Ending(response: 1, status: 1, error: .none),
        Ending(response: 1, status: 5, error: .none), Ending(response: 1, status: 0xFF, error: .none),
        Ending(status: 0x08, error: .none), Ending(status: 0x28, error: .none), Ending(status: 0x40, error: .none),
        Ending(sense: .powerOnOccurred, error: .none), Ending(sense: SenseData(.abortedCommand, .none), error: .none),
        Ending(sense: SenseData(.hardwareError, AdditionalSenseCode(0x44, 0)), error: .none),
        Ending(sense: .becomingReady, error: .none),
    ]

    @Test("what may pass is tried again, five times in all", arguments: passing)
    func retried(ending: Ending) throws {
        let outcome = Outcome(response: ending.response, status: ending.status, sense: ending.sense)
        let fixture = try DiskFixture()
        fixture.read(ending: outcome, outcome, outcome, outcome)
        #expect(fixture.transport.sent.count == 5)
        #expect(fixture.recorder.completions.map(\.error) == [.none])
        let hopeless = try DiskFixture()
        hopeless.read(ending: outcome, outcome, outcome, outcome, outcome, outcome)
        #expect(hopeless.transport.sent.count == 5)
        #expect(hopeless.recorder.completions.map(\.error) == [.inputOutput])
    }

    @Test("the tries of one stage do not count for the task's next")
    func attemptsAreForgotten() throws {
        let fixture = try DiskFixture()
        for _ in 0..<3 { fixture.read(ending: .busy, .busy, .busy, .busy) }
        #expect(fixture.recorder.completions.map(\.error) == [.none, .none, .none])
    }

    @Test("a short transfer reports its bytes")
    func residual() throws {
        let fixture = try DiskFixture()
        fixture.read(ending: Outcome(realizedTransferCount: 512))
        #expect(fixture.recorder.completions.map(\.byteCount) == [512])
        #expect(fixture.recorder.completions.map(\.error) == [.none])
    }

    @Test("a recovered error is a success when all bytes moved, and is tried again otherwise")
    func recovered() throws {
        let recovered = SenseData(.recoveredError, AdditionalSenseCode(0x17, 1))
        let fixture = try DiskFixture()
        fixture.read(ending: .sense(recovered))
        #expect(fixture.recorder.completions.map(\.byteCount) == [1024])
        #expect(fixture.transport.sent.count == 1)
        fixture.read(ending: Outcome(status: 2, sense: recovered, realizedTransferCount: 512))
        #expect(fixture.transport.sent.count == 3)
        #expect(fixture.recorder.completions.map(\.byteCount) == [1024, 1024])
    }

    @Test("missing sense data is fetched, and decides")
    func fetchedSense() throws {
        let fixture = try DiskFixture()
        fixture.transport.pendingSense = .spaceAllocationFailed
        fixture.read(ending: .checkConditionWithoutSense)
        #expect(fixture.transport.names == ["READ(10)", "REQUEST SENSE"])
        #expect(fixture.recorder.completions.map(\.error) == [.noSpace])
        fixture.transport.pendingSense = SenseData(.recoveredError, AdditionalSenseCode(0x17, 1))
        fixture.read(ending: .checkConditionWithoutSense)
        #expect(fixture.recorder.completions.map(\.byteCount) == [0, 1024])
    }

    @Test("a command whose fetched sense data is a passing condition is sent again as it was")
    func resentAfterSense() throws {
        let fixture = try DiskFixture()
        fixture.transport.pendingSense = .powerOnOccurred
        fixture.transport.script = [.checkConditionWithoutSense]
        fixture.submit(BlockStage(taskIndex: 0, operation: .unmap, lba: 5, blockCount: 6))
        #expect(fixture.transport.names == ["UNMAP", "REQUEST SENSE", "UNMAP"])
        #expect(fixture.transport.parameterLists[0] == fixture.transport.parameterLists[2])
        #expect(fixture.transport.command(0) == fixture.transport.command(2))
        #expect(fixture.recorder.completions.map(\.error) == [.none])
    }

    @Test("sense data that cannot be had costs a try")
    func senseNeverComes() throws {
        let fixture = try DiskFixture()
        fixture.transport.script = Array(repeating: .checkConditionWithoutSense, count: 100)
        fixture.submit(BlockStage(taskIndex: 0, operation: .read, blockCount: 1, buffer: fixture.transport.arena.base))
        #expect(fixture.transport.sent.count == 10)
        #expect(fixture.recorder.completions.map(\.error) == [.inputOutput])
    }
}
