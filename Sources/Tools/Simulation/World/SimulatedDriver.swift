import HardwareBus
import RAIDController
import RAIDControllerInterface
import SCSI

/// A driver of the card, which notices commands that are answered twice or with a wrong tag.
///
/// Threads: one.
final class SimulatedDriver {
    /// The most commands at a time. Tags are below it.
    static let depth = 32
    /// The bytes of memory of each command.
    static let dataByteCount = 64 << 10
    private static let ringCapacity = 64

    /// The kinds of commands, with their printed names.
    enum Kind: String {
        case read
        case write
        case writeThrough = "write with FUA"
        case unmap
        case writeZeroes = "write of zeros"
        case flush
    }

    /// A command that the card has.
    struct Command {
        var kind: Kind
        /// Sectors of the array.
        var sectors: Range<Int>
        /// The number in the stamps of its data; 0 for zeros.
        var write: UInt32 = 0
        /// The modification's number.
        var modification: UInt32 = 0
        var sentAt: UInt64 = 0

        var modifies: Bool { kind != .read && kind != .flush }
    }

    private(set) var commands: [Command?] = Array(repeating: nil, count: SimulatedDriver.depth)
    private(set) var outstanding = 0
    private let data: UnsafeMutableRawPointer
    private let submissions: UnsafeMutableRawPointer
    private let completions: UnsafeMutableRawPointer
    private let rings: CardRingClient
    private var card: RAIDController?
    private var dataAddress: DART.BusAddress = 0

    init() {
        data = .allocate(byteCount: Self.depth * Self.dataByteCount, alignment: 4096)
        submissions = .allocate(byteCount: Self.submissionByteCount, alignment: 64)
        completions = .allocate(byteCount: Self.completionByteCount, alignment: 64)
        rings = CardRingClient(submissions: submissions, completions: completions, capacity: Self.ringCapacity)
    }

    deinit {
        data.deallocate()
        submissions.deallocate()
        completions.deallocate()
    }

    private static let submissionByteCount = RAIDCommandDescriptor.ringByteCount(capacity: ringCapacity)
    private static let completionByteCount = RAIDCompletionDescriptor.ringByteCount(capacity: ringCapacity)

    /// Starts a card that has no command.
    func attach(_ card: RAIDController) {
        self.card = card
        commands = Array(repeating: nil, count: Self.depth)
        outstanding = 0
        dataAddress = card.dart.map(
            window: 0, memory: data, byteCount: Self.depth * Self.dataByteCount, deviceMayWrite: true)!
        let submissionAddress = map(submissions, byteCount: Self.submissionByteCount)
        let completionAddress = map(completions, byteCount: Self.completionByteCount)
        rings.enable(submissionAddress: submissionAddress, completionAddress: completionAddress) {
            card.writeRegister($0, $1)
        }
    }

    /// Forgets the card and the commands that it had.
    func detach() { card = nil }

    private func map(_ memory: UnsafeMutableRawPointer, byteCount: Int) -> DART.BusAddress {
        let window = card!.dart.claimWindow()!
        return card!.dart.map(window: window, memory: memory, byteCount: byteCount, deviceMayWrite: true)!
    }

    /// When the oldest outstanding read was sent; `.max` when there is none.
    var oldestRead: UInt64 {
        commands.reduce(UInt64.max) { oldest, command in
            guard let command, command.kind == .read else { return oldest }
            return min(oldest, command.sentAt)
        }
    }

    /// A tag that no command has. There must be one.
    var freeTag: Int { commands.firstIndex { $0 == nil }! }

    /// A command's memory.
    func memory(_ tag: Int) -> UnsafeMutableRawPointer { data + tag * Self.dataByteCount }

    /// Sends a command whose data, if any, is in its memory, and rings the doorbell.
    func send(_ command: Command, tag: Int) {
        let count = command.sectors.count
        let lba = UInt64(command.sectors.lowerBound)
        var byteCount = 0
        let cdb: CommandDescriptorBlock
        switch command.kind {
        case .read, .write, .writeThrough:
            byteCount = count * 512
            cdb = .transfer(
                isWrite: command.kind != .read, lba: lba, blockCount: UInt32(count),
                forceUnitAccess: command.kind == .writeThrough)
        case .unmap:
            byteCount = UnmapParameterList.byteCount
            UnmapParameterList.store(lba: lba, blockCount: UInt32(count), to: memory(tag))
            cdb = .unmap(parameterListLength: UInt16(byteCount))
        case .writeZeroes: cdb = .writeZeroes16(lba: lba, blockCount: UInt32(count), unmap: false)
        case .flush: cdb = .synchronizeCache10
        }
        commands[tag] = command
        outstanding += 1
        var descriptor = RAIDCommandDescriptor()
        descriptor.tag = UInt32(tag)
        descriptor.cdb = cdb.bytes
        descriptor.cdbSize = cdb.byteCount
        descriptor.dataAddress = dataAddress + UInt64(tag * Self.dataByteCount)
        descriptor.dataByteCount = UInt64(byteCount)
        descriptor.direction = byteCount == 0 ? 0 : command.kind == .read ? 2 : 1
        rings.addCommand().pointee = descriptor
        rings.ringDoorbell { card!.writeRegister($0, $1) }
    }

    /// Calls `body` with each new answer: the tag, the command, and the completion.
    /// - Throws: when the card has answered a command that it does not have, and what `body` throws.
    func takeAnswers(
        _ body: (_ tag: Int, Command, RAIDCompletionDescriptor) throws(SimulationFault) -> Void
    ) throws(SimulationFault) {
        try rings.takeCompletions { completion throws(SimulationFault) in
            let answer = completion.pointee
            let tag = Int(answer.tag)
            guard tag < Self.depth, let command = commands[tag] else {
                throw SimulationFault("the card answered command \(answer.tag), which it does not have")
            }
            commands[tag] = nil
            outstanding -= 1
            try body(tag, command, answer)
        }
    }
}
