/// A task that the driver has. Its slot may be passed back and reused at any moment, which changes the sequence
/// number.
struct SentTask: BitwiseCopyable {
    var slot: SlotIndex
    var sequence: UInt64
    var recovery: RecoveryStep
}
