import HardwareBus
import Platform
import RAIDControllerInterface
import Synchronization

/// The card's end of the two rings that the driver programmed.
///
/// Threads: registers from the driver's queues; `take` and `post` on any lane.
final class CardRings: Sendable {
    private let dart: DART
    private let commands: CommandTable
    private let submissionLock = Lock()
    private let completionLock = Lock()
    /// The last value of the driver's doorbell. Written under `submissionLock`.
    private let announcedTail = Atomic<UInt32>(0)
    /// One past the last command copied. Written under `submissionLock`.
    private let copiedTail = Atomic<UInt32>(0)
    /// The copied commands that no lane has taken, by number, in the order of the ring.
    private let arrived: IndexQueue
    // SAFETY: `completionTail` changes under `completionLock`; the pointers change under both locks.
    private nonisolated(unsafe) var completionTail: UInt32 = 0
    private nonisolated(unsafe) var submissions: UnsafeMutableRawPointer?
    private nonisolated(unsafe) var completions: UnsafeMutableRawPointer?
    // SAFETY: changed under both locks.
    /// These hold the rings' memory as long as the card uses it.
    private nonisolated(unsafe) var submissionPin: DART.Pin?
    private nonisolated(unsafe) var completionPin: DART.Pin?
    private nonisolated(unsafe) var submissionCapacity: UInt32 = 0
    private nonisolated(unsafe) var completionCapacity: UInt32 = 0
    // SAFETY: changed under both locks.
    /// How often the card has let go of its rings. A command that was taken before belongs to a driver that is gone.
    private nonisolated(unsafe) var epoch: UInt32 = 0
    // SAFETY: touched only under `submissionLock`.
    /// Register values that take effect with `enable`.
    private nonisolated(unsafe) var registers: [Int: UInt32] = [:]

    /// - Parameter commands: where the driver's commands are copied to.
    init(dart: DART, commands: CommandTable) {
        self.dart = dart
        self.commands = commands
        arrived = IndexQueue(indexCount: commands.capacity)
    }

    deinit {
        // The pins must end before the DART does.
        letGo()
    }

    /// The most entries of a ring.
    private static let capacityMax = 1024

    func write(_ register: Int, _ value: UInt32) {
        switch register {
        case RAIDControllerRegister.submissionTail:
            announce(value)
        case RAIDControllerRegister.control where value & RAIDControllerRegister.controlEnable != 0: enable()
        case RAIDControllerRegister.control: disable()
        case RAIDControllerRegister.submissionBaseLow...RAIDControllerRegister.submissionCapacity,
            RAIDControllerRegister.completionBaseLow...RAIDControllerRegister.completionCapacity:
            submissionLock.withLock { registers[register] = value }
        default: break
        }
    }

    /// Takes note of the doorbell. A tail that goes back, or further ahead than the ring has room, is ignored.
    private func announce(_ tail: UInt32) {
        submissionLock.withLock {
            guard submissions != nil else { return }
            let last = announcedTail.load(ordering: .relaxed)
            let waiting = last &- copiedTail.load(ordering: .relaxed)
            guard tail &- last <= submissionCapacity - waiting else { return }
            announcedTail.store(tail, ordering: .relaxed)
            copyCommands()
            assert(
                tail &- copiedTail.load(ordering: .relaxed) <= submissionCapacity, "a command can be overwritten")
        }
    }

