import Platform

/// Gives lanes to threads that are no client's.
package protocol LaneSource: AnyObject, Sendable {
    /// Makes a lane for a thread of the machine's own.
    /// - Throws: if none is left.
    func makeOwnLane() throws -> Int

    /// Gives such a lane back, after its outstanding work is done. Blocks.
    func releaseOwnLane(_ lane: Int)
}

/// A thread of the machine's own, with its own lane, until it is stopped.
package final class LaneThread: Sendable {
    private let stopped = OneShotEvent()
    private let finished = OneShotEvent()

    /// - Parameters:
    ///   - name: for ps and perf.
    ///   - lanes: outlives the thread.
    ///   - body: runs on the thread with its lane, and returns soon after the event is set.
    /// - Throws: if no lane or no thread is left.
    package init(
        name: String, lanes: any LaneSource, _ body: @escaping @Sendable (_ lane: Int, _ stopped: OneShotEvent) -> Void
    ) throws {
        let lane = try lanes.makeOwnLane()
        do {
            let thread = try OSThread(name: name) { [stopped, finished, unowned lanes] in
                body(lane, stopped)
                lanes.releaseOwnLane(lane)
                finished.set()
            }
            thread.detach()
        } catch {
            lanes.releaseOwnLane(lane)
            throw error
        }
    }

    /// Asks the thread to end, and returns at once.
    /// - Parameter wake: wakes the thread from a wait for something other than its event.
    package func askToStop(wake: () -> Void) {
        stopped.set()
        wake()
    }

    /// Asks the thread to end, and returns when it is done with the lanes' owner.
    /// - Parameter wake: as for `askToStop`.
    package func stop(wake: () -> Void = {}) {
        askToStop(wake: wake)
        finished.wait()
    }
}
