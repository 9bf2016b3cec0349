import ParallelInterface
import Platform
import RAIDController

/// The thread that does an array's maintenance, on a lane of its own.
struct MaintenanceThread {
    /// The longest wait when there is nothing to do.
    private static let idleMilliseconds = 1000
    /// The longest wait for work of other lanes, which ring when they have done it.
    private static let workingMilliseconds = 50

    private let card: RAIDController
    private let target: Int
    private let thread: LaneThread

    /// - Parameters:
    ///   - target: which of the card's arrays.
    ///   - controller: outlives the thread.
    /// - Throws: when there is no lane or no thread left.
    init(card: RAIDController, target: Int, controller: ParallelController) throws {
        self.card = card
        self.target = target
        thread = try LaneThread(name: "maintenance \(target)", controller: controller) { controller, lane, stopped in
            Self.run(card, target: target, controller, lane: lane, until: stopped)
        }
    }

    /// Ends the thread. Returns when the point to resume from is durable and the thread does not use the controller any
    /// more.
    func stop() {
        card.suspendMaintenance(target: target)
        thread.stop { card.lookForSpare(target: target) }
    }

    private static func run(
        _ card: RAIDController, target: Int, _ controller: ParallelController, lane: Int, until stopped: OneShotEvent
    ) {
        while true {
            let isStopped = stopped.isSet
            let pause = card.maintain(target: target, lane: lane, now: monotonicNanoseconds())
            // Passes up what the card has completed meanwhile.
            controller.pump(lane: lane)
            if controller.hasOutstandingWork(lane: lane) {
                controller.wait(lane: lane, orReadable: -1)
                continue
            }
            switch pause {
            case .working: card.waitForMaintenance(target: target, milliseconds: workingMilliseconds)
            case .until(let nanoseconds):
                let left = nanoseconds - min(nanoseconds, monotonicNanoseconds())
                card.waitForMaintenance(target: target, milliseconds: Int(left / 1_000_000) + 1)
            case .idle where isStopped: return
            case .idle: card.waitForMaintenance(target: target, milliseconds: idleMilliseconds)
            }
        }
    }
}
