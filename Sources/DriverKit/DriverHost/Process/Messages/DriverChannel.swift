import CDriverKit
import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// The memory by which messages go to a driver's process and back, as pairs of rings, and whether they may.
///
/// The first pair serves everybody. In bundled mode on several processors, each processor group has one more, for the
/// batches that it sends.
///
/// Threads: `renew` and `file` on the thread that starts the driver; the rest on any.
final class DriverChannel: @unchecked Sendable {
    // SAFETY: `file` belongs to the thread that starts the driver; the rest never changes; rings protect themselves.
    let pairs: [RingPair]
    let groups: ProcessorGroups
    private let memory: UnsafeMutableRawPointer
    /// A new file for each start: processes that an earlier driver has started may have the old one.
    private(set) var file: Int32
    /// The driver's process writes this when it crashes.
    let crashNote: UnsafeMutablePointer<nbdext_crash_note>
    /// The last messages in both directions.
    let history = MessageHistory()
    /// The number of tasks that were sent and not completed: a hint whether it pays to wait for a message.
    let outstandingCount = Atomic<Int>(0)
    /// Whether tasks may be sent. Read under a pair's `producerLock`.
    private let running = Atomic<Bool>(false)
    /// Whether the driver's register writes reach the card. Read under a pair's `consumerLock`.
    private let connected = Atomic<Bool>(false)
    /// A batch of at least so many tasks goes by the pair of its processor.
    private static let boundTaskCountMin = kMaxBundledParallelTasks / 2

    /// The number of pairs for a driver in this mode.
    static func pairCount(mode: DriverMode, groups: ProcessorGroups) -> Int {
        mode == .bundled && groups.count > 1 ? 1 + groups.count : 1
    }

    /// - Throws: when the system refuses the memory.
    init(pairCount: Int, groups: ProcessorGroups, context: DriverContext) throws(OSError) {
        self.groups = groups
        let (file, memory) = try SharedMemory.make("nbdext-channel", byteCount: Self.byteCount(pairCount))
        (self.file, self.memory) = (file, memory)
        pairs = (0..<pairCount).map { RingPair(index: $0, channel: memory, context: context) }
        crashNote = nbdext_channel_last_words(memory).assumingMemoryBound(to: nbdext_crash_note.self)
    }

    deinit {
        munmap(memory, Self.byteCount(pairs.count))
        close(file)
    }

    private static func byteCount(_ pairCount: Int) -> Int { nbdext_channel_size(UInt32(pairCount)) }

    /// The pair by which an exchange goes: a batch by that of its processor, anything else by the first one.
    func pair(of exchange: inout Exchange) -> RingPair {
        if let way = exchange.way { return pairs[way] }
        let way = pairs.count > 1 && exchange.taskCount >= Self.boundTaskCountMin ? 1 + groups.current : 0
        exchange.way = way
        return pairs[way]
    }

    /// Passes the card's interrupt on, by the pair for which this thread fetches messages.
    func interrupt() { pairs[Int(nbdext_current_pair())].sendInterrupt() }

    /// Puts new memory in the place of the old, for a new process, and connects it. The driver before it is gone.
    /// - Parameter prepare: runs while no thread sends or takes messages.
    func renew(_ prepare: () -> Void) throws(OSError) {
        assert(!isRunning, "the channel of a driver that has tasks was taken away")
        for pair in pairs {
            pair.consumerLock.lock()
            pair.producerLock.lock()
        }
        defer {
            for pair in pairs {
                pair.producerLock.unlock()
                pair.consumerLock.unlock()
            }
        }
        let old = file
        file = try SharedMemory.replace(memory, "nbdext-channel", byteCount: Self.byteCount(pairs.count))
        close(old)
        for pair in pairs { pair.reset() }
        outstandingCount.store(0, ordering: .relaxed)
        prepare()
        connected.store(true, ordering: .releasing)
    }

    // MARK: What may pass

    /// Whether tasks may be sent.
    var isRunning: Bool { running.load(ordering: .acquiring) }

    /// Whether the driver's register writes reach the card.
    var isConnected: Bool { connected.load(ordering: .acquiring) }

    /// Lets tasks pass from now on, or none any more. Threads that read the old value have finished afterwards.
    func setRunning(_ isRunning: Bool) {
        running.store(isRunning, ordering: .releasing)
        for pair in pairs { pair.producerLock.withLock {} }
    }

    /// Cuts the driver off: no task goes to it any more, and its register writes do not reach the card. Its completions
    /// still count.
    func disconnect() {
        setRunning(false)
        connected.store(false, ordering: .releasing)
        // After this, threads that read the old value have finished.
        for pair in pairs { pair.consumerLock.withLock {} }
    }
}
