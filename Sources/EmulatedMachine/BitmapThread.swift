import ParallelInterface
import Platform
import RAIDController

/// The thread that lets an array's write-intent bitmap clear its bits, once a period, on a lane of its own.
final class BitmapThread: Sendable {
    private let stopped = Event()
    private let finished = Event()

    /// - Parameters:
    ///   - target: which of the card's arrays; without a bitmap there is no thread.
    ///   - controller: outlives the thread.
    /// - Throws: when there is no lane or no thread left.
    init?(card: RAIDController, target: Int, controller: ParallelController) throws {
        guard let seconds = card.bitmapPeriodSeconds(target: target) else { return nil }
        let lane = try controller.makeOwnLane()
        let thread = try OSThread(name: "bitmap \(target)") { [stopped, finished, unowned controller] in
            while !stopped.wait(milliseconds: seconds * 1000) {
                card.tickBitmap(target: target, lane: lane)
                Self.finishWork(lane, controller)
            }
            card.restBitmap(target: target, lane: lane)
            Self.finishWork(lane, controller)
            controller.releaseOwnLane(lane)
            finished.set()
        }
        thread.detach()
    }

    /// Clears all bits that can be, and ends the thread. No request is outstanding.
    func stop() {
        stopped.set()
        finished.wait()
    }

    private static func finishWork(_ lane: Int, _ controller: ParallelController) {
        while true {
            // What the card has ended on the way goes up.
            controller.pump(lane: lane)
            guard controller.hasOutstandingWork(lane: lane) else { return }
            controller.wait(lane: lane, orReadable: -1)
        }
    }
}
