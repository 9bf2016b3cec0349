import HardwareBus
import Platform
import RAIDControllerInterface
import Synchronization

/// The card's end of the two rings that the driver programmed.
///
/// Threads: registers from the driver's queues; `take` and `post` on any lane.
final class CardRings: Sendable {
    private let dart: DART
    private let submissionLock = Lock()
    private let completionLock = Lock()
    /// The driver's doorbell.
    private let submissionTail = Atomic<UInt32>(0)
    /// One past the last command taken. Written under `submissionLock`.
    private let submissionHead = Atomic<UInt32>(0)
    // SAFETY: `completionTail` changes under `completionLock`; the pointers change under both locks.
    private nonisolated(unsafe) var completionTail: UInt32 = 0
    private nonisolated(unsafe) var submissions: UnsafeMutableRawPointer?
    private nonisolated(unsafe) var completions: UnsafeMutableRawPointer?
    // SAFETY: changed under both locks.
    /// Of both, as long as the card uses them.
    private nonisolated(unsafe) var submissionPin: DART.Pin?
    private nonisolated(unsafe) var completionPin: DART.Pin?
    private nonisolated(unsafe) var submissionCapacity: UInt32 = 0
    // SAFETY: the pointer never changes; its content is touched under `submissionLock`, the capacity set under both.
    /// The commands from head to tail, at the same places as in the ring; made when the doorbell rings.
    private nonisolated(unsafe) let fetched: UnsafeMutablePointer<FetchedCommand>
    private nonisolated(unsafe) var completionCapacity: UInt32 = 0
    /// Commands that were taken and not answered. Grows under `submissionLock`.
    private let takenCount = Atomic<Int>(0)
    // SAFETY: touched only under `submissionLock`.
    /// Register values that take effect with `enable`.
    private nonisolated(unsafe) var registers: [Int: UInt32] = [:]

    init(dart: DART) {
        self.dart = dart
        fetched = .allocate(capacity: Self.capacityMax)
    }

    deinit {
        // While the DART is there.
        letGo()
        fetched.deallocate()
    }

    /// Entries that a ring may have at most.
    private static let capacityMax = 1024

    func write(_ register: Int, _ value: UInt32) {
        switch register {
        case RAIDControllerRegister.submissionTail:
            fetchSubmissions(until: value)
        case RAIDControllerRegister.control where value & RAIDControllerRegister.controlEnable != 0: enable()
        case RAIDControllerRegister.control: disable()
        case RAIDControllerRegister.submissionBaseLow...RAIDControllerRegister.submissionCapacity,
            RAIDControllerRegister.completionBaseLow...RAIDControllerRegister.completionCapacity:
            submissionLock.withLock { registers[register] = value }
        default: break
        }
    }

    /// The card has commands, and their memory, from the moment the doorbell rings. It copies them, since the driver may
    /// write to its ring at any time. A tail that goes back, or is further ahead than the ring has room, is not believed.
    private func fetchSubmissions(until tail: UInt32) {
        submissionLock.withLock {
            guard let submissions else { return }
            var index = submissionTail.load(ordering: .relaxed)
            let waiting = index &- submissionHead.load(ordering: .relaxed)
            guard tail &- index <= submissionCapacity - waiting else { return }
            while index != tail {
                let offset = Int(index & (submissionCapacity - 1))
                let descriptor = (submissions + offset * RAIDCommandDescriptor.stride)
                    .loadUnaligned(as: RAIDCommandDescriptor.self)
                (fetched + offset).initialize(
                    to: FetchedCommand(descriptor: descriptor, pin: dart.pin(descriptor.dataAddress)))
                index &+= 1
            }
            submissionTail.store(tail, ordering: .releasing)
        }
    }

    /// Lets go of the memory of commands that nobody will take. Under `submissionLock`.
    private func forgetSubmissions() {
        let tail = submissionTail.load(ordering: .relaxed)
        var index = submissionHead.load(ordering: .relaxed)
        while index != tail {
            (fetched + Int(index & (submissionCapacity - 1))).deinitialize(count: 1)
            index &+= 1
        }
        submissionHead.store(tail, ordering: .relaxed)
    }

