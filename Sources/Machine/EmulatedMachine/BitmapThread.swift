import ParallelInterface
import RAIDController

/// The thread that clears bits of an array's write-intent bitmap once a period, on a lane of its own.
struct BitmapThread {
    private let thread: LaneThread

    /// - Parameters:
    ///   - target: which of the card's arrays; without a bitmap there is no thread.
    ///   - controller: outlives the thread.
    /// - Throws: when there is no lane or no thread left.
    init?(card: RAIDController, target: Int, controller: ParallelController) throws {
        guard let seconds = card.bitmapPeriodSeconds(target: target) else { return nil }
        @Sendable func clear(_ lane: Int, _ controller: ParallelController) {
            controller.finishWork(lane: lane)
            card.clearBits(target: target, lane: lane)
            controller.finishWork(lane: lane)
        }
        thread = try LaneThread(name: "bitmap \(target)", controller: controller) { controller, lane, stopped in
            while !stopped.wait(milliseconds: seconds * 1000) {
                card.tickBitmap(target: target, lane: lane)
                clear(lane, controller)
            }
            card.restBitmap(target: target, lane: lane)
            clear(lane, controller)
        }
    }

    /// Clears all bits that can be cleared, and ends the thread. No request may be outstanding.
    func stop() { thread.stop() }
}
