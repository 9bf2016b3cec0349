/// Finds clients that keep memory from others. A client may pause as long as it likes, but not in the middle of a large
/// request or of its replies while others wait for the memory.
extension Connection {
    /// How long a client may keep others waiting without moving `progressByteCount` bytes.
    private static let limitMilliseconds: UInt64 = 3000
    /// The bytes that count as progress: the largest request then takes 96 s at most.
    private static let progressByteCount = 1 << 20

    /// Whether the connection must end because others wait. Called on one thread only.
    /// - Parameter waiterCount: connections that wait for memory; this one may be among them.
    func isStalled(at milliseconds: UInt64, waiterCount: Int) -> Bool {
        guard waiterCount > 0, keepsSharedMemory(fromWaiters: waiterCount) else {
            lastProgress = nil
            return false
        }
        let moved = movedByteCount.load(ordering: .relaxed)
        guard let last = lastProgress, moved - last.byteCount < Self.progressByteCount else {
            lastProgress = (moved, milliseconds)
            return false
        }
        return milliseconds - last.milliseconds >= Self.limitMilliseconds
    }
}
