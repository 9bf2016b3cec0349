import Glibc
import HardwareBus
import Platform
import RAID

/// A command that the card has taken and not answered yet.
struct CardCommand: ~Copyable {
    /// VERIFY: the command reads into the card's own memory, piece by piece.
    var isVerify = false
    /// What the command does with the array's bytes.
    var operation = ArrayRequest.Operation.read
    var forceUnitAccess = false
    var mayPunch = false
    /// The driver's name for the command.
    var tag: UInt32 = 0
    /// The rings' epoch when the command was copied.
    var epoch: UInt32 = 0
    /// Holds the driver's memory until the command is answered.
    var pin: DART.Pin?
    /// Whether the command fills the driver's memory with the bytes that it reports.
    var fillsMemory = false
    /// The bytes transferred, as a GOOD completion reports them.
    var dataByteCount: UInt64 = 0
    /// The array's bytes on which the command works; for VERIFY, those of the present piece.
    var byteOffset: UInt64 = 0
    var byteCount: UInt64 = 0
    /// When the command reached the array's write cache, by the cache's clock; 0 before.
    var arrival: UInt64 = 0
    /// The driver's memory; for VERIFY, the card's own.
    var memory: UnsafeMutableRawPointer?
    /// For VERIFY with byte check: the initiator's data for the present piece; the data of later pieces follows it.
    var expected: UnsafeRawPointer?
    /// For VERIFY: the end of the last piece.
    var verifyEnd: UInt64 = 0

    var sectors: SectorRange { SectorRange(byteOffset: byteOffset, byteCount: byteCount) }
}

/// The commands in the card, by number. The engine knows a command by its number.
///
/// Threads: `claim` and `release` any, without a lock; an entry belongs to the lane that works on it.
final class CommandTable: Sendable {
    private let free: IndexQueue
    // SAFETY: each entry has one owner at a time, who gets it and gives it back through the queue.
    private nonisolated(unsafe) let commands: UnsafeMutablePointer<CardCommand>
    let capacity: Int
    /// Kept alive for the pins of commands that the card did not end.
    private let dart: DART

    init(capacity: Int, dart: DART) {
        self.capacity = capacity
        self.dart = dart
        free = IndexQueue(indexCount: capacity)
        commands = .allocate(capacity: capacity)
        for number in 0..<capacity { (commands + number).initialize(to: CardCommand()) }
        free.append(count: capacity) { UInt16($0) }
    }

    deinit {
        commands.deinitialize(count: capacity)
        commands.deallocate()
    }

    subscript(number: UInt32) -> UnsafeMutablePointer<CardCommand> { commands + Int(number) }

    /// Claims free entries. There are enough: the rings hand out no more commands than the table holds.
    func claim(_ numbers: UnsafeMutableBufferPointer<UInt32>) {
        var claimed = 0
        while claimed < numbers.count {
            let start = claimed
            claimed += free.take(limit: numbers.count - start) { numbers[start + $0] = UInt32($1) }.count
            // An older entry of the queue is just being filled by another lane.
            if claimed < numbers.count { sched_yield() }
        }
    }

    func release(_ numbers: UnsafeBufferPointer<UInt32>) {
        free.append(count: numbers.count) { UInt16(numbers[$0]) }
    }
}
