import Glibc

/// Writes that a server has acknowledged and not made durable. If the server is lost and comes back without them, they
/// are written again.
///
/// Threads: the member's.
struct UnflushedWrites: ~Copyable {
    /// From these amounts on, the member's thread flushes by itself.
    private static let byteCountToFlush = 16 << 20
    private static let countToFlush = 16384
    /// From these amounts on, nothing is sent until that flush has ended.
    private static let byteCountMax = 48 << 20
    private static let countMax = 65536

    /// In the order in which they ended. Their memory is a copy.
    private(set) var commands: [RemoteCommand] = []
    /// The number of the first command.
    private var first = 0
    private var byteCount = 0
    /// A sample of the last durable writes that nothing has changed since. A member that was rolled back to an older
    /// copy of itself lacks them. Their memory belongs to this type.
    private(set) var witnesses: [RemoteCommand] = []
    private static let witnessCountMax = 16
    /// The most bytes kept of one write.
    static let witnessByteCountMax = 4096

    deinit { for command in commands + witnesses { command.memory?.deallocate() } }

    var mustFlush: Bool { byteCount >= Self.byteCountToFlush || commands.count >= Self.countToFlush }
    var isFull: Bool { byteCount >= Self.byteCountMax || commands.count >= Self.countMax }

    /// The number of the next command. A flush that starts now covers all commands with lower numbers.
    var end: Int { first + commands.count }

    /// Adds a command that has succeeded. The client's memory is copied.
    mutating func add(_ command: RemoteCommand) {
        var copy = command
        copy.recipient = .nobody
        if let memory = command.memory {
            copy.kind = .write
            copy.memory = .allocate(byteCount: Int(command.byteCount), alignment: 16)
            memcpy(copy.memory!, memory, Int(command.byteCount))
            byteCount += Int(command.byteCount)
        }
        commands.append(copy)
    }

    /// Forgets witnesses in a range that was changed, or may have been: they prove nothing any more.
    mutating func forget(_ byteOffset: UInt64, _ byteCount: UInt64) {
        guard !witnesses.isEmpty else { return }
        witnesses.removeAll { witness in
            guard witness.overlaps(byteOffset, byteCount) else { return false }
            witness.memory?.deallocate()
            return true
        }
    }

    /// Records that all commands below a number are durable.
    mutating func flushed(below end: Int) {
        guard end > first else { return }
        for index in 0..<(end - first) {
            let command = commands[index]
            guard let memory = command.memory else { continue }
            byteCount -= Int(command.byteCount)
            if end - first - index <= Self.witnessCountMax && isLast(index) {
                witness(command)
            } else {
                memory.deallocate()
            }
        }
        commands.removeFirst(end - first)
        first = end
    }

    /// Whether no later command has changed the bytes that a command wrote.
    private func isLast(_ index: Int) -> Bool {
        let command = commands[index]
        return !commands[(index + 1)...].contains { $0.overlaps(command.byteOffset, command.byteCount) }
    }

    private mutating func witness(_ command: RemoteCommand) {
        forget(command.byteOffset, command.byteCount)
        if witnesses.count == Self.witnessCountMax { witnesses.removeFirst().memory?.deallocate() }
        var kept = command
        kept.byteCount = min(kept.byteCount, UInt64(Self.witnessByteCountMax))
        witnesses.append(kept)
    }
}
