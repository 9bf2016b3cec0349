import Platform
import SCSIControllerDriverKit

/// Looks now and then at what should have ended: tasks whose time is up, and calls of the driver that do not return.
package struct Watchdog {
    private let controller: ParallelController
    private let lane: Int
    private var calls: SlowCalls

    /// - Parameter lane: of the thread that looks.
    package init(controller: ParallelController, lane: Int) {
        self.controller = controller
        self.lane = lane
        let options = controller.options
        calls = SlowCalls(
            limitMilliseconds: options.slowCallMilliseconds, periodMilliseconds: UInt64(options.watchdogMilliseconds),
            clock: options.clock)
        controller.sendElsewhere(lane: lane)
    }

    /// Does what is due. Once in `watchdogMilliseconds`.
    package mutating func look() {
        // The queues of a driver in a process of its own are looked at there.
        let lost = calls.look(at: controller.host.context)
        if lost > 0 { controller.pool.extendDeadlines(byMilliseconds: lost) }
        controller.recoverExpiredTasks(lane: lane)
        if controller.isDriverGone.load(ordering: .acquiring) { controller.endTasksOfDriverThatIsGone(lane: lane) }
        calls.rest()
    }
}

extension ParallelController {
    /// What the watchdog's thread does.
    func watch(lane: Int, until stopped: OneShotEvent) {
        var watchdog = Watchdog(controller: self, lane: lane)
        while !stopped.wait(milliseconds: options.watchdogMilliseconds) { watchdog.look() }
    }
}
