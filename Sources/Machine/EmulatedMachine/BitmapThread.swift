import ArrayEngine
import DriverHost
import ParallelInterface
import RAIDController

/// The thread that clears bits of an array's write-intent bitmap once a period, on a lane of its own.
struct BitmapThread {
    private let thread: LaneThread

    /// - Parameters:
    ///   - array: one of those behind the card; without a bitmap there is no thread.
    ///   - controller: outlives the thread.
    /// - Throws: when there is no lane or no thread left.
    init?(_ array: LiveArray, behind card: RAIDController, controller: ParallelController) throws {
        guard let seconds = array.bitmapPeriodSeconds else { return nil }
        @Sendable func clear(_ lane: Int, _ controller: ParallelController) {
            controller.finishWork(lane: lane)
            card.work(on: array.index, lane: lane) { $0.clearBits(on: $1) }
            controller.finishWork(lane: lane)
        }
        thread = try LaneThread(name: "bitmap \(array.index)", controller: controller) { controller, lane, stopped in
            while !stopped.wait(milliseconds: seconds * 1000) {
                card.work(on: array.index, lane: lane) { $0.tickBitmap(on: $1) }
                clear(lane, controller)
            }
            card.work(on: array.index, lane: lane) { $0.restBitmap(on: $1) }
            clear(lane, controller)
        }
    }

    /// Clears all bits that can be cleared, and ends the thread. No request may be outstanding.
    func stop() { thread.stop() }
}
