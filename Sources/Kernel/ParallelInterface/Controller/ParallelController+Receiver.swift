import Platform

/// Fetching what a driver in a process of its own sends while no other thread does, and driving what follows.
extension ParallelController {
    private static let sleepMilliseconds = 100

    /// What a receiver's thread does.
    func receive(lane: Int, pair: Int, until stopped: Event) {
        host.bindReceiver(pair: pair)
        while !stopped.isSet {
            finishWork(lane: lane, pair: pair)
            host.sleep(pair: pair, milliseconds: Self.sleepMilliseconds)
        }
    }
}
