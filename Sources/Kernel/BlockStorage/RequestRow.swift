/// What the block layer keeps of a request while it is under way; indexed like the HBA's tasks.
struct RequestRow: BitwiseCopyable {
    var request = BlockRequest(operation: .flush, tag: 0)
    /// When the request was submitted, by the monotonic clock.
    var startNanoseconds: UInt64 = 0
    /// Bytes of the stages that are complete.
    var doneByteCount: UInt64 = 0
    /// Bytes of the stage that is under way.
    var stageByteCount: UInt64 = 0
    /// The request runs alone, through the bounce buffer.
    var isUnaligned = false
    /// The write gate counted the request in.
    var isGated = false
    /// The write is done; what is under way is the flush that makes it durable.
    var isFlushing = false
}

extension BlockRequest.Operation {
    /// Whether the operation changes blocks.
    var isWrite: Bool { self == .write || self == .writeZeroes || self == .trim }
}
