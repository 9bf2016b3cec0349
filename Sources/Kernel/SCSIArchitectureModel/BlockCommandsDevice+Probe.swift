import Glibc
import ParallelInterface
import Platform
import SCSI

/// The reason why a target did not become a disk.
package struct ProbeError: Error, CustomStringConvertible {
    /// The kinds of failure.
    package enum Cause: Sendable {
        /// The target's answer is not that of a usable disk.
        case answer
        /// The driver answered that it could not deliver a command.
        case notDelivered
        /// The kernel half ended a command and has reported why.
        case ended
        /// The target reported "becoming ready" until the time was up.
        case notReady
        /// The driver blocks its own completions.
        case waitBroken
    }

    /// The command and its answer, in one sentence.
    package let description: String
    /// The command that failed, if one did.
    package var command: CommandDescriptorBlock?
    /// The target's sense data for `command`, if it gave any.
    package var sense: SenseData?
    /// The kind of failure.
    package var cause = Cause.answer
}

/// The start-up sequence of a target: its type, its readiness and its capacity.
extension BlockCommandsDevice {
    private static let readyPauseMilliseconds = 200
    /// Byte offsets are positive numbers of 64 bits (NBD; off_t).
    private static let blockCountMax = UInt64(Int64.max) / 512

    /// Identifies the target and reads its capacity, mode pages and limits, with real commands. Blocks.
    /// - Throws: `ProbeError` if a command fails that every disk must answer, or if the arena is full; `makeLane`'s
    ///   error.
    package func probe() throws {
        try withProber { prober in
            let inquiry = try identify(prober)
            try waitUntilReady(prober)
            var medium = MediumData()
            try readPages(prober, &medium)
            try readModes(prober, &medium)
            try readCapacity(prober, &medium)
            setProbeResult(inquiry, medium)
        }
    }

    /// Asks the disk for its capacity once more, while it is in use: a medium came or went. Blocks.
    /// - Returns: the number of blocks; nil when there is no medium.
    /// - Throws: as `probe`.
    package func probeMedium() throws -> UInt64? {
        try withProber { prober in
            guard try prober.hasMedium() else { return nil }
            var medium = MediumData()
            try readCapacity(prober, &medium)
            return medium.blockCount
        }
    }

    /// Lends a lane and memory for commands.
    private func withProber<Result>(_ body: (Prober) throws -> Result) throws -> Result {
        let lane = try transport.makeLane()
        defer { transport.releaseLane(lane) }
        guard let memory = transport.arena.allocate(byteCount: 4096) else {
            throw ProbeError(description: "the data arena has no room for the probe of \(address)")
        }
        defer { transport.arena.free(memory) }
        return try body(Prober(device: self, lane: lane, memory: memory))
    }

    private func identify(_ prober: Prober) throws -> InquiryData {
        // Any answer proves that there is a target.
        _ = try prober.answer(to: .testUnitReady)
        let header = InquiryData(try prober.read(.inquiry(allocationLength: 6), 6))
        let length = UInt16(header.additionalLength) + 5
        let inquiry = InquiryData(try prober.read(.inquiry(allocationLength: length), Int(length)))
        guard inquiry.isConnected, inquiry.deviceType == 0 else {
            throw ProbeError(description: "\(address) is not a disk")
        }
        if address.logicalUnit == 0 { reportedUnits = try readUnits(prober) }
        return inquiry
    }

    /// Asks for one logical unit first, and for all if there are more.
    private func readUnits(_ prober: Prober) throws -> [UInt8] {
        func read(_ byteCount: Int) throws -> LogicalUnitList {
            LogicalUnitList(try prober.read(.reportLUNs(allocationLength: UInt32(byteCount)), byteCount))
        }
        var list = try read(LogicalUnitList.headerByteCount + 8)
        guard list.byteCount >= LogicalUnitList.headerByteCount + 8 else {
            throw ProbeError(description: "\(address) has no logical unit")
        }
        if list.byteCount > LogicalUnitList.headerByteCount + 8 {
            list = try read(min(list.byteCount, Prober.senseOffset))
        }
        return list.units
    }

