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
    /// The last value of the driver's doorbell: one past the last command copied. Written under `submissionLock`.
    private let submissionTail = Atomic<UInt32>(0)
    /// One past the last command taken. Written under `submissionLock`.
    private let submissionHead = Atomic<UInt32>(0)
    // SAFETY: `completionTail` changes under `completionLock`; the pointers change under both locks.
    private nonisolated(unsafe) var completionTail: UInt32 = 0
    private nonisolated(unsafe) var submissions: UnsafeMutableRawPointer?
    private nonisolated(unsafe) var completions: UnsafeMutableRawPointer?
    // SAFETY: changed under both locks.
    /// These hold the rings' memory as long as the card uses it.
    private nonisolated(unsafe) var submissionPin: DART.Pin?
    private nonisolated(unsafe) var completionPin: DART.Pin?
    private nonisolated(unsafe) var submissionCapacity: UInt32 = 0
    // SAFETY: the pointer never changes; its content is touched under `submissionLock`, the capacity set under both.
    /// The commands from head to tail, at the same positions as in the ring; copied when the doorbell rings.
    private nonisolated(unsafe) let fetched: UnsafeMutablePointer<FetchedCommand>
    private nonisolated(unsafe) var completionCapacity: UInt32 = 0
    /// The number of commands that were taken and are not answered. It grows under `submissionLock` only.
    private let takenCount = Atomic<Int>(0)
    // SAFETY: changed under both locks.
    /// How often the card has let go of its rings. A command that was taken before belongs to a driver that is gone.
    private nonisolated(unsafe) var epoch: UInt32 = 0
    // SAFETY: touched only under `submissionLock`.
    /// Register values that take effect with `enable`.
    private nonisolated(unsafe) var registers: [Int: UInt32] = [:]

    init(dart: DART) {
        self.dart = dart
        fetched = .allocate(capacity: Self.capacityMax)
    }

    deinit {
        // The pins must end before the DART does.
        letGo()
        fetched.deallocate()
    }

    /// The most entries of a ring.
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

    /// Copies new commands, and pins their memory, when the doorbell rings. The copy protects the card from a driver
    /// that writes to its ring later. A tail that goes back, or further ahead than the ring has room, is ignored.
    private func fetchSubmissions(until tail: UInt32) {
        submissionLock.withLock {
            guard let submissions else { return }
            var index = submissionTail.load(ordering: .relaxed)
            let waiting = index &- submissionHead.load(ordering: .relaxed)
            guard tail &- index <= submissionCapacity - waiting else { return }
            while index != tail {
                let offset = Int(index & (submissionCapacity - 1))
                let descriptor = (submissions + offset * MemoryLayout<RAIDCommandDescriptor>.stride)
                    .loadUnaligned(as: RAIDCommandDescriptor.self)
                (fetched + offset).initialize(
                    to: FetchedCommand(
                        descriptor: descriptor, epoch: epoch, pin: dart.pin(descriptor.dataAddress)))
                index &+= 1
            }
            submissionTail.store(tail, ordering: .releasing)
        }
    }

    /// Drops the commands that no lane has taken, and their pins. Under `submissionLock`.
    private func forgetSubmissions() {
        let tail = submissionTail.load(ordering: .relaxed)
        var index = submissionHead.load(ordering: .relaxed)
        while index != tail {
            (fetched + Int(index & (submissionCapacity - 1))).deinitialize(count: 1)
            index &+= 1
        }
        submissionHead.store(tail, ordering: .relaxed)
    }

    /// Whether commands wait. This is a hint: another lane may take them first.
    var hasSubmissions: Bool {
        submissionTail.load(ordering: .acquiring) != submissionHead.load(ordering: .relaxed)
    }

    /// Takes the oldest commands: at most `limit`, and at most as many as the card has room for. The others wait until
    /// commands are answered.
    /// - Parameter commands: uninitialised memory for `limit` commands.
    /// - Returns: the number of commands taken.
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

    /// Writes completions, and publishes them with one store. Those of commands that the rings' present driver has not
    /// given are dropped. The caller has freed their entries of the command table.
    func post(_ batch: UnsafeBufferPointer<FinishedCommand>) {
        takenCount.subtract(batch.count, ordering: .releasing)
        completionLock.withLock {
            guard let completions else { return }
            for finished in batch where finished.epoch == epoch {
                let index = Int(completionTail & (completionCapacity - 1))
                let offset = index * MemoryLayout<RAIDCompletionDescriptor>.stride
                (completions + MemoryLayout<RAIDCompletionRingHeader>.size + offset)
                    .storeBytes(of: finished.completion, as: RAIDCompletionDescriptor.self)
                completionTail &+= 1
            }
            atomicMemoryFence(ordering: .releasing)
            completions.storeBytes(of: completionTail, as: UInt32.self)
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

    /// Drops the rings, and the commands that no lane has taken. Under both locks.
    private func letGo() {
        forgetSubmissions()
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

/// The card's copy of a command, and the pin of the command's memory.
struct FetchedCommand: ~Copyable {
    let descriptor: RAIDCommandDescriptor
    /// The rings' epoch when the command was copied.
    let epoch: UInt32
    /// Nil when the command's address is in no window.
    var pin: DART.Pin?
}

/// A completion on its way to the ring.
struct FinishedCommand: BitwiseCopyable {
    var completion: RAIDCompletionDescriptor
    /// The rings' epoch when the command was copied.
    var epoch: UInt32
}
