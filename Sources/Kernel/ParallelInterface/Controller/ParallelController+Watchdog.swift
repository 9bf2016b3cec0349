import Platform
import SCSIControllerDriverKit

/// The watchdog looks regularly for tasks whose time is up and for calls of the driver that do not return.
extension ParallelController {
    /// Looks every `watchdogMilliseconds`, by the options' clock, until the event is set. The watchdog's thread runs
    /// this.
    func watch(lane: Int, until stopped: OneShotEvent) {
        sendWithoutWaiting(lane: lane)
        var calls = SlowCalls(
            limitMilliseconds: options.slowCallMilliseconds, periodMilliseconds: UInt64(options.watchdogMilliseconds),
            clock: options.clock)
        _ = options.clock.wait(for: stopped, everyMilliseconds: options.watchdogMilliseconds) {
            // A driver in a process of its own has such a look there for its queues.
            let lost = calls.look(at: host.context)
            if lost > 0 { pool.extendDeadlines(byMilliseconds: lost) }
            recoverExpiredTasks(lane: lane)
            if isDriverGone.load(ordering: .acquiring) { endTasksOfDriverThatIsGone(lane: lane) }
            calls.rest()
            return false
        }
    }
}
