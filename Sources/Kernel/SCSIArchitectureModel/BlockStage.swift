import ParallelInterface

/// One stage of a request: whole blocks within the limits of the HBA, for one SCSI command.
package struct BlockStage: BitwiseCopyable {
    /// The things to do with the blocks.
    package enum Operation: UInt8, BitwiseCopyable, Sendable {
        case read, write, flush, unmap, zero
    }

    /// The index of the stage's task; the block layer chooses it among its lane's.
    package var taskIndex: TaskIndex
    /// The thing to do with the blocks.
    package var operation: Operation
    /// For `write`: the stage is complete only when its blocks are durable.
    package var forceUnitAccess = false
    /// For `zero`: the range may be deallocated.
    package var mayUnmap = false
    /// Logical blocks; 0 for `flush`.
    package var blockCount: UInt32 = 0
    /// The first logical block.
    package var lba: UInt64 = 0
    /// Memory in the data arena for `read` and `write`; nil for the others.
    package var buffer: UnsafeMutableRawPointer?

    package init(
        taskIndex: TaskIndex, operation: Operation, lba: UInt64 = 0, blockCount: UInt32 = 0,
        buffer: UnsafeMutableRawPointer? = nil
    ) {
        self.taskIndex = taskIndex
        self.operation = operation
        self.lba = lba
        self.blockCount = blockCount
        self.buffer = buffer
    }
}

/// The outcome of a stage.
package struct StageCompletion: BitwiseCopyable {
    /// The index of the stage's task.
    package var taskIndex: TaskIndex
    /// `.none`, or the reason of the failure.
    package var error: BlockError
    /// Bytes moved; fewer than the stage has only after an error or a short transfer.
    package var byteCount: UInt64

    package init(taskIndex: TaskIndex, error: BlockError, byteCount: UInt64) {
        self.taskIndex = taskIndex
        self.error = error
        self.byteCount = byteCount
    }
}

/// The block layer's side of a disk, which gets completions.
package protocol BlockStageOwner: AnyObject, Sendable {
    /// Takes a batch of outcomes. Called on any thread; may submit further stages on the same lane.
    func stagesCompleted(_ completions: UnsafeBufferPointer<StageCompletion>, lane: Int)
}
