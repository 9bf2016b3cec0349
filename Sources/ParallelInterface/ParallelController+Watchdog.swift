import Platform

/// Looking now and then at what should have ended: tasks whose time is up, and calls of the driver that do not return.
extension ParallelController {
    /// What the watchdog's thread does.
    func watch(lane: Int, until stopped: Event) {
        sendElsewhere(lane: lane)
        let period = UInt64(options.watchdogMilliseconds)
        var calls = SlowCalls(limitMilliseconds: options.slowCallMilliseconds)
        // The time that the process did not have: stopped, or on a machine with no processor to spare. Nobody could
        // have done anything in it, the driver included.
        var lost: UInt64 = 0
        var looked = monotonicMilliseconds()
        while !stopped.wait(milliseconds: Int(period)) {
            let late = monotonicMilliseconds() - looked
            if late > 2 * period {
                lost += late - period
                pool.extendDeadlines(byMilliseconds: late - period)
            }
            calls.look(at: host.context, now: monotonicMilliseconds() - lost)
            recoverExpiredTasks(lane: lane)
            if isDriverGone.load(ordering: .acquiring) { endTasksOfDriverThatIsGone(lane: lane) }
            looked = monotonicMilliseconds()
        }
    }
}