    private func waitUntilReady(_ prober: Prober) throws {
        for _ in 0..<max(1, readyMilliseconds / Self.readyPauseMilliseconds) {
            switch try prober.execute(.testUnitReady) {
            case .good: return
            case .sense(let sense) where sense.key == .unitAttention: continue
            case .sense(let sense) where sense.key == .notReady:
                if sense != .becomingReady { _ = try prober.execute(.startStopUnit(start: true)) }
            case .sense(let sense):
                throw ProbeError(
                    description: "\(address) is not ready: sense \(sense)", command: .testUnitReady,
                    sense: sense)
            case .noAnswer: break
            }
            usleep(UInt32(Self.readyPauseMilliseconds) * 1000)
        }
        throw ProbeError(
            description: "\(address) did not become ready in \(readyMilliseconds / 1000) s",
            command: .testUnitReady, cause: .notReady)
    }

    /// Reads those vital product data pages that the target lists. Without any, no limits are known.
    private func readPages(_ prober: Prober, _ medium: inout MediumData) throws {
        guard let list = try prober.page(.supportedPages) else { return }
        let pages = Set(
            (0..<Int(list.load(2, as: UInt16.self))).map { VitalProductDataPage(rawValue: list[4 + $0]) })
        func read(_ page: VitalProductDataPage) throws -> DeviceData? {
            pages.contains(page) ? try prober.page(page) : nil
        }
        if let page = try read(.unitSerialNumber) { medium.unitSerialNumber(page) }
        // Read since IOKit reads it. Nothing here needs it.
        _ = try read(.deviceIdentification)
        if let page = try read(.blockLimits) { medium.blockLimits(page) }
        if let page = try read(.logicalBlockProvisioning) { medium.provisioning(page) }
    }

    /// Reads the mode pages. A target without them counts as writable and, as in IOKit, as one without a write cache.
    private func readModes(_ prober: Prober, _ medium: inout MediumData) throws {
        if let header = try prober.readOptional(.modeSense6(page: .all, allocationLength: 4), 4) {
            medium.modeHeader6(header)
        }
        if let page = try prober.readOptional(.modeSense6(page: .caching, allocationLength: 64), 64) {
            medium.cachingPage6(page)
        }
    }

    private func readCapacity(_ prober: Prober, _ medium: inout MediumData) throws {
        let fits = medium.readCapacity10(try prober.read(.readCapacity10, 8))
        if !fits || medium.supportsUnmap || medium.supportsUnmappingWriteSame {
            medium.readCapacity16(try prober.read(.readCapacity16(allocationLength: 32), 32))
        }
        guard medium.blockByteCount == 512, medium.blockCount > 0 else {
            throw ProbeError(
                description: "\(address) has blocks of \(medium.blockByteCount) bytes; only 512 are supported")
        }
        guard medium.blockCount <= Self.blockCountMax else {
            throw ProbeError(
                description: "\(address) has \(medium.blockCount) blocks; no client can address more than "
                    + "\(Self.blockCountMax)")
        }
    }
}

/// Sends commands one at a time and waits for each.
private struct Prober {
    /// Attempts for a command that gets no answer or a unit attention.
    static let attemptCountMax = 8
    static let timeoutMilliseconds: UInt32 = 10_000
    /// The offset of sense data in `memory`.
    static let senseOffset = 2048

    enum Outcome {
        case good
        case sense(SenseData)
        /// The command was not delivered, or the target was busy.
        case noAnswer
    }

    let device: BlockCommandsDevice
    let lane: Int
    let memory: UnsafeMutableRawBufferPointer

    /// Sends a command once. After a CHECK CONDITION without sense data, sends a REQUEST SENSE.
    /// - Throws: if there is no such target.
    func execute(_ cdb: CommandDescriptorBlock, readCount: Int = 0) throws -> Outcome {
        let task = try send(cdb, memory.baseAddress, readCount)
        if task.isDeviceNotPresent || task.isDeviceNotResponding { throw noAnswer(to: cdb) }
        switch task.status {
        case .good: return .good
        case .checkCondition:
            if let sense = SenseData(parsing: task.sense, byteCount: Int(task.senseByteCount)) { return .sense(sense) }
            return try requestSense().map { .sense($0) } ?? .noAnswer
        default: return .noAnswer
        }
    }

