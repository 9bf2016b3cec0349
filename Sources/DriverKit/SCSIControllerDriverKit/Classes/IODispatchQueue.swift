// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDriverKit
import Diagnostics
import Glibc
import Platform
import Synchronization

/// An option of `IODispatchQueue.Create`: work may leave the queue for a while.
public let kIODispatchQueueReentrant: UInt64 = 1

/// A serial dispatch queue: a domain of mutual exclusion, not a thread.
///
/// A thread that brings work to an idle queue runs the queue. Work that arrives meanwhile is left to that thread, which
/// takes all of it before it leaves. Bundles form this way, without a change of threads. A reentrant queue has threads
/// of its own for all work, since work that sleeps must not keep the kernel's thread.
///
/// Work has two kinds: *sources*, registered once and signalled often without allocation (the submission doorbell, the
/// interrupt line), and *blocks*, for the control plane.
///
/// Threads: any.
public final class IODispatchQueue: OSObject, @unchecked Sendable {
    // SAFETY: the fields are constants, atomics, or under `lock` as noted beside them.
    /// Bit 31: a thread runs the queue. Bit 30: blocks are waiting. Bits 0 to 29: the signalled sources.
    private let state = Atomic<UInt32>(0)
    private static let running: UInt32 = 1 << 31
    private static let blocksPending: UInt32 = 1 << 30
    private static let sourceCountMax = 30
    private static let claimAttempts = 200
    /// The signalled sources that the queue's runner has taken, and has not begun. Only the runner uses it.
    private let taken = Atomic<UInt32>(0)

    /// The ID of the thread that runs the queue, 0 when it is idle.
    private let runner = Atomic<UInt>(0)
    /// The address of the running activity's name, a static string.
    private let activityAddress = Atomic<UInt>(0)
    /// Whether the running block may be there to complete a command.
    private let blockCarries = Atomic<Bool>(false)
    /// Changes whenever the queue takes up new work, so that two looks tell whether it moves.
    private let turns = Atomic<UInt32>(0)
    private let sourceCount = Atomic<Int>(0)
    /// The name given to `Create`.
    public let name: String
    // SAFETY: never changes.
    /// The name as a C string, as long as the queue lives.
    package nonisolated(unsafe) let cName: UnsafePointer<CChar>
    /// Whether it is a driver's Default queue, on which the kernel calls.
    package let isDefault: Bool
    let isReentrant: Bool
    let context: DriverContext?
    private let contextPointer: UnsafeMutableRawPointer?

    private let lock = Lock()
    // SAFETY: this and the next three are touched only under `lock`.
    private nonisolated(unsafe) var blocks: [Block] = []
    private nonisolated(unsafe) var isCancelled = false
    private nonisolated(unsafe) var sleepers: [Sleeper] = []
    // SAFETY: as above.
    /// Set by the thread that has borrowed the queue, when it is done.
    private nonisolated(unsafe) var loan: OneShotEvent?
    // SAFETY: changed under `lock`, and complete before the first signal.
    private nonisolated(unsafe) var sources: [Source] = []

    /// The name of a piece of work: text that is never freed.
    struct Activity: Sendable, CustomStringConvertible {
        // SAFETY: the text is static, of this program or of a bundle.
        nonisolated(unsafe) let text: UnsafePointer<CChar>

        init(_ text: StaticString) {
            self.text = UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
        }

        // The label matters: without it a literal would become a pointer to a copy, which is freed at once.
        init(pointer text: UnsafePointer<CChar>) { self.text = text }

        var description: String { String(cString: text) }
    }

    private struct Block {
        var activity: Activity
        var carries = Carries.nothing
        var ticket: OneShotEvent?
        /// The work that left the block because it could not wait itself.
        var waiter: Waiter?
        var run: @Sendable () -> Void
    }

    /// Another queue's work that needs a turn on this queue, where one thread runs both queues.
    struct Waiter {
        var queue: String
        var activity: String
        var purpose: String
    }

