import Platform

/// Looks now and then at what should have ended: tasks whose time is up, and calls of the driver that do not return.
///
/// Threads: one of its own, with a lane of its own.
final class Watchdog: Sendable {
    private let stopped = Event()
    private let finished = Event()

    init(controller: ParallelController) throws {
        let lane = try controller.makeLane()
        let period = controller.options.watchdogMilliseconds
        let thread = try OSThread(name: "watchdog") { [stopped, finished, unowned controller] in
            var calls = SlowCalls(limitMilliseconds: controller.options.slowCallMilliseconds)
            while !stopped.wait(milliseconds: period) {
                controller.recoverExpiredTasks(lane: lane)
                calls.look(at: controller.host.context, now: monotonicMilliseconds())
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
