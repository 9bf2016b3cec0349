import Platform

/// Fetches what a driver in a process of its own sends while no other thread does, and drives what follows.
///
/// Threads: one of its own, with a lane of its own.
final class Receiver: Sendable {
    private let stopped = Event()
    private let finished = Event()
    private static let sleepMilliseconds = 100

    init(controller: ParallelController) throws {
        let lane = try controller.makeLane()
        let thread = try OSThread(name: "receiver") { [stopped, finished, unowned controller] in
            while !stopped.wait(milliseconds: 0) {
                controller.pump(lane: lane)
                while controller.hasOutstandingWork(lane: lane) { controller.wait(lane: lane, orReadable: -1) }
                controller.host.sleep(milliseconds: Self.sleepMilliseconds)
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
