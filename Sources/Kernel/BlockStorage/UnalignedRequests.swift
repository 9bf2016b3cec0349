import ParallelInterface
import Platform
import Synchronization

/// The unaligned requests of a device, of which one runs at a time, and the writes that wait for its end.
///
/// Threads: any; the running request belongs to the thread that advances it.
final class UnalignedRequests: @unchecked Sendable {
    // SAFETY: the queues are touched under `lock`; the running request's fields belong to the thread that advances it.

    /// The running request's work under way.
    enum Phase {
        case start
        /// Reading the blocks of a step into the bounce buffer.
        case readingSpan
        /// Reading the first block, which a write covers in part.
        case readingHead
        /// Reading the last block, which a write covers in part.
        case readingTail
        case writing
        /// Zeroing whole blocks without the bounce buffer.
        case zeroing
    }

    let bounce: UnsafeMutableRawBufferPointer
    var phase = Phase.start
    /// The device's bytes that the step of the running request moves: `stepStart` ..< `stepEnd`.
    var stepStart: UInt64 = 0
    var stepEnd: UInt64 = 0

    private let arena: DataArena
    private let lock = Lock()
    private var queue: [TaskIndex] = []
    private var held: [TaskIndex] = []
    private var running: TaskIndex?
    /// Set when an unaligned request ends while writes are held back, so that a client that sends nothing but unaligned
    /// requests cannot hold others' writes back for ever.
    private var heldComeFirst = false
    /// A request may have to be started or released. Set by a thread that cannot do so at once.
    private let hasNews = Atomic<Bool>(false)

    init(arena: DataArena) throws {
        guard let bounce = arena.allocate(byteCount: Int(BreakUpLimits.unalignedStepByteCountMax) + 8192) else {
            throw OSError(code: 12, doing: "find a bounce buffer in the data arena")
        }
        self.arena = arena
        self.bounce = bounce
    }

    deinit { arena.free(bounce) }

    /// Queues an unaligned request.
    func append(_ taskIndex: TaskIndex) {
        lock.withLock { queue.append(taskIndex) }
        notice()
    }

    /// Holds an ordinary write back until the gate opens.
    func hold(_ taskIndex: TaskIndex) {
        lock.withLock { held.append(taskIndex) }
    }

    /// Notes that a request may have to be started or released, since the gate has changed.
    func notice() { hasNews.store(true, ordering: .releasing) }

    /// Whether a request may have to be started or released. Cheap, since it is asked after every batch.
    func takeNews() -> Bool {
        guard hasNews.load(ordering: .acquiring) else { return false }
        return hasNews.exchange(false, ordering: .acquiringAndReleasing)
    }

    /// Takes the first waiting request as the running one.
    /// - Returns: nil if one runs, none waits, `mayRun` says no, or the held writes come first.
    func takeNext(mayRun: (TaskIndex) -> Bool) -> TaskIndex? {
        lock.withLock {
            guard running == nil, !heldComeFirst, let next = queue.first, mayRun(next) else { return nil }
            queue.removeFirst()
            running = next
            phase = .start
            return next
        }
    }

    /// Opens the gate and takes the held writes, if no request runs and either none waits or it is the writes' turn.
    func takeHeld(open: () -> Void) -> [TaskIndex] {
        lock.withLock {
            guard running == nil, queue.isEmpty || heldComeFirst else { return [] }
            heldComeFirst = false
            open()
            if !queue.isEmpty { notice() }
            let taken = held
            held = []
            return taken
        }
    }

    /// Ends the running request.
    func finish() {
        lock.withLock {
            running = nil
            heldComeFirst = !held.isEmpty
        }
        notice()
    }
}
