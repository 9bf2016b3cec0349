/// Clients that keep memory from others. A client may pause for as long as it likes, but not with half a large request
/// or a reply that it does not take, when others wait for the memory.
extension Connection {
    /// For so long a client may keep others waiting ...
    private static let limitMilliseconds: UInt64 = 3000
    /// ... without moving so much: the largest request takes 96 s at most then.
    private static let progressByteCount = 1 << 20

    /// Whether the connection has to end for the sake of others. On one thread.
    /// - Parameter waiterCount: connections that wait for memory, perhaps this one among them.
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
