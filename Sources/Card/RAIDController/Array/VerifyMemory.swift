import Platform

/// Where a card reads to what VERIFY compares: a few pieces for an array, however many commands ask and however large their
/// ranges are. A command has one piece at a time for all of its range; one that finds none waits for it.
///
/// Threads: any.
final class VerifyMemory: Sendable {
    static let pieceByteCount = 256 << 10
    private static let pieceCountMax = 4
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) var free: [UnsafeMutableRawPointer] = []
    private nonisolated(unsafe) var pieceCount = 0
    private nonisolated(unsafe) var waiting: Ring<UInt32>

    /// - Parameter commandCapacity: how many commands could wait at most.
    init(commandCapacity: Int) { waiting = Ring(minimumCapacity: commandCapacity) }

    deinit {
        for piece in free { piece.deallocate() }
        waiting.deallocate()
    }

    /// Bytes that were ever needed at a time.
    var byteCount: Int { lock.withLock { pieceCount * Self.pieceByteCount } }

    /// A piece for a command; nil when it has to wait until `release` names it.
    func claim(for command: UInt32) -> UnsafeMutableRawPointer? {
        lock.withLock {
            if let piece = free.popLast() { return piece }
            guard pieceCount < Self.pieceCountMax else {
                waiting.append(command)
                return nil
            }
            pieceCount += 1
            return .allocate(byteCount: Self.pieceByteCount, alignment: 4096)
        }
    }

    /// Gives a piece back.
    /// - Returns: the command that has waited longest for one, and has this one now.
    func release(_ piece: UnsafeMutableRawPointer) -> UInt32? {
        lock.withLock {
            if let next = waiting.popFirst() { return next }
            free.append(piece)
            return nil
        }
    }
}
