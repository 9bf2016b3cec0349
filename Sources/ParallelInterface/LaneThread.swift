import Platform

/// A thread of the controller's own, with a lane of its own, until it is stopped.
final class LaneThread: Sendable {
    private let stopped = Event()
    private let finished = Event()

    /// - Parameters:
    ///   - name: for ps and perf.
    ///   - controller: outlives the thread.
    ///   - body: runs on the thread, with its lane, and returns soon after the event is set.
    /// - Throws: when there is no lane or no thread left.
    init(
        name: String, controller: ParallelController,
        _ body: @escaping @Sendable (ParallelController, _ lane: Int, _ stopped: Event) -> Void
    ) throws {
        let lane = try controller.makeOwnLane()
        let thread = try OSThread(name: name) { [stopped, finished, unowned controller] in
            body(controller, lane, stopped)
            controller.releaseOwnLane(lane)
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
