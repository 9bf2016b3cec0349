import Platform
import SCSIControllerDriverKit

/// Looking now and then at what should have ended: tasks whose time is up, and calls of the driver that do not return.
extension ParallelController {
    /// What the watchdog's thread does.
    func watch(lane: Int, until stopped: Event) {
        sendElsewhere(lane: lane)
        var calls = SlowCalls(
            limitMilliseconds: options.slowCallMilliseconds, periodMilliseconds: UInt64(options.watchdogMilliseconds))
        while !stopped.wait(milliseconds: options.watchdogMilliseconds) {
            // The queues of a driver in a process of its own are looked at there.
            let lost = calls.look(at: host.context)
            if lost > 0 { pool.extendDeadlines(byMilliseconds: lost) }
            recoverExpiredTasks(lane: lane)
            if isDriverGone.load(ordering: .acquiring) { endTasksOfDriverThatIsGone(lane: lane) }
            calls.rest()
        }
    }
}
