import Platform

/// Receiver threads. They fetch the messages of a driver in its own process while no other thread does, and do the work
/// that follows.
extension ParallelController {
    private static let sleepMilliseconds = 100

    /// Runs a receiver's thread.
    /// - Parameter pair: the pair of rings that it fetches from.
    func receive(lane: Int, pair: Int, until stopped: OneShotEvent) {
        host.bindReceiver(pair: pair)
        while !stopped.isSet {
            finishWork(lane: lane, pair: pair)
            host.sleep(pair: pair, milliseconds: Self.sleepMilliseconds)
        }
    }
}
