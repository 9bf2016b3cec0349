/// A SCSI task between the architecture model and the HBA's kernel half: one row of a table that both index.
///
/// The model fills the upper part before it submits the row; the HBA fills the outcome before it hands the
/// row back. In between the row belongs to the HBA.
package struct SCSITask: BitwiseCopyable {
    /// Which way data flows, as SCSIUserParallelTask.fTransferDirection codes it.
    package enum Direction: UInt8, BitwiseCopyable, Sendable {
        case none = 0
        case initiatorToTarget = 1
        case targetToInitiator = 2
    }

    package var cdb: InlineArray<16, UInt8> = .init(repeating: 0)
    /// Bytes of `cdb` in use: 6, 10, 12 or 16.
    package var cdbSize: UInt8 = 0
    package var direction: Direction = .none
    package var targetID: UInt8 = 0
    package var logicalUnit: UInt8 = 0
    /// 0 means no limit.
    package var timeoutMilliseconds: UInt32 = 0
    /// Bytes to move, all in one contiguous range of the data arena.
    package var requestedTransferCount: UInt64 = 0
    package var buffer: UnsafeMutableRawPointer?

    /// The outcome is the driver's own answer; if not, the kernel half has ended the task, for a reason that it reports
    /// itself.
    package var isAnsweredByDriver = false

    // The outcome. Decode `serviceResponse` and `taskStatus` together: their numbers overlap.

    /// SCSIServiceResponse: 1 delivery or target failure, 2 task complete.
    package var serviceResponse: UInt8 = 0
    /// SCSITaskStatus: 0 GOOD, 2 CHECK CONDITION, ..., 0xFF no status.
    package var taskStatus: UInt8 = 0
    package var senseByteCount: UInt8 = 0
    package var realizedTransferCount: UInt64 = 0
    /// The first bytes of the sense data; enough for fixed and descriptor format.
    package var sense: InlineArray<32, UInt8> = .init(repeating: 0)

    package init() {}

    /// Whom the task is for.
    package var address: UnitAddress { UnitAddress(targetID: targetID, logicalUnit: logicalUnit) }
}

/// The architecture model's side of one logical unit, called by the HBA's kernel half.
package protocol SCSITaskOwner: AnyObject, Sendable {
    /// The rows' outcomes are filled in. Called on any thread, outside every dispatch queue, with rows of this
    /// logical unit only. It may submit further tasks on the same lane.
    func tasksCompleted(_ rows: UnsafeBufferPointer<UInt32>, lane: Int)
}