    /// Copies announced commands into free entries of the command table, and pins their memory. The copy protects the
    /// card from a driver that writes to its ring later. Commands that find no free entry stay in the ring until others
    /// are answered. Under `submissionLock`.
    private func copyCommands() {
        let tail = announcedTail.load(ordering: .relaxed)
        var index = copiedTail.load(ordering: .relaxed)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: CardLane.commandBatch) { numbers in
            let numbers = numbers.baseAddress!
            while index != tail {
                let limit = min(Int(tail &- index), CardLane.commandBatch)
                var count = commands.claim(into: numbers, limit: limit)
                if count == 0 {
                    // See `post`.
                    atomicMemoryFence(ordering: .sequentiallyConsistent)
                    count = commands.claim(into: numbers, limit: limit)
                    if count == 0 { return }
                }
                for position in 0..<count { copyCommand(index &+ UInt32(position), to: numbers[position]) }
                arrived.append(count: count) { UInt16(numbers[$0]) }
                index &+= UInt32(count)
                copiedTail.store(index, ordering: .relaxed)
            }
        }
    }

    private func copyCommand(_ index: UInt32, to number: UInt32) {
        let offset = Int(index & (submissionCapacity - 1)) * MemoryLayout<RAIDCommandDescriptor>.stride
        let descriptor = (submissions! + offset).loadUnaligned(as: RAIDCommandDescriptor.self)
        let command = commands[number]
        assert(command.pointee.pin == nil, "the command in this entry has not ended")
        command.pointee = CardCommand(descriptor: descriptor, epoch: epoch)
        command.pointee.pin = dart.pin(descriptor.dataAddress)
    }

    /// Drops the commands that no lane has taken, and their pins. Under `submissionLock`.
    private func forgetCommands() {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: CardLane.commandBatch) { numbers in
            while true {
                let count = take(into: numbers.baseAddress!, limit: CardLane.commandBatch)
                if count == 0 { return }
                for number in numbers[..<count] { commands[number].pointee.pin = nil }
                commands.release(UnsafeBufferPointer(rebasing: numbers[..<count]))
            }
        }
    }

    /// Whether commands wait to be taken. This is a hint: another lane may take them first.
    var hasCommands: Bool { !arrived.isEmpty }

    /// Takes the oldest commands that were copied, up to `limit`. They are the caller's then.
    /// - Returns: their number.
    func take(into numbers: UnsafeMutablePointer<UInt32>, limit: Int) -> Int {
        arrived.take(limit: limit) { numbers[$0] = UInt32($1) }.count
    }

    /// Answers commands: writes their completions, frees their entries of the command table, and publishes the
    /// completions with one store. Commands that the rings' present driver has not given get no completion.
    func post(_ numbers: UnsafeBufferPointer<UInt32>) {
        completionLock.withLock {
            if let completions {
                for number in numbers where commands[number].pointee.epoch == epoch {
                    let index = Int(completionTail & (completionCapacity - 1))
                    let offset = index * MemoryLayout<RAIDCompletionDescriptor>.stride
                    (completions + MemoryLayout<RAIDCompletionRingHeader>.size + offset)
                        .storeBytes(of: commands[number].pointee.completion, as: RAIDCompletionDescriptor.self)
                    completionTail &+= 1
                }
            }
            // A driver that sees a completion finds room for its next command.
            commands.release(numbers)
            guard let completions else { return }
            atomicMemoryFence(ordering: .releasing)
            completions.storeBytes(of: completionTail, as: UInt32.self)
        }
        // With the fence in `copyCommands`: either that thread finds the entries, or this one the commands.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if announcedTail.load(ordering: .relaxed) != copiedTail.load(ordering: .relaxed) {
            submissionLock.withLock { copyCommands() }
        }
    }

    /// Starts to use the programmed rings. The card stays disabled, and answers nothing, if a ring is not mapped, lies
    /// in a task's memory, or has a capacity that is not a power of two or is above `capacityMax`.
    private func enable() {
        submissionLock.lock()
        completionLock.lock()
        defer {
            completionLock.unlock()
            submissionLock.unlock()
        }
        letGo()
        let submissionCapacity = registers[RAIDControllerRegister.submissionCapacity] ?? 0
        let completionCapacity = registers[RAIDControllerRegister.completionCapacity] ?? 0
        guard submissionCapacity.nonzeroBitCount == 1, completionCapacity.nonzeroBitCount == 1,
            submissionCapacity <= Self.capacityMax, completionCapacity <= Self.capacityMax
        else { return }
        self.submissionCapacity = submissionCapacity
        self.completionCapacity = completionCapacity
        // A task cannot end while its memory is pinned: a ring there would keep it from ending for ever.
        guard let submissionPin = dart.pin(address(RAIDControllerRegister.submissionBaseLow)), !submissionPin.isOfTask,
            let completionPin = dart.pin(address(RAIDControllerRegister.completionBaseLow)), !completionPin.isOfTask
        else { return }
        submissions = submissionPin.memory(
            byteCount: RAIDCommandDescriptor.ringByteCount(capacity: Int(submissionCapacity)), deviceWrites: false)
        completions = completionPin.memory(
            byteCount: RAIDCompletionDescriptor.ringByteCount(capacity: Int(completionCapacity)), deviceWrites: true)
        self.submissionPin = consume submissionPin
        self.completionPin = consume completionPin
        completionTail = 0
    }

    private func disable() {
        submissionLock.lock()
        completionLock.lock()
        letGo()
        completionLock.unlock()
        submissionLock.unlock()
    }

    /// Drops the rings, and the commands that no lane has taken. Under both locks.
    private func letGo() {
        announcedTail.store(0, ordering: .relaxed)
        copiedTail.store(0, ordering: .relaxed)
        forgetCommands()
        epoch &+= 1
        submissions = nil
        completions = nil
        submissionPin = nil
        completionPin = nil
    }

    private func address(_ lowRegister: Int) -> UInt64 {
        UInt64(registers[lowRegister] ?? 0) | UInt64(registers[lowRegister + 4] ?? 0) << 32
    }
}