    /// Whether a block may be there to complete a command, judged by the code that left it.
    private enum Carries {
        case nothing
        /// Code that handles tasks or interrupts left it.
        case completion
        /// A thread of the driver's own left it at this time, milliseconds of the context's clock.
        case perhaps(UInt64)
    }

    private static let carriers = [
        "the interrupt handler", "UserProcessParallelTask", "UserProcessBundledParallelTasks", "ProcessParallelTask",
    ]

    private struct Source {
        var activity: Activity
        var drain: @Sendable () -> Void
    }

    /// Makes a serial queue, and adds it to its driver's context.
    /// - Parameters:
    ///   - name: the name for the driver, its threads and reports.
    ///   - context: the driver whose code runs here; nil means the driver of the calling thread.
    ///   - isDefault: whether this is a driver's Default queue.
    ///   - isReentrant: whether work may leave the queue for a while (`sleep`).
    package init(
        name: String, context: DriverContext? = nil, isDefault: Bool = false, isReentrant: Bool = false
    ) {
        self.name = name
        cName = UnsafePointer(strdup(name))
        self.isDefault = isDefault
        self.isReentrant = isReentrant
        self.context = context ?? DriverContext.ofCaller
        contextPointer = self.context.map { Unmanaged.passUnretained($0).toOpaque() }
        super.init()
        // A source may be added while others run, so the list must not move.
        sources.reserveCapacity(Self.sourceCountMax)
        self.context?.add(self)
    }

    deinit { free(UnsafeMutablePointer(mutating: cName)) }

    /// Makes a serial queue.
    /// - Parameters:
    ///   - options: `kIODispatchQueueReentrant`, or 0.
    ///   - priority: 0.
    public static func Create(
        _ name: String, _ options: UInt64, _ priority: UInt64, _ queue: inout IODispatchQueue?
    ) -> kern_return_t {
        queue = IODispatchQueue(name: name, isReentrant: options & kIODispatchQueueReentrant != 0)
        return kIOReturnSuccess
    }

    /// Whether the calling thread is inside this queue.
    public func OnQueue() -> Bool {
        runner.load(ordering: .relaxed) == currentThreadID()
    }

    /// Runs a block on the queue and returns when it has run.
    ///
    /// A block that could never run, because its queue waits for the caller, is reported and dropped.
    public func DispatchSync(_ block: () -> Void) { _ = runSync(named: nil, block) }

    /// Runs a block on the queue later, never inside the caller's own queue section.
    public func DispatchAsync(_ block: @escaping @Sendable () -> Void) { runAsync(named: nil, block) }

    /// Runs a block of the driver's on the queue and returns when it has run.
    /// - Parameter activity: the block's name, text that is never freed; nil for a block of DispatchSync.
    /// - Returns: false when it never could.
    package func runSync(named activity: UnsafePointer<CChar>?, _ block: () -> Void) -> Bool {
        guard let activity else {
            return runSync(Activity("a block of DispatchSync"), purpose: "DispatchSync", block)
        }
        return runSync(Activity(pointer: activity), purpose: String(cString: activity), block)
    }

    /// Runs a block of the driver's on the queue later.
    /// - Parameter activity: the block's name, text that is never freed; nil for a block of DispatchAsync.
    package func runAsync(named activity: UnsafePointer<CChar>?, _ block: @escaping @Sendable () -> Void) {
        runAsync(
            activity.map { Activity(pointer: $0) } ?? Activity("a block of DispatchAsync"), carries: carriesOfCaller(),
            block)
    }

    /// The likely purpose of a block that the calling thread leaves here.
    private func carriesOfCaller() -> Carries {
        guard let caller = DriverContext.current, let call = nbdext_driver_call() else {
            return .perhaps((context?.clock ?? .machine).milliseconds)
        }
        let isCarrier =
            Self.carriers.contains(String(cString: call))
            || caller.queues.contains { $0.OnQueue() && $0.blockCarries.load(ordering: .relaxed) }
        return isCarrier ? .completion : .nothing
    }

    // MARK: Blocks with names

