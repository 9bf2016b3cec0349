import Diagnostics
import Platform

/// A wait of the kernel on behalf of a driver's call.
package struct KernelWait: Sendable {
    /// Completes the sentence "waits for ...": "the completion of TEST UNIT READY".
    package var purpose: String
    /// When the driver was given the command, milliseconds of the kernel's clock, if the device does not work on it:
    /// then only the driver can end the wait. Nil for all other waits.
    package var isWithDriverSince: UInt64?

    /// - Parameters: as the fields.
    package init(purpose: String, isWithDriverSince: UInt64?) {
        self.purpose = purpose
        self.isWithDriverSince = isWithDriverSince
    }
}

/// The graph of waits among the threads that run a driver's queues.
///
/// A thread registers here before it waits inside driver code, and looks every 100 ms whether its wait can end. A wait
/// on a cycle cannot. The thread that sees a cycle twice reports the fault and breaks one wait in it: the wait of the
/// call that should not have waited.
///
/// A cycle may go through the kernel, which is another process for some drivers. A looking thread asks the kernel what
/// it waits for. Where the kernel waits for the driver in turn, the kernel's calls are threads that wait here.
///
/// Threads: any.
package final class WaitGraph: @unchecked Sendable {
    // SAFETY: variables are touched only under `lock`; `context` is set once, before the first wait.

    /// The thing that a thread waits for.
    package enum Resource {
        /// The thread's turn on a queue.
        case queue(IODispatchQueue)
        /// The kernel. The closure asks what the kernel itself waits for: a call of the driver, or the completion of a
        /// command, which some queue of the driver brings. Nil means that this is not known.
        case kernel(@Sendable () -> KernelWait?)
    }

    /// The end of a wait.
    package enum Outcome {
        /// The event was set.
        case done
        /// The wait could never have ended; the fault was reported.
        case cycle
        /// The time was up.
        case timeUp
    }

    private struct Wait {
        /// Unique among all waits.
        var number: UInt64
        var resource: Resource
        /// Completes the sentence "waits for ...": "UserInitializeTargetForID".
        var purpose: String
        var isFromKernel: Bool
    }

    private static let pollMilliseconds = 100
    weak var context: DriverContext!
    private let lock = Lock()
    private var waits: [UInt: Wait] = [:]
    private var lastNumber: UInt64 = 0
    /// Threads inside UserCreateTargetForID.
    private var creators: Set<UInt> = []
    /// Threads whose wait is being reported.
    private var claimed: Set<UInt> = []
    /// Threads whose wait has been broken.
    private var broken: Set<UInt> = []
    /// Kernel threads whose waits are all broken, for a driver in another process.
    private var doomed: Set<UInt> = []

    /// Blocks until the owner of a resource sets an event, by the context's clock.
    /// - Parameters:
    ///   - purpose: completes the sentence "waits for ..." in the report.
    ///   - isFromKernel: the thread is the kernel's and waits to call the driver.
    ///   - limitMilliseconds: the longest wait, rounded up to 100 ms; nil means no limit.
    package func wait(
        for event: OneShotEvent, of resource: Resource, purpose: String, isFromKernel: Bool = false,
        limitMilliseconds: Int? = nil
    ) -> Outcome {
        let thread = currentThreadID()
        let outer = lock.withLock { () -> Wait? in
            lastNumber += 1
            return waits.updateValue(
                Wait(number: lastNumber, resource: resource, purpose: purpose, isFromKernel: isFromKernel),
                forKey: thread)
        }
        defer {
            lock.withLock {
                waits[thread] = outer
                claimed.remove(thread)
                broken.remove(thread)
            }
        }
        // Queues change hands while a thread looks at them. A cycle of the same waits in two looks was there in
        // between.
        var suspects: [UInt64]?
        var left = limitMilliseconds ?? .max
        var outcome = Outcome.cycle
        let isDone = context.clock.wait(for: event, everyMilliseconds: Self.pollMilliseconds) {
            if isBroken(thread) { return true }
            let cycle = cycle(of: thread)
            let numbers = cycle?.flatMap { [$0.number, $0.link.number] }
            if let cycle, numbers == suspects {
                breakUp(cycle)
                if isBroken(thread) { return true }
            }
            suspects = numbers
            left -= Self.pollMilliseconds
            if left > 0 { return false }
            outcome = .timeUp
            return true
        }
        return isDone ? .done : outcome
    }

    /// Runs a part of UserCreateTargetForID on the calling thread. May be nested.
    package func creatingTarget<Result>(_ body: () -> Result) -> Result {
        let thread = currentThreadID()
        let isOutermost = lock.withLock { creators.insert(thread).inserted }
        defer { if isOutermost { _ = lock.withLock { creators.remove(thread) } } }
        return body()
    }

    /// Whether a thread is inside UserCreateTargetForID.
    package func isCreatingTarget(_ thread: UInt) -> Bool { lock.withLock { creators.contains(thread) } }

    /// Reports the calling thread, which would wait for a queue that it runs itself.
    package func reportOwnQueue(_ queue: IODispatchQueue, purpose: String) {
        let link = Link(queue: queue, purpose: purpose)
        let step = Step(queue: queue, thread: currentThreadID(), activity: queue.activity, link: link)
        context.log.report(diagnosis(of: [step], judge([step]).fault))
    }

    /// One line for each queue: its activity, and what its thread waits for.
    package func picture() -> [String] {
        context.queues.map { queue in
            let thread = queue.runnerThread
            guard thread != 0 else { return "\(queue.name): idle\(queue.pendingText)" }
            let waiting = wait(of: thread).map { ", waits for \($0.purpose)" } ?? ""
            return "\(queue.name): runs \(queue.activity)\(waiting)\(queue.pendingText)"
        }
    }

    // MARK: For the other process

    /// The wait of a kernel thread; nil when the thread does not wait for the driver.
    package func kernelWait(of thread: UInt) -> KernelWait? {
        guard case .kernel(let ask)? = wait(of: thread)?.resource else { return nil }
        return ask()
    }

    /// Breaks all waits of a kernel thread, until `forgive`: the driver's process has found a cycle.
    package func doom(_ thread: UInt) { _ = lock.withLock { doomed.insert(thread) } }

    /// Ends `doom`: the thread's later waits are not broken.
    package func forgive(_ thread: UInt) { _ = lock.withLock { doomed.remove(thread) } }

    // MARK: Cycles

    /// An edge of the graph: a wait for a turn on a queue.
    private struct Link {
        var queue: IODispatchQueue
        var purpose: String
        /// The queue is to bring the completion of a command.
        var bringsCompletion = false
        /// The thread that waits for the queue on behalf of the waiting thread, where that is another one.
        var via: UInt?
        /// The number of the wait of `via`.
        var number: UInt64 = 0
        /// The queue in between, whose work runs on the waiting thread and so cannot wait itself.
        var waiter: IODispatchQueue.Waiter?
    }

    /// A node of the graph: a queue that is taken, its thread, and what the thread waits for.
    private struct Step {
        var queue: IODispatchQueue
        var thread: UInt
        /// The number of the thread's wait.
        var number: UInt64 = 0
        var activity: String
        var link: Link
    }

    private func wait(of thread: UInt) -> Wait? { lock.withLock { waits[thread] } }

    private func isBroken(_ thread: UInt) -> Bool {
        lock.withLock { broken.contains(thread) || doomed.contains(thread) }
    }

    /// The taken queues along a cycle of waits that begins and ends at a thread.
    private func cycle(of start: UInt) -> [Step]? {
        var visited: Set<UInt> = []
        func follow(_ thread: UInt) -> [(thread: UInt, number: UInt64, link: Link)]? {
            guard visited.insert(thread).inserted, let wait = wait(of: thread), !isBroken(thread) else { return nil }
            for link in links(of: wait, thread: thread) {
                let holder = link.queue.runnerThread
                if holder == start { return [(thread, wait.number, link)] }
                if holder != 0, let rest = follow(holder) { return [(thread, wait.number, link)] + rest }
            }
            return nil
        }
        guard let path = follow(start) else { return nil }
        return path.indices.map { index in
            // Each thread holds the queue that the thread before it waits for.
            let queue = path[index == 0 ? path.count - 1 : index - 1].link.queue
            return Step(
                queue: queue, thread: path[index].thread, number: path[index].number, activity: queue.activity,
                link: path[index].link)
        }
    }

    private func links(of wait: Wait, thread: UInt) -> [Link] {
        guard case .kernel(let ask) = wait.resource else {
            guard case .queue(let queue) = wait.resource else { return [] }
            return [Link(queue: queue, purpose: wait.purpose)]
        }
        // The kernel's calls of the driver wait on threads of their own.
        var links = queueWaits { $0.value.isFromKernel && $0.key != thread }
        let isSomethingTaken =
            context.queues.contains { $0.runnerThread != 0 && $0.runnerThread != thread }
            || context.queues.contains { $0.runnerThread != 0 && $0.hasPendingWork }
        guard isSomethingTaken, let answer = ask() else { return links }
        links += context.queues.filter { $0.runnerThread != 0 && $0.hasPendingSources }
            .map { Link(queue: $0, purpose: answer.purpose, bringsCompletion: true) }
        if let since = answer.isWithDriverSince { links += carriers(since: since, answer.purpose) }
        return links
    }

    private func queueWaits(where isWanted: ((key: UInt, value: Wait)) -> Bool) -> [Link] {
        lock.withLock { waits.filter(isWanted).sorted { $0.key < $1.key } }.compactMap { thread, wait in
            guard case .queue(let queue) = wait.resource else { return nil }
            return Link(queue: queue, purpose: wait.purpose, via: thread, number: wait.number)
        }
    }

    /// The queues where the driver's own code, and not an interrupt, may be about to complete a command. None while
    /// other code of the driver runs, since that might complete the command as well.
    private func carriers(since: UInt64, _ purpose: String) -> [Link] {
        let queues = context.queues.filter { $0.runnerThread != 0 }
        guard queues.allSatisfy({ wait(of: $0.runnerThread) != nil }) else { return [] }
        let creators = lock.withLock { self.creators }
        let runners = Set(queues.map(\.runnerThread))
        // A block may wait because a running thread waits for it. The thread tells more, so it comes first.
        let running = queues.filter { $0.runsCarrier && !creators.contains($0.runnerThread) }
            .map { Link(queue: $0, purpose: purpose, bringsCompletion: true) }
        let blocks = queues.compactMap { queue in
            queue.carrier(since: since).map {
                Link(queue: queue, purpose: purpose, bringsCompletion: true, waiter: $0)
            }
        }
        let outside = queueWaits { !$0.value.isFromKernel && !runners.contains($0.key) }
        return running + blocks
            + outside.map {
                Link(queue: $0.queue, purpose: purpose, bringsCompletion: true, via: $0.via, number: $0.number)
            }
    }

    /// Reports a cycle, and breaks the wait in it that should not be, unless another thread does so already.
    private func breakUp(_ cycle: [Step]) {
        let (fault, index) = judge(cycle)
        let victims = [cycle[index].thread] + (cycle[index].link.via.map { [$0] } ?? [])
        let isMine = lock.withLock {
            guard cycle.allSatisfy({ !claimed.contains($0.thread) && !broken.contains($0.thread) }) else {
                return false
            }
            claimed.formUnion(victims)
            return true
        }
        guard isMine else { return }
        context.log.report(diagnosis(of: Array(cycle[index...] + cycle[..<index]), fault))
        lock.withLock { broken.formUnion(victims.filter { waits[$0] != nil }) }
    }

    private func diagnosis(of cycle: [Step], _ fault: DriverFault) -> Diagnosis {
        var picture: [String] = []
        for step in cycle {
            picture.append("\(step.queue.name) runs \(step.activity)")
            let purpose = step.link.purpose + (step.link.bringsCompletion ? ", whose interrupt waits for" : "")
            picture.append("  └─ waits for \(purpose) ─▶ a turn on")
            guard let waiter = step.link.waiter else { continue }
            picture.append("\(waiter.queue) runs \(waiter.activity)")
            picture.append("  └─ waits for \(waiter.purpose) ─▶ a turn on")
        }
        picture.append("\(cycle.first!.queue.name)")
        let names = cycle.flatMap { step in
            ["\(step.queue.name) (in \(step.activity))"]
                + (step.link.waiter.map { ["\($0.queue) (in \($0.activity))"] } ?? [])
        }.joined(separator: ", ")
        return Diagnosis(fault, "this wait can never end; it goes through \(names):", picture: picture)
    }

    /// The driver's mistake, and the step of the cycle that should not wait.
    private func judge(_ cycle: [Step]) -> (fault: DriverFault, index: Int) {
        if let index = cycle.firstIndex(where: { $0.activity == "Stop" }) { return (.waitInStop, index) }
        if cycle.count > 1, let index = cycle.firstIndex(where: { $0.activity == "UserStartController" }) {
            return (.waitInStartController, index)
        }
        let creators = lock.withLock { self.creators }
        if let index = cycle.firstIndex(where: { creators.contains($0.thread) }) {
            return (cycle[index].queue.isDefault ? .createOnDefaultQueue : .otherWorkOnAuxiliaryQueue, index)
        }
        // No queue is more to blame than the others. The one that was created first makes the choice repeatable.
        let queues = context.queues
        let index = queues.lazy.compactMap { queue in cycle.firstIndex { $0.queue === queue } }.first
        return (.queueCycle, index ?? 0)
    }
}
