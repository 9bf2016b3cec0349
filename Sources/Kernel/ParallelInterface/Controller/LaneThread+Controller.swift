import DriverHost
import Platform

extension LaneThread {
    /// - Parameters:
    ///   - name: for ps and perf.
    ///   - controller: outlives the thread.
    ///   - body: runs on the thread with its lane, and returns soon after the event is set.
    /// - Throws: if no lane or no thread is left.
    package convenience init(
        name: String, controller: ParallelController,
        _ body: @escaping @Sendable (ParallelController, _ lane: Int, _ stopped: OneShotEvent) -> Void
    ) throws {
        try self.init(name: name, lanes: controller) { [unowned controller] in body(controller, $0, $1) }
    }
}
