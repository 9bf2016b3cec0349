import ArrayEngine
import DriverHost
import ParallelInterface
import Platform
import RAIDController

/// The thread that does an array's maintenance, on a lane of its own.
struct MaintenanceThread {
    /// The longest wait when there is nothing to do.
    private static let idleMilliseconds = 1000
    /// The longest wait for work of other lanes, which ring when they have done it.
    private static let workingMilliseconds = 50

    private let array: LiveArray
    private let thread: LaneThread

    /// - Parameters:
    ///   - array: one of those behind the card.
    ///   - controller: outlives the thread.
    /// - Throws: when there is no lane or no thread left.
    init(_ array: LiveArray, behind card: RAIDController, controller: ParallelController) throws {
        self.array = array
        thread = try LaneThread(name: "maintenance \(array.index)", controller: controller) {
            controller, lane, stopped in
            Self.run(array, card, controller, lane: lane, until: stopped)
        }
    }

    /// Ends the thread. Returns when the point to resume from is durable and the thread does not use the controller any
    /// more.
    func stop() {
        array.suspendMaintenance()
        thread.stop { [array] in array.lookForSpare() }
    }

    private static func run(
        _ array: LiveArray, _ card: RAIDController, _ controller: ParallelController, lane: Int,
        until stopped: OneShotEvent
    ) {
        while true {
            let isStopped = stopped.isSet
            let pause = card.work(on: array.index, lane: lane) { $0.maintain(on: $1, now: monotonicNanoseconds()) }
            // Passes up what the card has completed meanwhile.
            controller.pump(lane: lane)
            if controller.hasOutstandingWork(lane: lane) {
                controller.wait(lane: lane, orReadable: -1)
                continue
            }
            switch pause {
            case .working: array.waitForMaintenance(milliseconds: workingMilliseconds)
            case .until(let nanoseconds):
                let left = nanoseconds - min(nanoseconds, monotonicNanoseconds())
                array.waitForMaintenance(milliseconds: Int(left / 1_000_000) + 1)
            case .idle where isStopped: return
            case .idle: array.waitForMaintenance(milliseconds: idleMilliseconds)
            }
        }
    }
}
