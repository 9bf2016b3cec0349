import Diagnostics
import Platform

/// Finds calls of a driver that do not return although they wait for nothing that is known.
package struct SlowCalls {
    private struct Sight {
        var turnCount: UInt32
        var since: UInt64
        var isReported = false
    }

    private let limitMilliseconds: UInt64
    private let periodMilliseconds: UInt64
    private let clock: DeadlineClock
    private var sights: [ObjectIdentifier: Sight] = [:]
    /// The time that the process did not have so far: stopped, or on a machine with no processor to spare. Nobody could
    /// have done anything in it, the driver included.
    private var lost: UInt64 = 0
    private var looked: UInt64

    /// - Parameters:
    ///   - limitMilliseconds: after how long a call is reported.
    ///   - periodMilliseconds: between two looks.
    ///   - clock: what both go by.
    package init(limitMilliseconds: UInt64, periodMilliseconds: UInt64, clock: DeadlineClock = .machine) {
        self.limitMilliseconds = limitMilliseconds
        self.periodMilliseconds = periodMilliseconds
        self.clock = clock
        looked = clock.milliseconds
    }

    /// Looks, a period after the last time.
    /// - Returns: how much time the process did not have since then, milliseconds.
    package mutating func look(at context: DriverContext) -> UInt64 {
        let late = clock.milliseconds - looked
        let missing = late > 2 * periodMilliseconds ? late - periodMilliseconds : 0
        lost += missing
        look(at: context, now: clock.milliseconds - lost)
        rest()
        return missing
    }

    /// The next period begins now.
    package mutating func rest() { looked = clock.milliseconds }

    /// Looks at each queue: one that runs the same thing as long as that is stuck.
    private mutating func look(at context: DriverContext, now: UInt64) {
        for queue in context.queues {
            let id = ObjectIdentifier(queue)
            // A queue that nobody but the driver uses may be busy for as long as the driver likes.
            guard queue.runnerThread != 0, queue.isForKernel else {
                sights[id] = nil
                continue
            }
            guard var sight = sights[id], sight.turnCount == queue.turnCount else {
                sights[id] = Sight(turnCount: queue.turnCount, since: now)
                continue
            }
            // A queue that creates targets may wait for a disk to spin up.
            if now - sight.since >= limitMilliseconds, !sight.isReported, queue.activity != "HandleAsyncEvent",
                !context.waits.isCreatingTarget(queue.runnerThread)
            {
                sight.isReported = true
                report(queue, after: now - sight.since, context)
            }
            sights[id] = sight
        }
    }

    private func report(_ queue: IODispatchQueue, after milliseconds: UInt64, _ context: DriverContext) {
        let fault: DriverFault =
            switch queue.activity {
            case "UserStartController": .waitInStartController
            case "Stop": .waitInStop
            default: .queueCycle
            }
        context.log.report(
            fault, "\(queue.activity) has not returned for \(milliseconds) ms and holds \(queue.name):",
            picture: context.waits.picture())
    }
}
