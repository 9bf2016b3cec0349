import HardwareBus
import Platform
import RAIDControllerInterface
import SCSI

/// A command that the card has and has not answered yet. What it asks of its array is the request of the same number.
struct CardCommand: ~Copyable {
    /// The command as it was when the doorbell rang. The driver may change its own entry in the ring.
    var descriptor = RAIDCommandDescriptor()
    /// The rings' epoch at that time.
    var epoch: UInt32 = 0
    /// Holds the driver's memory until the command is answered; nil when the command's address is in no window.
    var pin: DART.Pin?
    /// Whether the command fills the driver's memory with the bytes that it reports.
    var fillsMemory = false
    /// The bytes transferred, as a GOOD completion reports them.
    var dataByteCount: UInt64 = 0
    /// The command's target does not exist, or its memory is out of the card's reach.
    var isUnreachable = false
    /// The sense data of the answer; nil for GOOD.
    var sense: SenseData?
    /// When the command reached the array's write cache, by the cache's clock; 0 before.
    var arrival: UInt64 = 0
    /// VERIFY: the command reads into the card's own memory, piece by piece.
    var isVerify = false
    /// For VERIFY with byte check: the initiator's data for the present piece; the data of later pieces follows it.
    var expected: UnsafeRawPointer?
    /// For VERIFY: the end of the last piece.
    var verifyEnd: UInt64 = 0

    /// The answer for the driver, once the command is done.
    var completion: RAIDCompletionDescriptor {
        var completion = RAIDCompletionDescriptor()
        completion.tag = descriptor.tag
        if isUnreachable {
            completion.transportError = 1
        } else if let sense {
            completion.status = SCSIStatus.checkCondition.rawValue
            completion.senseByteCount = UInt8(SenseData.fixedByteCount)
            completion.sense = sense.fixedFormat
        } else {
            completion.dataByteCount = dataByteCount
        }
        return completion
    }
}

/// The commands in the card, by number. The engine knows a command by its number.
///
/// Threads: `claim` and `release` any, without a lock; an entry belongs to whoever claimed it, then to the lane that
/// works on it.
final class CommandTable: Sendable {
    private let free: IndexQueue
    // SAFETY: each entry has one owner at a time, who gets it and gives it back through queues.
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

    subscript(number: UInt32) -> UnsafeMutablePointer<CardCommand> {
        assert(number < capacity, "the card has no such command")
        return commands + Int(number)
    }

    /// Claims free entries, up to `limit`.
    /// - Returns: their number.
    func claim(into numbers: UnsafeMutablePointer<UInt32>, limit: Int) -> Int {
        free.take(limit: limit) { numbers[$0] = UInt32($1) }.count
    }

    func release(_ numbers: UnsafeBufferPointer<UInt32>) {
        assert(numbers.allSatisfy { self[$0].pointee.pin == nil }, "a command that has ended keeps its memory")
        free.append(count: numbers.count) { UInt16(numbers[$0]) }
    }
}
