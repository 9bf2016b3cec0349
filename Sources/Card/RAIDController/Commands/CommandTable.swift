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
/// Threads: `claim` and `release` any; an entry belongs to the lane that works on it.
final class CommandTable: Sendable {
    private let lock = Lock()
    // SAFETY: the ring is accessed only under `lock`; each entry has one owner at a time.
    private nonisolated(unsafe) var free: Ring<UInt32>
    private nonisolated(unsafe) let commands: UnsafeMutablePointer<CardCommand>
    let capacity: Int
    /// Kept alive for the pins of commands that the card did not end.
    private let dart: DART

    init(capacity: Int, dart: DART) {
        self.capacity = capacity
        self.dart = dart
        free = Ring(minimumCapacity: capacity)
        commands = .allocate(capacity: capacity)
        for number in 0..<capacity {
            (commands + number).initialize(to: CardCommand())
            free.append(UInt32(number))
        }
    }

    deinit {
        free.deallocate()
        commands.deinitialize(count: capacity)
        commands.deallocate()
    }

    subscript(number: UInt32) -> UnsafeMutablePointer<CardCommand> { commands + Int(number) }

    /// Claims free entries. There are enough: the rings hand out no more commands than the table holds.
    func claim(_ numbers: UnsafeMutableBufferPointer<UInt32>) {
        lock.withLock {
            for index in numbers.indices { numbers[index] = free.popFirst()! }
        }
    }

    /// The number of free entries.
    var freeCount: Int { lock.withLock { free.count } }

    func release(_ numbers: UnsafeBufferPointer<UInt32>) {
        lock.withLock {
            for number in numbers { free.append(number) }
        }
    }
}
