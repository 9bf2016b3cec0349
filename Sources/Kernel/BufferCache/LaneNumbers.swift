import Platform

/// The numbers of a buffered device's lanes, by which each has its own counters.
///
/// Threads: any.
final class LaneNumbers: Sendable {
    /// Numbers in all; more than any raw device has clients.
    static let capacity = 256
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) var free = Array((0..<LaneNumbers.capacity).reversed())

    func claim() throws(OSError) -> Int {
        guard let number = lock.withLock({ free.popLast() }) else {
            throw OSError(code: 12, doing: "make another lane: all \(Self.capacity) are in use")
        }
        return number
    }

    func release(_ number: Int) { lock.withLock { free.append(number) } }
}
