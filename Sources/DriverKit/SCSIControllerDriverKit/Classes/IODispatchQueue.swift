// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDriverKit
import Diagnostics
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
    // SAFETY: the fields are constants, atomics, or under `lock` as noted beside them.
    /// Bit 31: somebody runs the queue. Bit 30: blocks are waiting. Below: a bit for each signalled source.
    private let state = Atomic<UInt32>(0)
    private static let running: UInt32 = 1 << 31
    private static let blocksPending: UInt32 = 1 << 30
    private static let sourceCountMax = 30
    private static let claimAttempts = 200

    /// `pthread_self` of the thread that runs the queue, 0 when it is idle.
    private let runner = Atomic<UInt>(0)
    /// The address of the name of what runs: a static string.
    private let activityAddress = Atomic<UInt>(0)
    /// Whether the block that runs may be there to complete a command.
    private let blockCarries = Atomic<Bool>(false)
    /// Goes up whenever the queue takes up new work, so that somebody who looks twice sees whether it moves.
    private let turns = Atomic<UInt32>(0)
    private let sourceCount = Atomic<Int>(0)
    /// The name that it was created with.
    public let name: String
    /// Whether it is a driver's Default queue, on which the kernel calls.
    package let isDefault: Bool
    private let context: DriverContext?
    private let contextPointer: UnsafeMutableRawPointer?

    private let lock = Lock()
    // SAFETY: `blocks` only under `lock`; `sources` too while they are added, and complete before the first signal.
    private nonisolated(unsafe) var blocks: [Block] = []
    private nonisolated(unsafe) var sources: [Source] = []

    private struct Block {
        var activity: StaticString
        var carries = Carries.nothing
        var ticket: OneShotEvent?
        /// Which work had to leave it.
        var waiter: Waiter?
        var run: @Sendable () -> Void
    }

    /// Another queue's work that waits for its turn on this queue, and runs on the thread that has both.
    struct Waiter {
        var queue: String
        var activity: String
        var purpose: String
    }

    /// Whether a block may be there to complete a command, by who left it.
    private enum Carries {
        case nothing
        /// Code that handles tasks or interrupts.
        case completion
        /// A thread of the driver's own, at that time, monotonic milliseconds.
        case perhaps(UInt64)
    }

    private static let anonymousBlocks = ["a block of DispatchSync", "a block of DispatchAsync"]
    private static let carriers = [
        "the interrupt handler", "UserProcessParallelTask", "UserProcessBundledParallelTasks", "ProcessParallelTask",
    ]

    private struct Source {
        var activity: StaticString
        var drain: @Sendable () -> Void
    }

    /// - Parameter context: the driver whose code runs here; nil means that of the calling thread.
    package init(name: String, context: DriverContext? = nil, isDefault: Bool = false) {
        self.name = name
        self.isDefault = isDefault
        self.context = context ?? DriverContext.current
        contextPointer = self.context.map { Unmanaged.passUnretained($0).toOpaque() }
        super.init()
        // A source may be added while others run: the list stays where it is.
        sources.reserveCapacity(Self.sourceCountMax)
        self.context?.add(self)
    }

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
    /// A block that could never run, as its queue waits for the caller, is reported and left out.
    public func DispatchSync(_ block: () -> Void) {
        _ = runSync("a block of DispatchSync", purpose: "DispatchSync", block)
    }

    /// Runs a block on the queue later, never inside the caller's own queue section.
    public func DispatchAsync(_ block: @escaping @Sendable () -> Void) {
        runAsync("a block of DispatchAsync", carries: Self.carriesOfCaller(), block)
    }

    /// What a block is likely to be for that the calling thread leaves on a queue.
    private static func carriesOfCaller() -> Carries {
        guard let context = DriverContext.current, let call = nbdext_driver_call() else {
            return .perhaps(monotonicMilliseconds())
        }
        let name = String(cString: call)
        let isCarrier =
            anonymousBlocks.contains(name)
            ? context.queues.contains { $0.OnQueue() && $0.blockCarries.load(ordering: .relaxed) }
            : carriers.contains(name)
        return isCarrier ? .completion : .nothing
    }

    // MARK: Blocks with names

    /// Runs a block and waits for it.
    /// - Parameters:
    ///   - activity: what the block does, for whoever looks at the queue.
    ///   - purpose: what the caller waits for.
    ///   - isFromKernel: the caller is the kernel.
    ///   - limitMilliseconds: how long to wait for the turn at most; nil means for ever.
    /// - Returns: whether the block ran; false when it never could, or when its turn did not come in time.
    package func runSync(
        _ activity: StaticString, purpose: String, isFromKernel: Bool = false, limitMilliseconds: Int? = nil,
        _ block: () -> Void
    ) -> Bool {
        let carries = isFromKernel ? .nothing : Self.carriesOfCaller()
        if OnQueue() {
            waitForOneself(activity, carries, purpose: purpose)
            return false
        }
        let done = OneShotEvent()
        return withoutActuallyEscaping(block) { block in
            // SAFETY: this frame outlives the block's only run, as it waits for `done` or withdraws the block.
            nonisolated(unsafe) let block = block
            append(Block(activity: activity, carries: carries, ticket: done) { block() })
            signal(mask: Self.blocksPending)
            guard let context else {
                done.wait()
                return true
            }
            let outcome = context.waits.wait(
                for: done, of: .queue(self), purpose: purpose, isFromKernel: isFromKernel,
                limitMilliseconds: limitMilliseconds)
            if outcome != .done && withdraw(done) { return false }
            done.wait()
            return true
        }
    }

    /// The thread that runs the queue waits for its turn there.
    private func waitForOneself(_ activity: StaticString, _ carries: Carries, purpose: String) {
        guard let context else { preconditionFailure("queue \(name) waits for itself in \(purpose)") }
        if case .completion = carries, context.waits.isCreatingTarget(currentThreadID()) {
            // The driver's code for a command runs on the thread that has sent it, where the driver is in this process.
            // What can never end is the creation that waits for the command: it finds the block here.
            let call = nbdext_driver_call().map { String(cString: $0) }
            let waiter = context.queues.first { $0 !== self && $0.OnQueue() && $0.activity == call }
                .map { Waiter(queue: $0.name, activity: $0.activity, purpose: purpose) }
            append(Block(activity: activity, carries: carries, waiter: waiter) {})
            state.bitwiseOr(Self.blocksPending, ordering: .acquiringAndReleasing)
        } else {
            context.waits.reportOwnQueue(self, purpose: purpose)
        }
    }

    /// Runs a block at once if the queue is idle, or soon is, else when its turn comes; for a thread that brings many.
    package func runInline(_ activity: StaticString, _ block: () -> Void) {
        guard claimSoon() else {
            // Whoever runs it answers for this thread.
            let pair = nbdext_current_pair()
            _ = runSync(activity, purpose: activity.description, isFromKernel: true) {
                let own = nbdext_current_pair()
                nbdext_set_current_pair(pair)
                block()
                nbdext_set_current_pair(own)
            }
            return
        }
        let outerContext = nbdext_driver_context()
        let outerCall = nbdext_driver_call()
        runner.store(currentThreadID(), ordering: .relaxed)
        turns.store(turns.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        enter(activity)
        block()
        runner.store(0, ordering: .relaxed)
        nbdext_enter_driver(outerContext, outerCall)
        if !state.compareExchange(expected: Self.running, desired: 0, ordering: .acquiringAndReleasing).exchanged {
            run()
        }
    }

    /// Waits for about as long as a call takes that brings a bundle to the card.
    /// - Returns: whether the queue was idle; the caller runs it then.
    private func claimSoon() -> Bool {
        for _ in 0..<Self.claimAttempts {
            if state.load(ordering: .relaxed) == 0,
                state.compareExchange(expected: 0, desired: Self.running, ordering: .acquiringAndReleasing).exchanged
            {
                return true
            }
            nbdext_pause()
        }
        return false
    }

    /// Runs a block later, on a thread of its own if the queue is idle.
    package func runAsync(_ activity: StaticString, _ block: @escaping @Sendable () -> Void) {
        runAsync(activity, carries: .nothing, block)
    }

    private func runAsync(_ activity: StaticString, carries: Carries, _ block: @escaping @Sendable () -> Void) {
        append(Block(activity: activity, carries: carries, run: block))
        do {
            let thread = try OSThread(name: name) { self.signal(mask: Self.blocksPending) }
            thread.detach()
        } catch {
            // Out of threads: the next thread that brings work to this queue runs the block.
            state.bitwiseOr(Self.blocksPending, ordering: .acquiringAndReleasing)
        }
    }

    /// Registers work that is signalled, not carried. Call before the first signal.
    /// - Parameters:
    ///   - activity: what it does.
    ///   - drain: does everything that is there to do; runs on the queue.
    /// - Returns: what to pass to `signal`.
    package func addSource(_ activity: StaticString, _ drain: @escaping @Sendable () -> Void) -> UInt32 {
        let index = lock.withLock {
            precondition(sources.count < Self.sourceCountMax)
            sources.append(Source(activity: activity, drain: drain))
            return sources.count - 1
        }
        sourceCount.store(index + 1, ordering: .relaxed)
        return 1 << UInt32(index)
    }

    /// Says that a source has work, and runs the queue unless another thread does.
    package func signal(mask: UInt32) {
        let old = state.bitwiseOr(mask | Self.running, ordering: .acquiringAndReleasing).oldValue
        if old & Self.running == 0 { run() }
    }

    private func run() {
        let thread = currentThreadID()
        let outerContext = nbdext_driver_context()
        let outerCall = nbdext_driver_call()
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
                enter(sources[index].activity)
                sources[index].drain()
            }
            runner.store(0, ordering: .relaxed)
        } while !state.compareExchange(
            expected: Self.running, desired: 0, ordering: .acquiringAndReleasing
        ).exchanged
        nbdext_enter_driver(outerContext, outerCall)
    }

    /// The queue's runner begins another call. It says so itself where one piece of work is made of many calls.
    package func noteCall() { turns.store(turns.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }

    private func enter(_ activity: StaticString) {
        noteCall()
        activityAddress.store(UInt(bitPattern: activity.utf8Start), ordering: .relaxed)
        activity.withUTF8Buffer {
            nbdext_enter_driver(contextPointer, UnsafeRawPointer($0.baseAddress!).assumingMemoryBound(to: CChar.self))
        }
    }

    private func append(_ block: Block) {
        lock.withLock { blocks.append(block) }
    }

    /// Takes a block away that has not begun. Returns whether it was there.
    private func withdraw(_ ticket: OneShotEvent) -> Bool {
        lock.withLock {
            guard let index = blocks.firstIndex(where: { $0.ticket === ticket }) else { return false }
            blocks.remove(at: index)
            return true
        }
    }

    private func runBlocks() {
        // One at a time, so that those which wait behind a long one can be withdrawn.
        while var block = lock.withLock({ blocks.isEmpty ? nil : blocks.removeFirst() }) {
            enter(block.activity)
            if case .nothing = block.carries {} else { blockCarries.store(true, ordering: .relaxed) }
            block.run()
            blockCarries.store(false, ordering: .relaxed)
            // Let go of what the block holds before whoever waits for it goes on.
            block.run = {}
            block.ticket?.set()
        }
    }

    // MARK: For whoever looks

    /// The thread that runs the queue, or 0.
    package var runnerThread: UInt { runner.load(ordering: .relaxed) }
    /// What runs, or ran last.
    package var activity: String {
        let address = activityAddress.load(ordering: .relaxed)
        guard let text = UnsafePointer<CChar>(bitPattern: address) else { return "nothing" }
        return String(cString: text)
    }
    /// Whether a source was signalled that has not run since.
    package var hasPendingSources: Bool {
        state.load(ordering: .acquiring) & (Self.blocksPending - 1) != 0
    }
    /// Whether the kernel or a device gives work to the queue.
    package var isForKernel: Bool { isDefault || sourceCount.load(ordering: .relaxed) > 0 }
    /// Whether anything waits for its turn.
    var hasPendingWork: Bool { state.load(ordering: .acquiring) & ~Self.running != 0 }
    /// A block that waits and may be there to complete a command which the driver has since then. The inner optional is
    /// the queue whose work had to leave it.
    func carrier(since: UInt64) -> Waiter?? {
        lock.withLock {
            blocks.first {
                switch $0.carries {
                case .nothing: false
                case .completion: true
                case .perhaps(let left): left >= since
                }
            }.map(\.waiter)
        }
    }
    /// Whether what runs may be there to complete a command.
    var runsCarrier: Bool {
        let name = activity
        return Self.anonymousBlocks.contains(name)
            ? blockCarries.load(ordering: .relaxed) : Self.carriers.contains(name)
    }
    /// Changes whenever the queue takes up work.
    package var turnCount: UInt32 { turns.load(ordering: .relaxed) }

    /// ", waiting: InterruptOccurred" or nothing.
    var pendingText: String {
        let pending = state.load(ordering: .acquiring)
        let names = lock.withLock {
            sources.indices.filter { pending & 1 << UInt32($0) != 0 }.map { sources[$0].activity.description }
                + blocks.map(\.activity.description)
        }
        return names.isEmpty ? "" : "; waiting for their turn: \(names.joined(separator: ", "))"
    }
}
