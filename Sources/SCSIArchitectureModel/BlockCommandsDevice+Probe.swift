import Glibc
import ParallelInterface
import Platform
import SCSI

/// Why a target did not become a disk.
package struct ProbeError: Error, CustomStringConvertible {
    /// What was sent, and what came back.
    package let description: String
}

/// The start-up sequence of a target: what it is, whether it is ready, and how large.
extension BlockCommandsDevice {
    private static let timeout: UInt32 = 10_000
    /// A disk may say "becoming ready" for that long.
    private static let readyAttempts = 225
    private static let readyPauseMicroseconds: UInt32 = 200_000

    /// Identifies the target and reads its capacity, mode pages and limits, with real commands.
    /// - Throws: when a command fails that every disk must answer.
    package func probe() throws {
        let lane = try transport.makeLane()
        defer { transport.releaseLane(lane) }
        guard let memory = transport.arena.allocate(byteCount: 4096) else {
            throw ProbeError(description: "the data arena has no room for the probe of target \(targetID)")
        }
        defer { transport.arena.free(memory) }
        let prober = Prober(device: self, lane: lane, memory: memory)
        let inquiry = try identify(prober)
        try waitUntilReady(prober)
        var medium = MediumData()
        try readPages(prober, &medium)
        try readModes(prober, &medium)
        try readCapacity(prober, &medium)
        setProbeResult(inquiry, medium)
    }

    private func identify(_ prober: Prober) throws -> InquiryData {
        _ = try prober.execute(.testUnitReady)
        let header = InquiryData(try prober.read(.inquiry(allocationLength: 6), 6))
        let length = UInt16(header.additionalLength) + 5
        let inquiry = InquiryData(try prober.read(.inquiry(allocationLength: length), Int(length)))
        guard inquiry.isConnected, inquiry.deviceType == 0 else {
            throw ProbeError(description: "target \(targetID) is not a disk")
        }
        let units = try prober.read(.reportLUNs(allocationLength: 16), 16)
        guard units.load(0, as: UInt32.self) >= 8 else {
            throw ProbeError(description: "target \(targetID) has no logical unit")
        }
        return inquiry
    }

    private func waitUntilReady(_ prober: Prober) throws {
        for _ in 0..<Self.readyAttempts {
            switch try prober.execute(.testUnitReady) {
            case .good: return
            case .sense(let sense) where sense == .becomingReady: usleep(Self.readyPauseMicroseconds)
            case .sense(let sense) where sense.key == SenseData.keyUnitAttention: continue
            case .sense(let sense) where sense.key == SenseData.keyNotReady:
                _ = try prober.execute(.startStopUnit(start: true))
            case .sense(let sense):
                throw ProbeError(description: "target \(targetID) is not ready: sense \(sense)")
            }
        }
        throw ProbeError(description: "target \(targetID) did not become ready in 45 s")
    }

    private func readPages(_ prober: Prober, _ medium: inout MediumData) throws {
        let list = try prober.page(0x00)
        let pages = Set((0..<Int(list.load(2, as: UInt16.self))).map { list[4 + $0] })
        if pages.contains(0x80) { medium.unitSerialNumber(try prober.page(0x80)) }
        if pages.contains(0x83) { _ = try prober.page(0x83) }
        if pages.contains(0xB0) { medium.blockLimits(try prober.page(0xB0)) }
        if pages.contains(0xB2) { medium.provisioning(try prober.page(0xB2)) }
    }

    private func readModes(_ prober: Prober, _ medium: inout MediumData) throws {
        medium.modeHeader6(try prober.read(.modeSense6(page: 0x3F, allocationLength: 4), 4))
        medium.cachingPage6(try prober.read(.modeSense6(page: 0x08, allocationLength: 64), 64))
    }

    private func readCapacity(_ prober: Prober, _ medium: inout MediumData) throws {
        let fits = medium.readCapacity10(try prober.read(.readCapacity10, 8))
        if !fits || medium.supportsUnmap {
            medium.readCapacity16(try prober.read(.readCapacity16(allocationLength: 32), 32))
        }
        guard medium.blockByteCount == 512, medium.blockCount > 0 else {
            throw ProbeError(
                description: "target \(targetID) has blocks of \(medium.blockByteCount) bytes; only 512 are supported")
        }
    }
}

/// Sends commands one at a time and waits for each.
private struct Prober {
    enum Outcome {
        case good
        case sense(SenseData)
    }

    let device: BlockCommandsDevice
    let lane: Int
    let memory: UnsafeMutableRawBufferPointer

    func execute(_ cdb: CommandDescriptorBlock, readCount: Int = 0) throws -> Outcome {
        let transport = device.transport
        let row = UInt32(lane * transport.rowsPerLane)
        device.setTask(
            row, cdb, readCount > 0 ? .targetToInitiator : .none, memory.baseAddress, UInt64(readCount),
            timeout: 10_000)
        device.probeAnswered = Event()
        device.probeRow = row
        withUnsafePointer(to: row) { transport.submit(UnsafeBufferPointer(start: $0, count: 1), lane: lane) }
        while transport.hasOutstandingWork(lane: lane) { transport.wait(lane: lane, orReadable: -1) }
        device.probeAnswered.wait()
        device.probeRow = .max
        let task = transport.tasks[Int(row)]
        guard task.serviceResponse == 2 else {
            throw ProbeError(
                description: "target \(device.targetID) did not answer \(name(of: cdb)): "
                    + "task status \(task.taskStatus)")
        }
        if task.taskStatus == 0 { return .good }
        return .sense(SenseData(parsing: task.sense, byteCount: Int(task.senseByteCount)) ?? .none)
    }

    /// Executes a command that every disk must answer, and gives what it sent.
    func read(_ cdb: CommandDescriptorBlock, _ count: Int) throws -> DeviceData {
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        // A unit attention is reported once.
        for _ in 0..<3 {
            switch try execute(cdb, readCount: count) {
            case .good: return DeviceData(UnsafeRawBufferPointer(rebasing: memory[..<count]))
            case .sense(let sense) where sense.key == SenseData.keyUnitAttention: continue
            case .sense(let sense):
                throw ProbeError(
                    description:
                        "target \(device.targetID) refused \(name(of: cdb)): sense \(sense), CDB \(cdb.description)")
            }
        }
        throw ProbeError(description: "target \(device.targetID) keeps reporting unit attentions")
    }

    /// A vital product data page.
    func page(_ page: UInt8) throws -> DeviceData {
        try read(.inquiry(page: page, allocationLength: 252), 252)
    }

    private func name(of cdb: CommandDescriptorBlock) -> String {
        OperationCode.name(of: cdb.operationCode) ?? "operation \(cdb.operationCode)"
    }
}
