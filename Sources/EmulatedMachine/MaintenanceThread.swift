import ParallelInterface
import Platform
import RAIDController

/// The thread that does an array's maintenance, on a lane of its own.
final class MaintenanceThread: Sendable {
    /// When nothing is to be done and nobody rings.
    private static let idleMilliseconds = 1000
    /// Longest wait for work that other lanes have in hand, and ring when they end it.
    private static let workingMilliseconds = 50

    private let card: RAIDController
    private let target: Int
    private let stopped = Event()
    private let finished = Event()

    /// - Parameters:
    ///   - target: which of the card's arrays.
    ///   - controller: outlives the thread.
    /// - Throws: when there is no lane or no thread left.
    init(card: RAIDController, target: Int, controller: ParallelController) throws {
        self.card = card
        self.target = target
        let lane = try controller.makeOwnLane()
        let thread = try OSThread(name: "maintenance \(target)") { [self, unowned controller] in
            run(lane, controller)
            controller.releaseOwnLane(lane)
            finished.set()
        }
        thread.detach()
    }

    /// Returns when what can be resumed is durable and the thread is done with the controller.
    func stop() {
        card.suspendMaintenance(target: target)
        stopped.set()
        card.lookForSpare(target: target)
        finished.wait()
    }

    private func run(_ lane: Int, _ controller: ParallelController) {
        while true {
            let isStopped = stopped.wait(milliseconds: 0)
            let pause = card.maintain(target: target, lane: lane, now: monotonicNanoseconds())
            // What the card has ended on the way goes up.
            controller.pump(lane: lane)
            if controller.hasOutstandingWork(lane: lane) {
                controller.wait(lane: lane, orReadable: -1)
                continue
            }
            switch pause {
            case .working: card.waitForMaintenance(target: target, milliseconds: Self.workingMilliseconds)
            case .until(let nanoseconds):
                let left = nanoseconds - min(nanoseconds, monotonicNanoseconds())
                card.waitForMaintenance(target: target, milliseconds: Int(left / 1_000_000) + 1)
            case .idle where isStopped: return
            case .idle: card.waitForMaintenance(target: target, milliseconds: Self.idleMilliseconds)
            }
        }
    }
}