    private func requestSense() throws -> SenseData? {
        let target = UnsafeMutableRawBufferPointer(rebasing: memory[Self.senseOffset..<Self.senseOffset + 18])
        let task = try send(.requestSense(allocationLength: 18), target.baseAddress, 18)
        guard case .done(let byteCount) = withUnsafePointer(to: task, { TaskVerdict($0) }) else { return nil }
        var bytes = InlineArray<32, UInt8>(repeating: 0)
        for index in 0..<min(Int(byteCount), 18) { bytes[index] = target[index] }
        return SenseData(parsing: bytes, byteCount: Int(byteCount))
    }

    /// Sends a command and waits for its completion.
    private func send(
        _ cdb: CommandDescriptorBlock, _ buffer: UnsafeMutableRawPointer?, _ readCount: Int
    ) throws -> SCSITask {
        let transport = device.transport
        let taskIndex = TaskIndex(lane * transport.tasksPerLane)
        device.setTask(
            taskIndex, cdb, readCount > 0 ? .targetToInitiator : .none, buffer, UInt64(readCount),
            timeout: Self.timeoutMilliseconds)
        device.probeAnswered = OneShotEvent()
        device.probeTaskIndex.store(taskIndex, ordering: .releasing)
        withUnsafePointer(to: taskIndex) { transport.submit(UnsafeBufferPointer(start: $0, count: 1), lane: lane) }
        while transport.hasOutstandingWork(lane: lane) { transport.wait(lane: lane, orReadable: -1) }
        guard transport.wait(forAnswer: device.probeAnswered, to: cdb.summary, taskIndex: taskIndex) else {
            throw ProbeError(
                description: "\(device.address)'s driver blocks the completion of \(cdb.summary)",
                command: cdb,
                cause: .waitBroken)
        }
        device.probeTaskIndex.store(.max, ordering: .releasing)
        return transport.tasks[Int(taskIndex)]
    }

    /// Sends a command until the target answers it.
    func answer(to cdb: CommandDescriptorBlock, readCount: Int = 0) throws -> Outcome {
        for _ in 0..<Self.attemptCountMax {
            let outcome = try execute(cdb, readCount: readCount)
            if case .noAnswer = outcome { continue }
            return outcome
        }
        throw noAnswer(to: cdb)
    }

    /// Executes a command that every disk must answer.
    /// - Returns: the data-in.
    func read(_ cdb: CommandDescriptorBlock, _ count: Int) throws -> DeviceData {
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        for _ in 0..<Self.attemptCountMax {
            switch try answer(to: cdb, readCount: count) {
            case .sense(let sense) where sense.key == .unitAttention: continue
            case .sense(let sense):
                throw ProbeError(
                    description:
                        "\(device.address) refused \(cdb.summary): sense \(sense), CDB \(cdb.description)",
                    command: cdb, sense: sense)
            case .good, .noAnswer: return DeviceData(UnsafeRawBufferPointer(rebasing: memory[..<count]))
            }
        }
        throw ProbeError(
            description: "\(device.address) keeps reporting unit attentions", command: cdb)
    }

    /// Whether the disk has a medium. Unit attentions say that one came or went, and are passed over.
    func hasMedium() throws -> Bool {
        for _ in 0..<Self.attemptCountMax {
            switch try answer(to: .testUnitReady) {
            case .good: return true
            case .sense(let sense) where sense.key == .unitAttention: continue
            case .sense(let sense) where sense.isMediumNotPresent: return false
            case .sense, .noAnswer: return true
            }
        }
        return true
    }

    /// Executes a command that a disk may refuse as an ILLEGAL REQUEST.
    /// - Returns: the data-in; nil after a refusal.
    func readOptional(_ cdb: CommandDescriptorBlock, _ count: Int) throws -> DeviceData? {
        do { return try read(cdb, count) } catch let error as ProbeError
            where error.sense?.key == .illegalRequest
        {
            return nil
        }
    }

    /// A vital product data page; nil if the target lacks it.
    func page(_ page: VitalProductDataPage) throws -> DeviceData? {
        try readOptional(.inquiry(page: page, allocationLength: 252), 252)
    }

    private func noAnswer(to cdb: CommandDescriptorBlock) -> ProbeError {
        let task = device.transport.tasks[lane * device.transport.tasksPerLane]
        return ProbeError(
            description: "\(device.address) did not answer \(cdb.summary): "
                + "service response \(task.serviceResponse), task status \(task.taskStatus)",
            command: cdb, cause: task.isAnsweredByDriver ? .notDelivered : .ended)
    }
}
