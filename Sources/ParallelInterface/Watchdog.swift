import Platform

/// Looks now and then at what should have ended: tasks whose time is up, and calls of the driver that do not return.
///
/// Threads: one of its own, with a lane of its own.
final class Watchdog: Sendable {
    private let stopped = Event()
    private let finished = Event()

    init(controller: ParallelController) throws {
        let lane = try controller.makeLane()
        controller.sendElsewhere(lane: lane)
        let period = UInt64(controller.options.watchdogMilliseconds)
        let thread = try OSThread(name: "watchdog") { [stopped, finished, unowned controller] in
            var calls = SlowCalls(limitMilliseconds: controller.options.slowCallMilliseconds)
            // The time that the process did not have: stopped, or on a machine with no processor to spare. Nobody could
            // have done anything in it, the driver included.
            var lost: UInt64 = 0
            var looked = monotonicMilliseconds()
            while !stopped.wait(milliseconds: Int(period)) {
                let late = monotonicMilliseconds() - looked
                if late > 2 * period {
                    lost += late - period
                    controller.pool.extendDeadlines(byMilliseconds: late - period)
                }
                calls.look(at: controller.host.context, now: monotonicMilliseconds() - lost)
                controller.recoverExpiredTasks(lane: lane)
                looked = monotonicMilliseconds()
            }
            controller.releaseLane(lane)
            finished.set()
        }
        thread.detach()
    }

    /// Returns when the thread is done with the controller.
    func stop() {
        stopped.set()
        finished.wait()
    }
}
