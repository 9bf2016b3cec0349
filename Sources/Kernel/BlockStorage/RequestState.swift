/// How far a request has come; indexed like the HBA's tasks.
struct RequestState: BitwiseCopyable {
    /// The time of submission, by the monotonic clock.
    var startNanoseconds: UInt64 = 0
    /// Bytes of the complete stages.
    var doneByteCount: UInt64 = 0
    /// Bytes of the stage under way.
    var stageByteCount: UInt64 = 0
    /// The request goes through the bounce buffer, one at a time.
    var isUnaligned = false
    /// The write gate has counted the request in.
    var isGated = false
    /// The write is done, and the flush that makes it durable is under way.
    var isFlushing = false
}

extension BlockRequest.Operation {
    /// Whether the operation changes blocks.
    var isWrite: Bool { self == .write || self == .writeZeroes || self == .trim }
}
