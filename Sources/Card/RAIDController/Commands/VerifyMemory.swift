import Platform

/// The memory into which the card reads for VERIFY: a few pieces for each array, whatever the number of commands and
/// the size of their ranges. A command uses one piece for its whole range, part by part, and waits when none is free.
///
/// Threads: any.
final class VerifyMemory: Sendable {
    static let pieceByteCount = 256 << 10
    private static let pieceCountMax = 4
    private let lock = Lock()
    // SAFETY: these are accessed only under `lock`.
    private nonisolated(unsafe) var free: [UnsafeMutableRawPointer] = []
    private nonisolated(unsafe) var pieceCount = 0
    private nonisolated(unsafe) var waiting: Ring<UInt32>

    /// - Parameter commandCapacity: the most commands that can wait.
    init(commandCapacity: Int) { waiting = Ring(minimumCapacity: commandCapacity) }

    deinit {
        for piece in free { piece.deallocate() }
        waiting.deallocate()
    }

    /// The most bytes that were ever in use at once.
    var byteCount: Int { lock.withLock { pieceCount * Self.pieceByteCount } }

    /// Claims a piece for a command; nil when the command must wait until `release` returns it.
    func claim(for command: UInt32) -> UnsafeMutableRawPointer? {
        lock.withLock {
            if let piece = free.popLast() { return piece }
            guard pieceCount < Self.pieceCountMax else {
                waiting.append(command)
                return nil
            }
            assert(waiting.isEmpty, "a command goes before those that wait")
            pieceCount += 1
            return .allocate(byteCount: Self.pieceByteCount, alignment: 4096)
        }
    }

    /// Gives a piece back.
    /// - Returns: the command that has waited longest, which has the piece now; nil when none waits.
    func release(_ piece: UnsafeMutableRawPointer) -> UInt32? {
        lock.withLock {
            if let next = waiting.popFirst() { return next }
            assert(free.count < pieceCount && !free.contains(piece), "a piece is given back twice")
            free.append(piece)
            return nil
        }
    }
}
