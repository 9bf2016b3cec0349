import Diagnostics
import Platform

/// Finds calls of a driver that do not return although they wait for nothing that is known, and changes of power that
/// it does not acknowledge.
///
/// The time in which a call could not go on does not count against it: the process did not run, or the call's thread
/// was ready and others had the processors.
///
/// Threads: one.
package struct SlowCalls {
    private struct Sighting {
        var turnCount: UInt32
        var since: UInt64
        var isReported = false
        /// The last look at the queue, and its thread then.
        var seen: UInt64
        var usage: ThreadUsage?
        /// How long the thread was ready without a processor, milliseconds.
        var starved: UInt64 = 0

        /// Notes another look. A thread that is ready now has waited for a processor whenever it had none.
        mutating func note(_ now: UInt64, _ usage: ThreadUsage?) {
            if let usage, let before = self.usage, usage.isReady {
                let ran = usage.processorMilliseconds - min(usage.processorMilliseconds, before.processorMilliseconds)
                starved += now - seen - min(now - seen, ran)
            }
            seen = now
            self.usage = usage
        }

        /// How long the call has had, milliseconds.
        var milliseconds: UInt64 { seen - since - starved }
    }

    private let limitMilliseconds: UInt64
    private let periodMilliseconds: UInt64
    private let clock: DeadlineClock
    private let usage: @Sendable (UInt) -> ThreadUsage?
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
    ///   - usage: looks at a thread, by its ID; nil asks the system, if the clock is the machine's.
    package init(
        limitMilliseconds: UInt64, periodMilliseconds: UInt64, clock: DeadlineClock = .machine,
        usage: (@Sendable (UInt) -> ThreadUsage?)? = nil
    ) {
        self.limitMilliseconds = limitMilliseconds
        self.periodMilliseconds = periodMilliseconds
        self.clock = clock
        self.usage = usage ?? { clock.isMachine ? ThreadUsage(ofThread: $0) : nil }
        looked = clock.milliseconds
    }

    /// Looks at each queue of a driver. The caller does so a period after the last time.
    /// - Returns: the time since then in which the process did not run, milliseconds.
    package mutating func look(at context: DriverContext) -> UInt64 {
        let late = clock.milliseconds - looked
        let missing = late > 2 * periodMilliseconds ? late - periodMilliseconds : 0
        lost += missing
        look(at: context, now: clock.milliseconds - lost)
        lookAtPower(of: context)
        rest()
        return missing
    }

    /// Begins the next period. The caller says so when it has done other work since it looked.
    package mutating func rest() { looked = clock.milliseconds }

    /// A driver has four times as long to acknowledge a change of power: 20 s where a call has 5.
    private func lookAtPower(of context: DriverContext) {
        guard
            let change = context.power.overdue(after: 4 * limitMilliseconds, now: clock.milliseconds)
        else { return }
        context.log.report(
            .powerChangeNotAcknowledged,
            "SetPowerState(0x\(String(change.flags, radix: 16))) was called \(change.milliseconds) ms ago, and the base "
                + "class's was not")
    }

    /// A queue is stuck when it runs the same turn for as long as the limit.
    private mutating func look(at context: DriverContext, now: UInt64) {
        for queue in context.queues {
            let id = ObjectIdentifier(queue)
            // A queue that only the driver itself uses may be busy for as long as the driver likes.
            let thread = queue.runnerThread
            guard thread != 0, queue.isForKernel else {
                sightings[id] = nil
                continue
            }
            guard var sighting = sightings[id], sighting.turnCount == queue.turnCount else {
                sightings[id] = Sighting(turnCount: queue.turnCount, since: now, seen: now, usage: usage(thread))
                continue
            }
            sighting.note(now, usage(thread))
            // A queue that creates targets may wait for a disk to spin up.
            if sighting.milliseconds >= limitMilliseconds, !sighting.isReported,
                !context.waits.isCreatingTarget(thread)
            {
                sighting.isReported = true
                report(queue, after: sighting.milliseconds, context)
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