    /// Runs a block on the queue and returns when it has run.
    /// - Parameters:
    ///   - activity: the block's name in pictures and reports.
    ///   - purpose: completes the sentence "the caller waits for ..." in reports.
    ///   - isFromKernel: whether the caller is the kernel.
    ///   - limitMilliseconds: the longest wait for the turn; nil means no limit.
    /// - Returns: whether the block ran: false when it never could, or when its turn did not come in time.
    package func runSync(
        _ activity: StaticString, purpose: String, isFromKernel: Bool = false, limitMilliseconds: Int? = nil,
        _ block: () -> Void
    ) -> Bool {
        runSync(
            Activity(activity), purpose: purpose, isFromKernel: isFromKernel, limitMilliseconds: limitMilliseconds,
            block)
    }

    private func runSync(
        _ activity: Activity, purpose: String, isFromKernel: Bool = false, limitMilliseconds: Int? = nil,
        _ block: () -> Void
    ) -> Bool {
        let carries = isFromKernel ? .nothing : carriesOfCaller()
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

    /// Reports a wait for this queue on the thread that runs it, unless the wait belongs to another queue's work.
    private func waitForOneself(_ activity: Activity, _ carries: Carries, purpose: String) {
        guard let context else { preconditionFailure("queue \(name) waits for itself in \(purpose)") }
        if case .completion = carries, context.waits.isCreatingTarget(currentThreadID()) {
            // Where the driver is in this process, its code for a command runs on the thread that sent the command. The
            // wait that can never end is the creation's wait for that command, which finds the block here.
            let call = nbdext_driver_call().map { String(cString: $0) }
            let waiter = context.queues.first { $0 !== self && $0.OnQueue() && $0.activity == call }
                .map { Waiter(queue: $0.name, activity: $0.activity, purpose: purpose) }
            append(Block(activity: activity, carries: carries, waiter: waiter) {})
            state.bitwiseOr(Self.blocksPending, ordering: .acquiringAndReleasing)
        } else {
            context.waits.reportOwnQueue(self, purpose: purpose)
        }
    }

    /// Runs a block on the calling thread if the queue is idle at once or soon, else when its turn comes. Returns when
    /// the block has run. For a thread that brings many blocks.
    /// - Parameter activity: the block's name in pictures and reports.
    package func runInline(_ activity: StaticString, _ block: () -> Void) {
        guard !isReentrant, claimSoon() else {
            // The thread that runs the block answers for this one.
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
        enter(Activity(activity))
        block()
        ThreadOrder.before(self)
        if endLoan(outerContext, outerCall) { return }
        runner.store(0, ordering: .relaxed)
        nbdext_enter_driver(outerContext, outerCall)
        if !state.compareExchange(expected: Self.running, desired: 0, ordering: .acquiringAndReleasing).exchanged {
            run()
        }
    }

    /// Takes the queue if it becomes idle soon: within about the time of a call that brings a bundle to the card.
    /// - Returns: whether the caller runs the queue now.
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
    /// - Parameter activity: the block's name in pictures and reports.
    package func runAsync(_ activity: StaticString, _ block: @escaping @Sendable () -> Void) {
        runAsync(Activity(activity), carries: .nothing, block)
    }

    /// Runs a block on the calling thread if the queue is idle; else the thread that runs the queue takes it.
    /// - Parameter activity: the block's name in pictures and reports.
    func runLater(_ activity: StaticString, _ block: @escaping @Sendable () -> Void) {
        append(Block(activity: Activity(activity), run: block))
        signal(mask: Self.blocksPending)
    }

    private func runAsync(_ activity: Activity, carries: Carries, _ block: @escaping @Sendable () -> Void) {
        append(Block(activity: activity, carries: carries, run: block))
        startThread()
    }

    /// Registers a source. To be called before its first signal.
    /// - Parameters:
    ///   - activity: the source's name in pictures and reports.
    ///   - drain: does all the work that is there; runs on the queue.
    /// - Returns: the source's bit for `signal`.
    package func addSource(_ activity: StaticString, _ drain: @escaping @Sendable () -> Void) -> UInt32 {
        let index = lock.withLock {
            precondition(sources.count < Self.sourceCountMax)
            sources.append(Source(activity: Activity(activity), drain: drain))
            return sources.count - 1
        }
        sourceCount.store(index + 1, ordering: .relaxed)
        return 1 << UInt32(index)
    }

    /// Notes that sources have work, and runs the queue unless another thread does.
    /// - Parameter mask: the sources' bits.
    package func signal(mask: UInt32) {
        guard claim(mask) else { return }
        if !isReentrant || !startRunner() { run() }
    }

    /// Notes that there is work, and takes the queue if nobody runs it.
    /// - Parameter mask: the work's bits.
    /// - Returns: whether the caller has to run the queue.
    private func claim(_ mask: UInt32) -> Bool {
        // What a signal is about comes before the turn that it causes.
        ThreadOrder.before(self)
        return state.bitwiseOr(mask | Self.running, ordering: .acquiringAndReleasing).oldValue & Self.running == 0
    }

    private func run() {
        let thread = currentThreadID()
        let outerContext = nbdext_driver_context()
        let outerCall = nbdext_driver_call()
        repeat {
            runner.store(thread, ordering: .relaxed)
            let pending = state.exchange(Self.running, ordering: .acquiringAndReleasing)
            taken.store(pending & (Self.blocksPending - 1), ordering: .relaxed)
            if pending & Self.blocksPending != 0, runBlocks(outerContext, outerCall) { return }
            while let index = nextSource() {
                enter(sources[index].activity)
                sources[index].drain()
                ThreadOrder.before(self)
                if endLoan(outerContext, outerCall) { return }
            }
            runner.store(0, ordering: .relaxed)
        } while !state.compareExchange(
            expected: Self.running, desired: 0, ordering: .acquiringAndReleasing
        ).exchanged
        nbdext_enter_driver(outerContext, outerCall)
    }

    private func nextSource() -> Int? {
        let pending = taken.load(ordering: .relaxed)
        guard pending != 0 else { return nil }
        taken.store(pending & (pending - 1), ordering: .relaxed)
        return pending.trailingZeroBitCount
    }

    /// Notes that the queue's runner begins another call of the driver, where one piece of work has many.
    package func noteCall() { turns.store(turns.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }

    private func enter(_ activity: Activity) {
        noteCall()
        activityAddress.store(UInt(bitPattern: activity.text), ordering: .relaxed)
        nbdext_enter_driver(contextPointer, activity.text)
        ThreadOrder.after(self)
    }

    /// A cancelled queue takes no block that nobody waits for.
    private func append(_ block: Block) {
        lock.withLock { if !isCancelled || block.ticket != nil { blocks.append(block) } }
    }

    /// Ends the queue for blocks: none that nobody waits for begins any more.
    /// - Parameter handler: called on the queue, after the work under way.
    /// - Returns: `kIOReturnNotReady` when the queue was cancelled before.
    public func Cancel(_ handler: @escaping @Sendable () -> Void) -> kern_return_t {
        let dropped: [Block]? = lock.withLock {
            if isCancelled { return nil }
            isCancelled = true
            let dropped = blocks.filter { $0.ticket == nil }
            blocks.removeAll { $0.ticket == nil }
            blocks.append(Block(activity: Activity("the cancel handler of a queue"), run: handler))
            return dropped
        }
        guard dropped != nil else { return kIOReturnNotReady }
        startThread()
        return kIOReturnSuccess
    }

    /// Has a thread of its own run the queue, unless another does.
    private func startThread() {
        do {
            try OSThread(name: name) { [self] in if claim(Self.blocksPending) { run() } }.detach()
        } catch {
            // There are no threads left: the next thread that brings work to this queue runs the block.
            state.bitwiseOr(Self.blocksPending, ordering: .acquiringAndReleasing)
        }
    }

    /// Removes a block that has not begun. Returns whether it was still there.
    private func withdraw(_ ticket: OneShotEvent) -> Bool {
        lock.withLock {
            guard let index = blocks.firstIndex(where: { $0.ticket === ticket }) else { return false }
            blocks.remove(at: index)
            return true
        }
    }

    /// - Returns: whether the queue was lent to this thread, which has given it back.
    private func runBlocks(_ outerContext: UnsafeMutableRawPointer?, _ outerCall: UnsafePointer<CChar>?) -> Bool {
        // One at a time, so that blocks behind a long one can be withdrawn.
        while var block = lock.withLock({ blocks.isEmpty ? nil : blocks.removeFirst() }) {
            enter(block.activity)
            if case .nothing = block.carries {} else { blockCarries.store(true, ordering: .relaxed) }
            block.run()
            ThreadOrder.before(self)
            blockCarries.store(false, ordering: .relaxed)
            // Release what the block holds before its waiter goes on.
            block.run = {}
            block.ticket?.set()
            if endLoan(outerContext, outerCall) { return true }
        }
        return false
    }

    // MARK: Leaving the queue for a while

    /// Leaves the queue, which the calling thread runs, until `wake` names the event or the time is up. Other work runs
    /// meanwhile. Takes the queue again before it returns.
    /// - Parameters:
    ///   - event: an address that stands for the event.
    ///   - deadline: ticks of `mach_absolute_time`; the highest number for none.
    /// - Returns: `kIOReturnTimeout` when the time was up, and `kIOReturnNotPermitted` when the queue is not the
    ///   caller's or not reentrant.
    package func sleep(_ event: UnsafeRawPointer, until deadline: UInt64) -> kern_return_t {
        guard isReentrant, OnQueue() else { return kIOReturnNotPermitted }
        let sleeper = Sleeper(event: event)
        lock.withLock { sleepers.append(sleeper) }
        let (activity, carries) = (activityAddress.load(ordering: .relaxed), blockCarries.load(ordering: .relaxed))
        leave()
        let isWoken = wait(for: sleeper.woken, until: deadline)
        lock.withLock { sleepers.removeAll { $0.woken === sleeper.woken } }
        takeAgain()
        ThreadOrder.after(self)
        activityAddress.store(activity, ordering: .relaxed)
        blockCarries.store(carries, ordering: .relaxed)
        nbdext_enter_driver(contextPointer, UnsafePointer<CChar>(bitPattern: activity))
        return isWoken ? kIOReturnSuccess : kIOReturnTimeout
    }

    /// Wakes one thread that sleeps until an event, or all of them.
    /// - Returns: `kIOReturnNotPermitted` when the caller does not run the queue.
    package func wake(_ event: UnsafeRawPointer, all: Bool) -> kern_return_t {
        guard OnQueue() else { return kIOReturnNotPermitted }
        let woken = lock.withLock {
            let found = sleepers.filter { $0.event == event && !$0.woken.isSet }
            return all ? found : Array(found.prefix(1))
        }
        for sleeper in woken { sleeper.woken.set() }
        return kIOReturnSuccess
    }

    private func wait(for event: OneShotEvent, until deadline: UInt64) -> Bool {
        let clock = context?.clock ?? .machine
        guard deadline != .max else {
            return clock.wait(for: event, everyMilliseconds: Int(Int32.max)) { false }
        }
        let now = mach_absolute_time()
        let milliseconds = deadline > now ? (deadline - now + 999_999) / 1_000_000 : 0
        return clock.wait(for: event, milliseconds: Int(clamping: milliseconds))
    }

    /// Lets another thread run the queue. The lender, if the queue was lent, goes on with it.
    private func leave() {
        ThreadOrder.before(self)
        runner.store(0, ordering: .relaxed)
        blockCarries.store(false, ordering: .relaxed)
        if let loan = takeLoan() { return loan.set() }
        // The work that this thread has taken, and not begun, must not wait until it returns.
        let rest = taken.exchange(0, ordering: .relaxed) | (lock.withLock { blocks.isEmpty } ? 0 : Self.blocksPending)
        if rest != 0 { state.bitwiseOr(rest, ordering: .acquiringAndReleasing) }
        if state.compareExchange(expected: Self.running, desired: 0, ordering: .acquiringAndReleasing).exchanged {
            return
        }
        // Where there are no threads left, the next thread that brings work runs the queue.
        if !startRunner() { state.bitwiseAnd(~Self.running, ordering: .acquiringAndReleasing) }
    }

    /// Has a new thread run the queue, which the caller has.
    /// - Returns: false when there are no threads left.
    private func startRunner() -> Bool {
        do { try OSThread(name: name) { self.run() }.detach() } catch { return false }
        return true
    }

    /// Waits for a turn, as long as it takes. The thread that runs the queue then lends it.
    private func takeAgain() {
        let (turn, loan) = (OneShotEvent(), OneShotEvent())
        let thread = currentThreadID()
        if !state.compareExchange(expected: 0, desired: Self.running, ordering: .acquiringAndReleasing).exchanged {
            let block = Block(activity: Activity("a thread that has slept"), ticket: turn) { [self] in
                lock.withLock { self.loan = loan }
                runner.store(thread, ordering: .relaxed)
                turn.set()
                loan.wait()
                runner.store(currentThreadID(), ordering: .relaxed)
            }
            append(block)
            if claim(Self.blocksPending) {
                // Nobody runs the queue any more, so it needs no lender.
                _ = withdraw(turn)
            } else {
                turn.wait()
            }
        }
        runner.store(thread, ordering: .relaxed)
    }

    private func takeLoan() -> OneShotEvent? {
        lock.withLock {
            defer { loan = nil }
            return loan
        }
    }

    /// Gives the queue back to the thread that has lent it, if one has.
    /// - Returns: whether the queue is no longer this thread's.
    private func endLoan(_ outerContext: UnsafeMutableRawPointer?, _ outerCall: UnsafePointer<CChar>?) -> Bool {
        guard isReentrant, let loan = takeLoan() else { return false }
        nbdext_enter_driver(outerContext, outerCall)
        loan.set()
        return true
    }

    // MARK: Looking at the queue

    /// The ID of the thread that runs the queue, or 0.
    package var runnerThread: UInt { runner.load(ordering: .relaxed) }
    /// The name of the running activity, or of the last one.
    package var activity: String {
        let address = activityAddress.load(ordering: .relaxed)
        guard let text = UnsafePointer<CChar>(bitPattern: address) else { return "nothing" }
        return String(cString: text)
    }
    /// Whether a signalled source waits for its turn.
    package var hasPendingSources: Bool {
        state.load(ordering: .acquiring) & (Self.blocksPending - 1) != 0
    }
    /// Whether the kernel or a device gives work to the queue.
    package var isForKernel: Bool { isDefault || sourceCount.load(ordering: .relaxed) > 0 }
    /// Whether a source or a block waits for its turn.
    var hasPendingWork: Bool { state.load(ordering: .acquiring) & ~Self.running != 0 }
    /// Looks for a waiting block that may be there to complete a command.
    /// - Parameter since: when the driver got the command, milliseconds of the context's clock.
    /// - Returns: nil when there is none. The inner optional is the other queue's work that left the block, if any.
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
    /// Whether the running activity may be there to complete a command.
    var runsCarrier: Bool {
        blockCarries.load(ordering: .relaxed) || Self.carriers.contains(activity)
    }
    /// Changes whenever the queue takes up work.
    package var turnCount: UInt32 { turns.load(ordering: .relaxed) }

    /// The waiting activities for a picture, "; waiting for their turn: InterruptOccurred", or nothing.
    var pendingText: String {
        let pending = state.load(ordering: .acquiring)
        let names = lock.withLock {
            sources.indices.filter { pending & 1 << UInt32($0) != 0 }.map { sources[$0].activity.description }
                + blocks.map(\.activity.description)
        }
        return names.isEmpty ? "" : "; waiting for their turn: \(names.joined(separator: ", "))"
    }
}
