import ParallelInterface
import Platform
import SCSI

/// One disk, a logical unit of a target: turns stages into SCSI tasks, and their outcomes into errors and byte counts.
///
/// Models IOSCSIPeripheralDeviceType00 over IOSCSIBlockCommandsDevice. An entry of the HBA's task table carries one
/// stage at a time.
///
/// Threads: `probe` on one control thread, first; `submit` on any lane; completions on any lane.
package final class BlockCommandsDevice: SCSITaskOwner, @unchecked Sendable {
    // SAFETY: `owner`, `inquiry` and `medium` are set before the first stage; a task's state belongs to the thread that
    // has the task.

    /// Attempts for a task in all: the first and four more.
    package static let attemptCountMax: UInt8 = 5
    /// The time limit of reads, writes and flushes.
    static let timeoutMilliseconds: UInt32 = 30_000
    /// Bytes of parameter memory for each task: an UNMAP list has 24, fixed-format sense data 18.
    private static let parameterByteCount = 32

    struct RowState: BitwiseCopyable {
        /// The stage of the task, kept since a REQUEST SENSE overwrites a task that may have to be sent again.
        var piece = BlockPiece(row: 0, operation: .flush)
        var attempts: UInt8 = 0
        /// The task is a REQUEST SENSE.
        var isFetchingSense = false
        /// The command before the REQUEST SENSE moved all its bytes.
        var movedAllBytes = false
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
    private weak var owner: (any BlockPieceOwner)?
    private let rows: UnsafeMutablePointer<RowState>
    private let parameters: UnsafeMutableRawBufferPointer
    /// The task that `probe` waits for, `UInt32.max` for none, and the event that its completion sets.
    var probeRow = UInt32.max
    var probeAnswered = OneShotEvent()
    /// The time during which the target may report "becoming ready". IOKit gives a fixed disk 45 s.
    package var readyMilliseconds = 45_000

    /// Attaches itself to the transport at `address`.
    /// - Throws: if the arena has no room for the tasks' parameter memory.
    package init(transport: any SCSITaskTransport, address: UnitAddress) throws {
        self.transport = transport
        self.address = address
        let rowCount = transport.laneCount * transport.rowsPerLane
        guard let parameters = transport.arena.allocate(byteCount: rowCount * Self.parameterByteCount) else {
            throw OSError(code: 12, doing: "find parameter memory for \(address) in the data arena")
        }
        self.parameters = parameters
        rows = .allocate(capacity: rowCount)
        rows.initialize(repeating: RowState(), count: rowCount)
        transport.attach(self, at: address)
    }

    deinit {
        rows.deallocate()
        transport.arena.free(parameters)
    }

    /// Sets the receiver of completions. Call before the first stage.
    package func setOwner(_ owner: any BlockPieceOwner) { self.owner = owner }

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

    /// Starts stages with one submission. A flush of a disk without a write cache completes at once.
    ///
    /// Call on the lane's thread, with stages whose tasks are the lane's. Completions may arrive before this returns.
    package func submit(_ pieces: UnsafeBufferPointer<BlockPiece>, lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: pieces.count) { sent in
            withUnsafeTemporaryAllocation(of: PieceCompletion.self, capacity: pieces.count) { idle in
                var sentCount = 0
                var idleCount = 0
                for piece in pieces {
                    if piece.operation == .flush && !medium.isWriteCacheEnabled {
                        idle[idleCount] = PieceCompletion(row: piece.row, error: .none, byteCount: 0)
                        idleCount += 1
                    } else {
                        rows[Int(piece.row)] = RowState(piece: piece)
                        fill(piece)
                        sent[sentCount] = piece.row
                        sentCount += 1
                    }
                }
                if idleCount > 0 {
                    owner?.piecesCompleted(UnsafeBufferPointer(rebasing: idle[..<idleCount]), lane: lane)
                }
                if sentCount > 0 { transport.submit(UnsafeBufferPointer(rebasing: sent[..<sentCount]), lane: lane) }
            }
        }
    }

    /// Writes a stage's command into its task.
    private func fill(_ piece: BlockPiece) {
        let byteCount = UInt64(piece.blockCount) * UInt64(medium.blockByteCount)
        switch piece.operation {
        case .read:
            setTask(
                piece.row,
                .transfer(isWrite: false, lba: piece.lba, blockCount: piece.blockCount, forceUnitAccess: false),
                .targetToInitiator, piece.buffer, byteCount)
        case .write:
            setTask(
                piece.row,
                .transfer(
                    isWrite: true, lba: piece.lba, blockCount: piece.blockCount,
                    forceUnitAccess: piece.forceUnitAccess),
                .initiatorToTarget, piece.buffer, byteCount)
        case .flush: setTask(piece.row, .synchronizeCache10, .none, nil, 0)
        case .unmap:
            let list = fillUnmapList(piece)
            setTask(piece.row, .unmap(parameterListLength: 24), .initiatorToTarget, list, 24)
        case .zero:
            setTask(
                piece.row,
                .writeZeroes16(
                    lba: piece.lba, blockCount: piece.blockCount,
                    unmap: piece.mayUnmap && medium.supportsUnmappingWriteSame), .none, nil, 0)
        }
    }

    func setTask(
        _ row: UInt32, _ cdb: CommandDescriptorBlock, _ direction: SCSITask.Direction,
        _ buffer: UnsafeMutableRawPointer?, _ byteCount: UInt64, timeout: UInt32 = timeoutMilliseconds
    ) {
        let task = transport.tasks + Int(row)
        task.pointee.cdb = cdb.bytes
        task.pointee.cdbSize = cdb.byteCount
        task.pointee.direction = direction
        task.pointee.targetID = address.targetID
        task.pointee.logicalUnit = address.logicalUnit
        task.pointee.timeoutMilliseconds = timeout
        task.pointee.requestedTransferCount = byteCount
        task.pointee.buffer = buffer
    }

    /// A parameter list with one descriptor (SBC-3, 5.28.2).
    private func fillUnmapList(_ piece: BlockPiece) -> UnsafeMutableRawPointer {
        let list = parameterMemory(of: piece.row)
        list.storeBytes(of: UInt64(0), as: UInt64.self)
        list.storeBytes(of: UInt16(22).bigEndian, as: UInt16.self)
        list.storeBytes(of: UInt16(16).bigEndian, toByteOffset: 2, as: UInt16.self)
        list.storeBytes(of: piece.lba.bigEndian, toByteOffset: 8, as: UInt64.self)
        list.storeBytes(of: piece.blockCount.bigEndian, toByteOffset: 16, as: UInt32.self)
        list.storeBytes(of: UInt32(0), toByteOffset: 20, as: UInt32.self)
        return list
    }

    private func parameterMemory(of row: UInt32) -> UnsafeMutableRawPointer {
        parameters.baseAddress! + Int(row) * Self.parameterByteCount
    }

    // MARK: Outcomes

    package func tasksCompleted(_ completed: UnsafeBufferPointer<UInt32>, lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: completed.count) { again in
            withUnsafeTemporaryAllocation(of: PieceCompletion.self, capacity: completed.count) { ended in
                var againCount = 0
                var endedCount = 0
                for row in completed {
                    if row == probeRow {
                        probeAnswered.set()
                    } else if let completion = judge(row) {
                        ended[endedCount] = completion
                        endedCount += 1
                    } else {
                        again[againCount] = row
                        againCount += 1
                    }
                }
                if againCount > 0 { transport.submit(UnsafeBufferPointer(rebasing: again[..<againCount]), lane: lane) }
                if endedCount > 0 {
                    owner?.piecesCompleted(UnsafeBufferPointer(rebasing: ended[..<endedCount]), lane: lane)
                }
            }
        }
    }

    /// The completion of a task's stage; nil if the task has to be sent again, or a REQUEST SENSE in its place.
    private func judge(_ row: UInt32) -> PieceCompletion? {
        switch verdict(row) {
        case .done(let byteCount): return PieceCompletion(row: row, error: .none, byteCount: byteCount)
        case .failed(let error): return PieceCompletion(row: row, error: error, byteCount: 0)
        case .retry:
            rows[Int(row)].attempts += 1
            guard rows[Int(row)].attempts < Self.attemptCountMax else {
                return PieceCompletion(row: row, error: .inputOutput, byteCount: 0)
            }
            if rows[Int(row)].isFetchingSense {
                rows[Int(row)].isFetchingSense = false
                fill(rows[Int(row)].piece)
            }
            return nil
        case .fetchSense:
            let task = transport.tasks + Int(row)
            rows[Int(row)].isFetchingSense = true
            rows[Int(row)].movedAllBytes = task.pointee.realizedTransferCount == task.pointee.requestedTransferCount
            setTask(
                row, .requestSense(allocationLength: 18), .targetToInitiator, parameterMemory(of: row), 18)
            return nil
        }
    }

    /// The verdict on a task, by its outcome or by the sense data that a REQUEST SENSE fetched.
    private func verdict(_ row: UInt32) -> TaskVerdict {
        let verdict = TaskVerdict(transport.tasks + Int(row))
        let state = rows[Int(row)]
        guard state.isFetchingSense else { return verdict }
        guard case .done(let byteCount) = verdict else { return .retry }
        var bytes = InlineArray<32, UInt8>(repeating: 0)
        let memory = parameterMemory(of: row)
        for index in 0..<min(Int(byteCount), 18) { bytes[index] = memory.load(fromByteOffset: index, as: UInt8.self) }
        guard let sense = SenseData(parsing: bytes, byteCount: Int(byteCount)) else { return .retry }
        if sense.key == SenseData.keyRecoveredError && state.movedAllBytes {
            return .done(byteCount: UInt64(state.piece.blockCount) * UInt64(medium.blockByteCount))
        }
        return TaskVerdict.verdict(on: sense)
    }
}
