import Diagnostics
import Platform

/// What the kernel does, and waits for, on behalf of a driver's call.
package struct KernelWait: Sendable {
    /// "the completion of TEST UNIT READY": completes the sentence "waits for ...".
    package var purpose: String
    /// When the driver was given the command, monotonic milliseconds, if its device does not work on it: then only the
    /// driver can end the wait. Nil for all other waits.
    package var isWithDriverSince: UInt64?

    package init(purpose: String, isWithDriverSince: UInt64?) {
        self.purpose = purpose
        self.isWithDriverSince = isWithDriverSince
    }
}

/// Who waits for whom among the threads that run a driver's queues.
///
/// Each thread that has to wait inside of driver code says so here and looks now and then whether the wait can end.
/// When it cannot (the waits form a cycle), the fault is named, and one wait is broken instead of hanging: that of the
/// call which should not have waited.
///
/// A cycle may go through the kernel, which is another process for some drivers. What the kernel waits for is asked when
/// a thread looks; where the kernel waits for the driver in turn, its calls are threads that wait here.
///
/// Threads: any.
package final class WaitGraph: @unchecked Sendable {
    // SAFETY: what changes only under `lock`; `context` is set once, before the first wait.

    /// What a thread waits for.
    package enum Resource {
        /// Its turn on a queue, to do something there.
        case queue(IODispatchQueue)
        /// The kernel. What that waits for is asked for by the closure; nil means that it cannot be told. Either a call of
        /// the driver, or the completion of a command, which some queue of the driver brings.
        case kernel(@Sendable () -> KernelWait?)
    }

    /// How a wait ended.
    package enum Outcome {
        case done
        /// It could never have ended; the fault was reported.
        case cycle
        /// The time was up.
        case timeUp
    }

    private struct Wait {
        /// No other wait has it.
        var number: UInt64
        var resource: Resource
        /// "UserInitializeTargetForID": completes the sentence "waits for ...".
        var purpose: String
        var isFromKernel: Bool
    }

    private static let pollMilliseconds = 100
    weak var context: DriverContext!
    private let lock = Lock()
    private var waits: [UInt: Wait] = [:]
    private var lastNumber: UInt64 = 0
    /// Threads inside of UserCreateTargetForID.
    private var creators: Set<UInt> = []
    /// Threads whose wait is being reported, and those whose wait has been broken.
    private var claimed: Set<UInt> = []
    private var broken: Set<UInt> = []
    /// Kernel threads all of whose waits are broken, for a driver in another process.
    private var doomed: Set<UInt> = []

    /// Waits for an event that the owner of `resource` will set.
    /// - Parameters:
    ///   - purpose: what is waited for, for the report.
    ///   - isFromKernel: the thread is the kernel's, which waits to call the driver.
    ///   - limitMilliseconds: how long to wait at most, to about 100 ms; nil means for ever.
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
        // Queues change hands while they are looked at. A cycle of the same waits that is seen twice was there in between.
        var suspects: [UInt64]?
        var left = limitMilliseconds ?? .max
        while !event.wait(milliseconds: Self.pollMilliseconds) {
            if isBroken(thread) { return .cycle }
            let cycle = cycle(of: thread)
            let numbers = cycle?.flatMap { [$0.number, $0.link.number] }
            if let cycle, numbers == suspects {
                breakUp(cycle)
                if isBroken(thread) { return .cycle }
            }
            suspects = numbers
            left -= Self.pollMilliseconds
            if left <= 0 { return .timeUp }
        }
        return .done
    }

    /// Runs a part of UserCreateTargetForID on the calling thread.
    package func creatingTarget<Result>(_ body: () -> Result) -> Result {
        let thread = currentThreadID()
        let isOutermost = lock.withLock { creators.insert(thread).inserted }
        defer { if isOutermost { _ = lock.withLock { creators.remove(thread) } } }
        return body()
    }

    package func isCreatingTarget(_ thread: UInt) -> Bool { lock.withLock { creators.contains(thread) } }

    /// Reports a thread that waits for a queue which it runs itself.
    package func reportOwnQueue(_ queue: IODispatchQueue, purpose: String) {
        let link = Link(queue: queue, purpose: purpose)
        let step = Step(queue: queue, thread: currentThreadID(), activity: queue.activity, link: link)
        context.log.report(diagnosis(of: [step], judge([step]).fault))
    }

    /// Lines that say what each queue does and what its thread waits for.
    package func picture() -> [String] {
        context.queues.map { queue in
            let thread = queue.runnerThread
            guard thread != 0 else { return "\(queue.name): idle\(queue.pendingText)" }
            let waiting = wait(of: thread).map { ", waits for \($0.purpose)" } ?? ""
            return "\(queue.name): runs \(queue.activity)\(waiting)\(queue.pendingText)"
        }
    }

    // MARK: For the other process

    /// What a thread of the kernel waits for, if it is for the driver.
    package func kernelWait(of thread: UInt) -> KernelWait? {
        guard case .kernel(let ask)? = wait(of: thread)?.resource else { return nil }
        return ask()
    }

    /// Breaks whatever a thread of the kernel waits for, until `forgive`: the driver's process has found a cycle.
    package func doom(_ thread: UInt) { _ = lock.withLock { doomed.insert(thread) } }

    package func forgive(_ thread: UInt) { _ = lock.withLock { doomed.remove(thread) } }

    // MARK: Cycles

    /// Whose turn is waited for.
    private struct Link {
        var queue: IODispatchQueue
        var purpose: String
        /// It is to bring a completion.
        var bringsCompletion = false
        /// The thread that waits in the name of the one before.
        var via: UInt?
        /// Its wait's number.
        var number: UInt64 = 0
        /// The queue between, where its work runs on the thread that waits, and so cannot wait itself.
        var waiter: IODispatchQueue.Waiter?
    }

    /// A queue that is taken, what its thread does, and what that waits for.
    private struct Step {
        var queue: IODispatchQueue
        var thread: UInt
        /// Its wait's.
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
            // Each thread has the queue that the one before it waits for.
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
        // Calls of the kernel wait on threads of their own.
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

    /// Where the driver's own code, and not an interrupt, may be about to complete a command. Only when nothing else moves
    /// in the driver: code that runs might complete it as well.
    private func carriers(since: UInt64, _ purpose: String) -> [Link] {
        let queues = context.queues.filter { $0.runnerThread != 0 }
        guard queues.allSatisfy({ wait(of: $0.runnerThread) != nil }) else { return [] }
        let creators = lock.withLock { self.creators }
        let runners = Set(queues.map(\.runnerThread))
        // A block that waits may be there because of a thread that waits for it: the thread tells more.
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

    /// Names a cycle, and breaks the wait in it that should not be.
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

    /// The mistake, and where in the cycle it is: which call should not wait.
    private func judge(_ cycle: [Step]) -> (fault: DriverFault, index: Int) {
        if let index = cycle.firstIndex(where: { $0.activity == "Stop" }) { return (.waitInStop, index) }
        if cycle.count > 1, let index = cycle.firstIndex(where: { $0.activity == "UserStartController" }) {
            return (.waitInStartController, index)
        }
        let creators = lock.withLock { self.creators }
        if let index = cycle.firstIndex(where: { creators.contains($0.thread) }) {
            return (cycle[index].queue.isDefault ? .createOnDefaultQueue : .otherWorkOnAuxiliaryQueue, index)
        }
        // Nobody is more to blame than the others: the queue that was made first.
        let queues = context.queues
        let index = queues.lazy.compactMap { queue in cycle.firstIndex { $0.queue === queue } }.first
        return (.queueCycle, index ?? 0)
    }
}
