import Platform

/// A thread that is no client's, with a lane of its own, until it is stopped.
package final class LaneThread: Sendable {
    private let stopped = Event()
    private let finished = Event()

    /// - Parameters:
    ///   - name: for ps and perf.
    ///   - controller: outlives the thread.
    ///   - body: runs on the thread, with its lane, and returns soon after the event is set.
    /// - Throws: when there is no lane or no thread left.
    package init(
        name: String, controller: ParallelController,
        _ body: @escaping @Sendable (ParallelController, _ lane: Int, _ stopped: Event) -> Void
    ) throws {
        let lane = try controller.makeOwnLane()
        do {
            let thread = try OSThread(name: name) { [stopped, finished, unowned controller] in
                body(controller, lane, stopped)
                controller.releaseOwnLane(lane)
                finished.set()
            }
            thread.detach()
        } catch {
            controller.releaseOwnLane(lane)
            throw error
        }
    }

    /// Lets the thread come to an end by itself.
    /// - Parameter wake: makes the thread look at its event, if it may be waiting for something else.
    package func askToStop(wake: () -> Void) {
        stopped.set()
        wake()
    }

    /// Returns when the thread is done with the controller.
    /// - Parameter wake: as above.
    package func stop(wake: () -> Void = {}) {
        askToStop(wake: wake)
        finished.wait()
    }
}
