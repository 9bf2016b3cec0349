import Platform

/// Fetching what a driver in a process of its own sends while no other thread does, and driving what follows.
extension ParallelController {
    private static let sleepMilliseconds = 100

    /// What the receiver's thread does.
    func receive(lane: Int, until stopped: Event) {
        while !stopped.wait(milliseconds: 0) {
            finishWork(lane: lane)
            host.sleep(milliseconds: Self.sleepMilliseconds)
        }
    }
}
