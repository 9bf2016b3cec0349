import ParallelInterface
import Platform
import RAIDController

/// The thread that does an array's maintenance, on a lane of its own.
struct MaintenanceThread {
    /// When nothing is to be done and nobody rings.
    private static let idleMilliseconds = 1000
    /// Longest wait for work that other lanes have in hand, and ring when they end it.
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

    /// Returns when what can be resumed is durable and the thread is done with the controller.
    func stop() {
        card.suspendMaintenance(target: target)
        thread.stop { card.lookForSpare(target: target) }
    }

    private static func run(
        _ card: RAIDController, target: Int, _ controller: ParallelController, lane: Int, until stopped: Event
    ) {
        while true {
            let isStopped = stopped.isSet
            let pause = card.maintain(target: target, lane: lane, now: monotonicNanoseconds())
            // What the card has ended on the way goes up.
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
