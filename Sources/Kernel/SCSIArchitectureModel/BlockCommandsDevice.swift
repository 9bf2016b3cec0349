import ParallelInterface
import Platform
import SCSI
import Synchronization

/// One disk, a logical unit of a target: turns stages into SCSI tasks, and their outcomes into errors and byte counts.
///
/// Models IOSCSIPeripheralDeviceType00 over IOSCSIBlockCommandsDevice. An entry of the HBA's task table carries one
/// stage at a time.
///
/// Threads: `probe` on one control thread, first; `probeMedium` on one thread at a time; `submit` on any lane;
/// completions on any lane.
package final class BlockCommandsDevice: SCSITaskOwner, @unchecked Sendable {
    // SAFETY: `owner`, `inquiry` and `medium` are set before the first stage; `probeAnswered` is set before
    // `probeTaskIndex`, and read after it; a task's state belongs to the thread that has the task. The owner exists as
    // long as one of its stages is under way.

    /// Attempts for a task in all: the first and four more.
    package static let attemptCountMax: UInt8 = 5
    /// The time limit of reads, writes and flushes.
    static let timeoutMilliseconds: UInt32 = 30_000
    /// Bytes of parameter memory for each task: an UNMAP list, and behind it fixed-format sense data.
    private static let parameterByteCount = 64
    private static let senseOffset = 32

    struct TaskState: BitwiseCopyable {
        var attempts: UInt8 = 0
        /// The task is a REQUEST SENSE.
        var isFetchingSense = false
    }

    let transport: any SCSITaskTransport
    /// The logical unit that this disk is.
    package let address: UnitAddress
    /// Its INQUIRY data; nil before `probe`.
    package private(set) var inquiry: InquiryData?
    /// Its capacity and limits, as `probe` read and corrected them.
    package private(set) var medium = MediumData()
    /// The target's logical units, as its logical unit 0 reports them; empty for another.
    package internal(set) var reportedUnits: [UInt8] = []
    private unowned(unsafe) var owner: (any BlockStageOwner)?
    private let states: UnsafeMutablePointer<TaskState>
    /// The tasks in whose place a REQUEST SENSE is under way, with the outcomes that it was sent for.
    private let interrupted: UnsafeMutablePointer<SCSITask>
    private let parameters: UnsafeMutableRawBufferPointer
    /// The task that `probe` waits for, `UInt32.max` for none, and the event that its completion sets.
    let probeTaskIndex = Atomic<TaskIndex>(.max)
    var probeAnswered = OneShotEvent()
    /// The time during which the target may report "becoming ready". IOKit gives a fixed disk 45 s.
    package var readyMilliseconds = 45_000

    /// Attaches itself to the transport at `address`.
    /// - Throws: if the arena has no room for the tasks' parameter memory.
    package init(transport: any SCSITaskTransport, address: UnitAddress) throws {
        self.transport = transport
        self.address = address
        let taskCount = transport.laneCount * transport.tasksPerLane
        guard let parameters = transport.arena.allocate(byteCount: taskCount * Self.parameterByteCount) else {
            throw OSError(code: 12, doing: "find parameter memory for \(address) in the data arena")
        }
        self.parameters = parameters
        states = .allocate(capacity: taskCount)
        states.initialize(repeating: TaskState(), count: taskCount)
        // Left uninitialised: nearly all of it is never used.
        interrupted = .allocate(capacity: taskCount)
        transport.attach(self, at: address)
    }

    deinit {
        states.deallocate()
        interrupted.deallocate()
        transport.arena.free(parameters)
    }

    /// Sets the receiver of completions, which sets nil before it ends. Call when no stage is under way.
    package func setOwner(_ owner: (any BlockStageOwner)?) { self.owner = owner }

    func setProbeResult(_ inquiry: InquiryData, _ medium: MediumData) {
        self.inquiry = inquiry
        self.medium = medium
        if inquiry.isRemovable && medium.isWriteCacheEnabled {
            // IOKit does not ask a removable disk for its caching page and assumes that it has no write cache.
            self.medium.isWriteCacheEnabled = false
            transport.log.report(
                .removableToEvadeReadiness,
                "\(address) has RMB = 1 and a write cache: no SYNCHRONIZE CACHE will be sent to it")
        }
        // UNMAP needs logical block provisioning and a limit above 0 (SBC-3, 6.5.3). A WRITE SAME limit of 0 reports
        // none.
        self.medium.supportsUnmap = medium.supportsUnmap && medium.isProvisioned && medium.maximumUnmapBlocks > 0
        self.medium.supportsUnmappingWriteSame = medium.supportsUnmappingWriteSame && medium.isProvisioned
        if medium.maximumWriteSameBlocks == 0 { self.medium.maximumWriteSameBlocks = UInt64(UInt32.max) }
    }

    // MARK: Stages

    /// Whether completed writes may be lost with the disk's power until a flush.
    package var needsFlush: Bool { medium.isWriteCacheEnabled }

    /// Makes a stage's task ready to be sent. The task belongs to the calling thread.
    package func prepare(_ stage: BlockStage) {
        assert(stage.operation != .flush || needsFlush, "a disk without a write cache is flushed")
        states[Int(stage.taskIndex)] = TaskState()
        let byteCount = UInt64(stage.blockCount) * UInt64(medium.blockByteCount)
        switch stage.operation {
        case .read:
            setTask(
                stage.taskIndex,
                .transfer(isWrite: false, lba: stage.lba, blockCount: stage.blockCount, forceUnitAccess: false),
                .targetToInitiator, stage.buffer, byteCount)
        case .write:
            setTask(
                stage.taskIndex,
                .transfer(
                    isWrite: true, lba: stage.lba, blockCount: stage.blockCount,
                    forceUnitAccess: stage.forceUnitAccess),
                .initiatorToTarget, stage.buffer, byteCount)
        case .flush: setTask(stage.taskIndex, .synchronizeCache10, .none, nil, 0)
        case .unmap:
            let list = parameterMemory(of: stage.taskIndex)
            UnmapParameterList.store(lba: stage.lba, blockCount: stage.blockCount, to: list)
            let length = UInt16(UnmapParameterList.byteCount)
            setTask(stage.taskIndex, .unmap(parameterListLength: length), .initiatorToTarget, list, UInt64(length))
        case .zero:
            setTask(
                stage.taskIndex,
                .writeZeroes16(
                    lba: stage.lba, blockCount: stage.blockCount,
                    unmap: stage.mayUnmap && medium.supportsUnmappingWriteSame), .none, nil, 0)
        }
    }

    /// Sends tasks that are ready.
    ///
    /// Call on the lane's thread, with tasks of the lane. Completions may arrive before this returns.
    package func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        transport.submit(taskIndices, lane: lane)
    }

    func setTask(
        _ taskIndex: TaskIndex, _ cdb: CommandDescriptorBlock, _ direction: SCSITask.Direction,
        _ buffer: UnsafeMutableRawPointer?, _ byteCount: UInt64, timeout: UInt32 = timeoutMilliseconds
    ) {
        let task = transport.tasks + Int(taskIndex)
        task.pointee.cdb = cdb.bytes
        task.pointee.cdbSize = cdb.byteCount
        task.pointee.direction = direction
        task.pointee.targetID = address.targetID
        task.pointee.logicalUnit = address.logicalUnit
        task.pointee.timeoutMilliseconds = timeout
        task.pointee.requestedTransferCount = byteCount
        task.pointee.buffer = buffer
    }

    private func parameterMemory(of taskIndex: TaskIndex) -> UnsafeMutableRawPointer {
        parameters.baseAddress! + Int(taskIndex) * Self.parameterByteCount
    }

    private func senseMemory(of taskIndex: TaskIndex) -> UnsafeMutableRawPointer {
        parameterMemory(of: taskIndex) + Self.senseOffset
    }

    // MARK: Outcomes

    package func tasksCompleted(_ completed: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        withUnsafeTemporaryAllocation(of: TaskIndex.self, capacity: completed.count) { again in
            withUnsafeTemporaryAllocation(of: StageCompletion.self, capacity: completed.count) { ended in
                var againCount = 0
                var endedCount = 0
                for taskIndex in completed {
                    if taskIndex == probeTaskIndex.load(ordering: .acquiring) {
                        probeAnswered.set()
                    } else if let completion = judge(taskIndex) {
                        ended[endedCount] = completion
                        endedCount += 1
                    } else {
                        again[againCount] = taskIndex
                        againCount += 1
                    }
                }
                if againCount > 0 { transport.submit(UnsafeBufferPointer(rebasing: again[..<againCount]), lane: lane) }
                if endedCount > 0 {
                    owner?.stagesCompleted(UnsafeBufferPointer(rebasing: ended[..<endedCount]), lane: lane)
                }
            }
        }
    }

    /// The completion of a task's stage; nil if the task has to be sent again, or a REQUEST SENSE in its place.
    private func judge(_ taskIndex: TaskIndex) -> StageCompletion? {
        switch verdict(taskIndex) {
        case .done(let byteCount): return StageCompletion(taskIndex: taskIndex, error: .none, byteCount: byteCount)
        case .failed(let error): return StageCompletion(taskIndex: taskIndex, error: error, byteCount: 0)
        case .retry:
            states[Int(taskIndex)].attempts += 1
            guard states[Int(taskIndex)].attempts < Self.attemptCountMax else {
                return StageCompletion(taskIndex: taskIndex, error: .inputOutput, byteCount: 0)
            }
            if states[Int(taskIndex)].isFetchingSense {
                states[Int(taskIndex)].isFetchingSense = false
                transport.tasks[Int(taskIndex)] = interrupted[Int(taskIndex)]
            }
            return nil
        case .fetchSense:
            states[Int(taskIndex)].isFetchingSense = true
            interrupted[Int(taskIndex)] = transport.tasks[Int(taskIndex)]
            setTask(
                taskIndex, .requestSense(allocationLength: 18), .targetToInitiator, senseMemory(of: taskIndex), 18)
            return nil
        }
    }

    /// The verdict on a task, by its outcome or by the sense data that a REQUEST SENSE fetched.
    private func verdict(_ taskIndex: TaskIndex) -> TaskVerdict {
        let verdict = TaskVerdict(transport.tasks + Int(taskIndex))
        guard states[Int(taskIndex)].isFetchingSense else { return verdict }
        guard case .done(let byteCount) = verdict else { return .retry }
        var bytes = InlineArray<32, UInt8>(repeating: 0)
        let memory = senseMemory(of: taskIndex)
        for index in 0..<min(Int(byteCount), 18) { bytes[index] = memory.load(fromByteOffset: index, as: UInt8.self) }
        guard let sense = SenseData(parsing: bytes, byteCount: Int(byteCount)) else { return .retry }
        let command = interrupted + Int(taskIndex)
        if sense.key == .recoveredError
            && command.pointee.realizedTransferCount == command.pointee.requestedTransferCount
        {
            return .done(byteCount: command.pointee.realizedTransferCount)
        }
        return TaskVerdict.verdict(on: sense)
    }
}
