import Platform
import Synchronization

/// The unaligned requests of a device, of which one runs at a time, and the writes that wait until it is over.
///
/// Threads: any; the running request belongs to the thread that advances it.
final class UnalignedRequests: @unchecked Sendable {
    // SAFETY: the queues are touched under `lock`; `running`'s fields belong to whoever advances it.

    /// What the running request is doing.
    enum Phase {
        case start
        /// Reading the blocks of a step into the bounce buffer.
        case readingSpan
        /// Reading the first, or the last, block that a write covers in part.
        case readingHead
        case readingTail
        case writing
        /// Zeroing whole blocks without the bounce buffer.
        case zeroing
    }

    let bounce: UnsafeMutableRawBufferPointer
    var phase = Phase.start
    /// The bytes of the running request that the step is about, from its start.
    var stepStart: UInt64 = 0
    var stepEnd: UInt64 = 0

    private let arena: DataArena
    private let lock = Lock()
    private var queue: [UInt32] = []
    private var held: [UInt32] = []
    private var running: UInt32?
    /// Set when an unaligned request ends while writes are kept back: a client that sends nothing but unaligned
    /// requests must not keep the others' writes back for ever.
    private var heldComeFirst = false
    /// Something has to be started or released; set by whoever cannot do it at once.
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
    func append(_ row: UInt32) {
        lock.withLock { queue.append(row) }
        notice()
    }

    /// Keeps an ordinary write back until the gate opens.
    func hold(_ row: UInt32) {
        lock.withLock { held.append(row) }
    }

    /// The gate has changed: something may have to be started or released.
    func notice() { hasNews.store(true, ordering: .releasing) }

    /// Whether there may be something to start. Cheap; asked after every batch.
    func takeNews() -> Bool {
        guard hasNews.load(ordering: .acquiring) else { return false }
        return hasNews.exchange(false, ordering: .acquiringAndReleasing)
    }

    /// The request to run now: if none runs, the first that waits, if it may run. Writes that were kept back while the
    /// last one ran come first.
    func takeNext(mayRun: (UInt32) -> Bool) -> UInt32? {
        lock.withLock {
            guard running == nil, !heldComeFirst, let next = queue.first, mayRun(next) else { return nil }
            queue.removeFirst()
            running = next
            phase = .start
            return next
        }
    }

    /// If nothing runs, and nothing waits or it is their turn: opens the gate and takes the writes that were kept back.
    func takeHeld(open: () -> Void) -> [UInt32] {
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
