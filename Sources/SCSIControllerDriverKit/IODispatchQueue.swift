// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Platform
import Synchronization

/// A serial dispatch queue: a domain of mutual exclusion, not a thread.
///
/// It runs on whichever thread brings work while it is idle. Work that arrives while it is busy is left for the
/// thread that runs it, which takes all of it before it leaves: that is how bundles form, and it costs no change
/// of threads.
///
/// Two kinds of work exist: *sources*, registered once and signalled often without allocation (the submission
/// doorbell, the interrupt line), and *blocks* (the control plane).
public final class IODispatchQueue: OSObject, @unchecked Sendable {
    /// Bit 31: somebody runs the queue. Bit 30: blocks are waiting. Below: a bit for each signalled source.
    private let state = Atomic<UInt32>(0)
    private static let running: UInt32 = 1 << 31
    private static let blocksPending: UInt32 = 1 << 30
    private static let sourceCountMax = 30

    /// `pthread_self` of the thread that runs the queue, 0 when it is idle.
    private let runner = Atomic<UInt>(0)
    public let name: String

    private let lock = Lock()
    // SAFETY: `blocks` only under `lock`; `sources` is complete before the first signal.
    private nonisolated(unsafe) var blocks: [@Sendable () -> Void] = []
    private nonisolated(unsafe) var sources: [@Sendable () -> Void] = []

    package init(name: String) { self.name = name }

    /// Makes a serial queue. Options and priority are 0.
    public static func Create(
        _ name: String, _ options: UInt64, _ priority: UInt64, _ queue: inout IODispatchQueue?
    ) -> kern_return_t {
        queue = IODispatchQueue(name: name)
        return kIOReturnSuccess
    }

    /// Whether the calling thread is inside this queue.
    public func OnQueue() -> Bool {
        runner.load(ordering: .relaxed) == currentThreadID()
    }

    /// Runs a block on the queue and returns when it has run.
    ///
    /// A block that waits for its own queue would wait for ever; that is a trap with the queue's name.
    public func DispatchSync(_ block: () -> Void) {
        precondition(!OnQueue(), "queue \(name) waits for itself: DispatchSync was called on the queue it names")
        let done = Event()
        withoutActuallyEscaping(block) { block in
            // SAFETY: this frame outlives the block's only run, as it waits for `done`.
            nonisolated(unsafe) let block = block
            append {
                block()
                done.set()
            }
            signal(mask: Self.blocksPending)
            done.wait()
        }
    }

    /// Runs a block on the queue later, never inside the caller's own queue section.
    public func DispatchAsync(_ block: @escaping @Sendable () -> Void) {
        append(block)
        do {
            let thread = try OSThread(name: name) { self.signal(mask: Self.blocksPending) }
            thread.detach()
        } catch {
            // Out of threads: the next thread that brings work to this queue runs the block.
            state.bitwiseOr(Self.blocksPending, ordering: .acquiringAndReleasing)
        }
    }

    /// Registers work that is signalled, not carried. Call before the first signal.
    /// - Parameter drain: does everything that is there to do; runs on the queue.
    /// - Returns: what to pass to `signal`.
    package func addSource(_ drain: @escaping @Sendable () -> Void) -> UInt32 {
        precondition(sources.count < Self.sourceCountMax)
        sources.append(drain)
        return 1 << UInt32(sources.count - 1)
    }

    /// Says that a source has work, and runs the queue unless another thread does.
    package func signal(mask: UInt32) {
        let old = state.bitwiseOr(mask | Self.running, ordering: .acquiringAndReleasing).oldValue
        if old & Self.running == 0 { run() }
    }

    private func run() {
        let thread = currentThreadID()
        repeat {
            runner.store(thread, ordering: .relaxed)
            var pending = state.exchange(Self.running, ordering: .acquiringAndReleasing) & ~Self.running
            if pending & Self.blocksPending != 0 {
                runBlocks()
                pending &= ~Self.blocksPending
            }
            while pending != 0 {
                let index = pending.trailingZeroBitCount
                pending &= pending - 1
                sources[index]()
            }
            runner.store(0, ordering: .relaxed)
        } while !state.compareExchange(
            expected: Self.running, desired: 0, ordering: .acquiringAndReleasing
        ).exchanged
    }

    private func append(_ block: @escaping @Sendable () -> Void) {
        lock.withLock { blocks.append(block) }
    }

    private func runBlocks() {
        let taken = lock.withLock {
            let taken = blocks
            blocks = []
            return taken
        }
        for block in taken { block() }
    }
}
