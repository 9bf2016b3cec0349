import Diagnostics
import Platform

/// Who waits for whom among the threads that run a driver's queues.
///
/// Each thread that has to wait inside of driver code says so here and looks now and then whether the wait can end.
/// When it cannot (the waits form a cycle), the fault is named, and the wait is broken instead of hanging.
///
/// Threads: any.
package final class WaitGraph: @unchecked Sendable {
    // SAFETY: `waits` only under `lock`; `context` is set once, before the first wait.

    /// What a thread waits for.
    package enum Resource {
        /// Its turn on a queue, to do something there.
        case queue(IODispatchQueue)
        /// The completion of a command, which interrupts bring on one of the driver's queues.
        case completion
        /// An answer of the kernel's process to UserCreateTargetForID: it depends on the calls that the kernel makes
        /// meanwhile, and on the completion of the probe's commands.
        case kernelCall
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
        var resource: Resource
        /// "UserInitializeTargetForID": completes the sentence "waits for ...".
        var purpose: String
        /// The wait is a part of the creation of a target.
        var createsTarget: Bool
    }

    /// A queue that is taken, and what its thread does.
    private struct Holder {
        var queue: IODispatchQueue
        var thread: UInt
        var activity: String
    }

    private static let pollMilliseconds = 100
    weak var context: DriverContext!
    private let lock = Lock()
    private var waits: [UInt: Wait] = [:]

    /// Waits for an event that the owner of `resource` will set.
    /// - Parameters:
    ///   - purpose: what is waited for, for the report.
    ///   - createsTarget: the wait is a part of UserCreateTargetForID.
    ///   - limitMilliseconds: how long to wait at most, to about 100 ms; nil means for ever.
    package func wait(
        for event: Event, of resource: Resource, purpose: String, createsTarget: Bool = false,
        limitMilliseconds: Int? = nil
    ) -> Outcome {
        let thread = currentThreadID()
        let outer = lock.withLock {
            waits.updateValue(
                Wait(resource: resource, purpose: purpose, createsTarget: createsTarget), forKey: thread)
        }
        defer { lock.withLock { waits[thread] = outer } }
        // Seen twice, since queues change hands while they are looked at.
        var suspects: [UInt]?
        var left = limitMilliseconds ?? .max
        while !event.wait(milliseconds: Self.pollMilliseconds) {
            let cycle = cycle(of: thread)
            let threads = cycle?.map(\.thread)
            if let cycle, threads == suspects {
                context.log.report(diagnosis(of: cycle))
                return .cycle
            }
            suspects = threads
            left -= Self.pollMilliseconds
            if left <= 0 { return .timeUp }
        }
        return .done
    }

    /// Reports a thread that waits for a queue which it runs itself.
    package func reportOwnQueue(_ queue: IODispatchQueue, purpose: String, createsTarget: Bool) {
        let thread = currentThreadID()
        let holder = Holder(queue: queue, thread: thread, activity: queue.activity)
        let outer = lock.withLock {
            waits.updateValue(
                Wait(resource: .queue(queue), purpose: purpose, createsTarget: createsTarget), forKey: thread)
        }
        context.log.report(diagnosis(of: [holder]))
        lock.withLock { waits[thread] = outer }
    }

    /// Lines that say what each queue does and what its thread waits for.
    package func picture() -> [String] {
        context.queues.map { queue in
            let thread = queue.runnerThread
            guard thread != 0 else { return "\(queue.name): idle\(queue.pendingText)" }
            let wait = lock.withLock { waits[thread] }
            let waiting = wait.map { ", waits for \($0.purpose)" } ?? ""
            return "\(queue.name): runs \(queue.activity)\(waiting)\(queue.pendingText)"
        }
    }

    // MARK: Cycles

    /// The taken queues along a cycle of waits that begins and ends at a thread.
    private func cycle(of start: UInt) -> [Holder]? {
        var visited: Set<UInt> = []
        func follow(_ thread: UInt) -> [Holder]? {
            guard visited.insert(thread).inserted, let wait = lock.withLock({ waits[thread] }) else { return nil }
            for holder in holders(of: wait.resource) {
                if holder.thread == start { return [holder] }
                if let rest = follow(holder.thread) { return [holder] + rest }
            }
            if case .kernelCall = wait.resource {
                // The kernel's calls wait on threads of their own.
                let calls = lock.withLock { waits.filter { $0.value.createsTarget && $0.key != thread }.map(\.key) }
                for call in calls {
                    if let rest = follow(call) { return rest }
                }
            }
            return nil
        }
        return follow(start)
    }

    private func holders(of resource: Resource) -> [Holder] {
        let queues =
            switch resource {
            case .queue(let queue): [queue]
            case .completion, .kernelCall: context.queues.filter(\.hasPendingSources)
            }
        return queues.compactMap { queue in
            let thread = queue.runnerThread
            return thread == 0 ? nil : Holder(queue: queue, thread: thread, activity: queue.activity)
        }
    }

    private func diagnosis(of cycle: [Holder]) -> Diagnosis {
        let waits = lock.withLock { cycle.map { self.waits[$0.thread] } }
        var picture: [String] = []
        for (holder, wait) in zip(cycle, waits) {
            let purpose = wait?.purpose ?? "something"
            picture.append("\(holder.queue.name) runs \(holder.activity)")
            if case .completion? = wait?.resource {
                picture.append("  └─ waits for \(purpose), whose interrupt waits for ─▶ a turn on")
            } else {
                picture.append("  └─ waits for \(purpose) ─▶ a turn on")
            }
        }
        picture.append("\(cycle.first!.queue.name)")
        let names = cycle.map { "\($0.queue.name) (in \($0.activity))" }.joined(separator: ", ")
        let fault = fault(of: cycle, waits.compactMap { $0 })
        return Diagnosis(fault, "this wait can never end; it goes through \(names):", picture: picture)
    }

    private func fault(of cycle: [Holder], _ waits: [Wait]) -> DriverFault {
        if cycle.contains(where: { $0.activity == "Stop" }) { return .waitInStop }
        if cycle.count > 1 && cycle.contains(where: { $0.activity == "UserStartController" }) {
            return .waitInStartController
        }
        guard waits.contains(where: \.createsTarget) else { return .queueCycle }
        if cycle.contains(where: \.queue.isDefault) { return .createOnDefaultQueue }
        return cycle.contains { $0.queue.name == "AuxiliaryQueue" } ? .otherWorkOnAuxiliaryQueue : .queueCycle
    }
}