    /// Whether commands wait. A hint: another lane may take them first.
    var hasSubmissions: Bool {
        submissionTail.load(ordering: .acquiring) != submissionHead.load(ordering: .relaxed)
    }

    /// Takes up to `limit` commands, oldest first; no more than the card has room for. The rest waits until commands are
    /// answered.
    /// - Parameter commands: room for them, not initialised.
    func take(into commands: UnsafeMutablePointer<FetchedCommand>, limit: Int) -> Int {
        submissionLock.withLock {
            let tail = submissionTail.load(ordering: .acquiring)
            var head = submissionHead.load(ordering: .relaxed)
            var taken = 0
            let limit = min(limit, RAIDController.commandCapacity - takenCount.load(ordering: .acquiring))
            while head != tail && taken < limit {
                (commands + taken).moveInitialize(from: fetched + Int(head & (submissionCapacity - 1)), count: 1)
                head &+= 1
                taken += 1
            }
            submissionHead.store(head, ordering: .releasing)
            takenCount.add(taken, ordering: .relaxed)
            return taken
        }
    }

    /// Writes completions and publishes them with one store. Their entries in the command table are free again.
    func post(_ batch: UnsafeBufferPointer<RAIDCompletionDescriptor>) {
        takenCount.subtract(batch.count, ordering: .releasing)
        completionLock.withLock {
            guard let completions else { return }
            for completion in batch {
                let offset = Int(completionTail & (completionCapacity - 1)) * RAIDCompletionDescriptor.stride
                (completions + RAIDCompletionDescriptor.ringHeaderByteCount + offset)
                    .storeBytes(of: completion, as: RAIDCompletionDescriptor.self)
                completionTail &+= 1
            }
            atomicMemoryFence(ordering: .releasing)
            completions.storeBytes(of: completionTail, as: UInt32.self)
        }
    }

    /// Takes the programmed addresses into use. Rings that are not mapped, that lie in a task's memory, or whose capacity
    /// is not a power of two, leave the card disabled: it will not answer.
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
        // A task ends when its memory is not pinned: a ring there would keep it for ever.
        guard let submissionPin = dart.pin(address(RAIDControllerRegister.submissionBaseLow)), !submissionPin.isOfTask,
            let completionPin = dart.pin(address(RAIDControllerRegister.completionBaseLow)), !completionPin.isOfTask
        else { return }
        submissions = submissionPin.memory(
            byteCount: Int(submissionCapacity) * RAIDCommandDescriptor.stride, deviceWrites: false)
        completions = completionPin.memory(
            byteCount: RAIDCompletionDescriptor.ringHeaderByteCount
                + Int(completionCapacity) * RAIDCompletionDescriptor.stride, deviceWrites: true)
        self.submissionPin = consume submissionPin
        self.completionPin = consume completionPin
        submissionHead.store(0, ordering: .relaxed)
        completionTail = 0
        submissionTail.store(0, ordering: .releasing)
    }

    private func disable() {
        submissionLock.lock()
        completionLock.lock()
        letGo()
        completionLock.unlock()
        submissionLock.unlock()
    }

    /// Lets go of the rings, and of the commands that nobody has taken. Under both locks.
    private func letGo() {
        forgetSubmissions()
        submissions = nil
        completions = nil
        submissionPin = nil
        completionPin = nil
    }

    private func address(_ lowRegister: Int) -> UInt64 {
        UInt64(registers[lowRegister] ?? 0) | UInt64(registers[lowRegister + 4] ?? 0) << 32
    }
}

/// A command as the card has copied it, and its hold on the command's memory; nil when the address is none.
struct FetchedCommand: ~Copyable {
    let descriptor: RAIDCommandDescriptor
    var pin: DART.Pin?
}
