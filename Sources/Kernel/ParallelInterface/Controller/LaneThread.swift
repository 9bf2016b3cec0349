import Platform

/// A thread of the controller's own, with its own lane, until it is stopped.
package final class LaneThread: Sendable {
    private let stopped = OneShotEvent()
    private let finished = OneShotEvent()

    /// - Parameters:
    ///   - name: for ps and perf.
    ///   - controller: outlives the thread.
    ///   - body: runs on the thread with its lane, and returns soon after the event is set.
    /// - Throws: if no lane or no thread is left.
    package init(
        name: String, controller: ParallelController,
        _ body: @escaping @Sendable (ParallelController, _ lane: Int, _ stopped: OneShotEvent) -> Void
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

    /// Asks the thread to end, and returns at once.
    /// - Parameter wake: wakes the thread from a wait for something other than its event.
    package func askToStop(wake: () -> Void) {
        stopped.set()
        wake()
    }

    /// Asks the thread to end, and returns when it is done with the controller.
    /// - Parameter wake: as for `askToStop`.
    package func stop(wake: () -> Void = {}) {
        askToStop(wake: wake)
        finished.wait()
    }
}
