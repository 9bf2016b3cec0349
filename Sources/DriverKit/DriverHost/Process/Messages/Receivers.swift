import Platform

/// The threads that fetch the messages of a driver's process while no other thread does, and do the work that follows.
/// There is one for each pair of rings; it has a lane.
///
/// Threads: `start` and `stop` on one control thread.
final class Receivers: @unchecked Sendable {
    // SAFETY: `list` belongs to the control thread.
    private var list: [(thread: LaneThread, pair: RingPair)] = []
    private static let sleepMilliseconds = 100

    /// Starts the threads. The first pair's thread runs anywhere, each other one's on the processors of its group.
    /// - Parameter kernel: outlives the threads.
    /// - Throws: if a lane or a thread is missing.
    func start(for channel: DriverChannel, kernel: any KernelHalf) throws {
        for pair in channel.pairs {
            let thread = try LaneThread(name: "receiver \(pair.index)", lanes: kernel) {
                [unowned kernel, groups = channel.groups] lane, stopped in
                if pair.index > 0 { groups.bindCurrentThread(to: pair.index - 1) }
                while !stopped.isSet {
                    kernel.finishWork(lane: lane, Exchange(way: pair.index))
                    pair.sleep(milliseconds: Self.sleepMilliseconds)
                }
            }
            list.append((thread, pair))
        }
    }

    /// Ends the threads. Returns when they are done with the kernel half.
    func stop() {
        for (thread, pair) in list { thread.askToStop { pair.wakeReceiver() } }
        for (thread, _) in list { thread.stop() }
        list = []
    }
}
