import Diagnostics
import Platform

/// Finds calls of a driver that do not return although they wait for nothing that is known.
///
/// Threads: one.
package struct SlowCalls {
    private struct Sighting {
        var turnCount: UInt32
        var since: UInt64
        var isReported = false
    }

    private let limitMilliseconds: UInt64
    private let periodMilliseconds: UInt64
    private let clock: DeadlineClock
    private var sightings: [ObjectIdentifier: Sighting] = [:]
    /// The time in which the process did not run: it was stopped, or the machine had no processor to spare. Nobody
    /// could do anything in that time, the driver included. Milliseconds.
    private var lost: UInt64 = 0
    /// When the present period began.
    private var looked: UInt64

    /// - Parameters:
    ///   - limitMilliseconds: the time after which a call is reported.
    ///   - periodMilliseconds: the time between two looks.
    ///   - clock: the clock by which the caller looks.
    package init(limitMilliseconds: UInt64, periodMilliseconds: UInt64, clock: DeadlineClock = .machine) {
        self.limitMilliseconds = limitMilliseconds
        self.periodMilliseconds = periodMilliseconds
        self.clock = clock
        looked = clock.milliseconds
    }

    /// Looks at each queue of a driver. The caller does so a period after the last time.
    /// - Returns: the time since then in which the process did not run, milliseconds.
    package mutating func look(at context: DriverContext) -> UInt64 {
        let late = clock.milliseconds - looked
        let missing = late > 2 * periodMilliseconds ? late - periodMilliseconds : 0
        lost += missing
        look(at: context, now: clock.milliseconds - lost)
        rest()
        return missing
    }

    /// Begins the next period. The caller says so when it has done other work since it looked.
    package mutating func rest() { looked = clock.milliseconds }

    /// A queue is stuck when it runs the same turn for as long as the limit.
    private mutating func look(at context: DriverContext, now: UInt64) {
        for queue in context.queues {
            let id = ObjectIdentifier(queue)
            // A queue that only the driver itself uses may be busy for as long as the driver likes.
            guard queue.runnerThread != 0, queue.isForKernel else {
                sightings[id] = nil
                continue
            }
            guard var sighting = sightings[id], sighting.turnCount == queue.turnCount else {
                sightings[id] = Sighting(turnCount: queue.turnCount, since: now)
                continue
            }
            // A queue that creates targets may wait for a disk to spin up.
            if now - sighting.since >= limitMilliseconds, !sighting.isReported, queue.activity != "HandleAsyncEvent",
                !context.waits.isCreatingTarget(queue.runnerThread)
            {
                sighting.isReported = true
                report(queue, after: now - sighting.since, context)
            }
            sightings[id] = sighting
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
