import HardwareBus
import Platform
import RAID

/// A command that the card has taken and not yet answered.
struct CardCommand: ~Copyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// Member I/Os that the card planned itself: a read of a sound array, or plain RAID 0 I/O.
        case direct
        /// With the planner, as one request.
        case planned
        /// A read into memory of the card, piece by piece, to be looked at: VERIFY.
        case verify
    }

    var kind = Kind.direct
    /// What it does with the array's bytes.
    var operation = ArrayRequest.Operation.read
    var forceUnitAccess = false
    var mayPunch = false
    /// The driver's name for it.
    var tag: UInt32 = 0
    /// Holds `memory` until the command is answered, unless that is the card's own.
    var pin: DART.Pin?
    /// Whether `memory` gets the bytes that are reported.
    var fillsMemory = false
    /// Bytes to report when it went well.
    var dataByteCount: UInt64 = 0
    /// The array's bytes that it is about.
    var byteOffset: UInt64 = 0
    var byteCount: UInt64 = 0
    /// When it reached the array's write cache, by the cache's clock; 0 before.
    var arrival: UInt64 = 0
    var memory: UnsafeMutableRawPointer?
    /// For `.verify` with byte check: what the initiator sent for the piece, and behind it.
    var expected: UnsafeRawPointer?
    /// For `.verify`: where the last piece ends.
    var verifyEnd: UInt64 = 0
    /// Outstanding member I/Os of a direct command.
    var remaining: UInt32 = 0
    var status = ArrayStatus.done
    /// The target's, when a direct command started.
    var soundness: UInt64 = 0

    var sectors: SectorRange { SectorRange(byteOffset: byteOffset, byteCount: byteCount) }
}

/// The commands in the card, by number. Numbers are what planners and engines carry around.
///
/// Threads: `claim` and `release` any; an entry belongs to the lane that works on it.
final class CommandTable: Sendable {
    private let lock = Lock()
    // SAFETY: the ring is touched only under `lock`; each entry has one owner at a time.
    private nonisolated(unsafe) var free: Ring<UInt32>
    private nonisolated(unsafe) let commands: UnsafeMutablePointer<CardCommand>
    let capacity: Int
    /// Outlives the pins of commands that the card did not end.
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

    /// Takes free entries. The driver keeps no more commands in the card than the table holds.
    func claim(_ numbers: UnsafeMutableBufferPointer<UInt32>) {
        lock.withLock {
            for index in numbers.indices { numbers[index] = free.popFirst()! }
        }
    }

    /// How many entries are free.
    var freeCount: Int { lock.withLock { free.count } }

    func release(_ numbers: UnsafeBufferPointer<UInt32>) {
        lock.withLock {
            for number in numbers { free.append(number) }
        }
    }
}
