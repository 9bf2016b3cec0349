/// What the block layer wants of a disk: whole blocks, within the limits of the HBA.
package struct BlockPiece: BitwiseCopyable {
    /// What is to be done with the blocks.
    package enum Operation: UInt8, BitwiseCopyable, Sendable {
        case read, write, flush, unmap, zero
    }

    /// The row that the piece's task uses; the block layer chooses it among its lane's.
    package var row: UInt32
    package var operation: Operation
    package var forceUnitAccess = false
    /// For `zero`: the range's space may be given back.
    package var mayUnmap = false
    package var blockCount: UInt32 = 0
    package var lba: UInt64 = 0
    package var buffer: UnsafeMutableRawPointer?

    package init(
        row: UInt32, operation: Operation, lba: UInt64 = 0, blockCount: UInt32 = 0,
        buffer: UnsafeMutableRawPointer? = nil
    ) {
        self.row = row
        self.operation = operation
        self.lba = lba
        self.blockCount = blockCount
        self.buffer = buffer
    }
}

/// How a piece ended.
package struct PieceCompletion: BitwiseCopyable {
    package var row: UInt32
    package var error: BlockError
    /// Bytes moved; less than asked only with an error or a short transfer.
    package var byteCount: UInt64

    package init(row: UInt32, error: BlockError, byteCount: UInt64) {
        self.row = row
        self.error = error
        self.byteCount = byteCount
    }
}

/// The block layer's side of a disk.
package protocol BlockPieceOwner: AnyObject, Sendable {
    /// Called once for each batch, on any thread. It may submit further pieces on the same lane.
    func piecesCompleted(_ completions: UnsafeBufferPointer<PieceCompletion>, lane: Int)
}
