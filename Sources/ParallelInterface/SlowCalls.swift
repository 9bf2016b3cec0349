import Diagnostics
import SCSIControllerDriverKit

/// Finds calls of a driver that do not return although they wait for nothing that is known.
struct SlowCalls {
    private struct Sight {
        var turnCount: UInt32
        var since: UInt64
        var isReported = false
    }

    private let limitMilliseconds: UInt64
    private var sights: [ObjectIdentifier: Sight] = [:]

    init(limitMilliseconds: UInt64) { self.limitMilliseconds = limitMilliseconds }

    /// Looks at each queue: one that runs the same thing as long as that is stuck.
    mutating func look(at context: DriverContext, now: UInt64) {
        for queue in context.queues {
            let id = ObjectIdentifier(queue)
            // A queue that nobody but the driver uses may be busy for as long as the driver likes.
            guard queue.runnerThread != 0, queue.hasSources else {
                sights[id] = nil
                continue
            }
            guard var sight = sights[id], sight.turnCount == queue.turnCount else {
                sights[id] = Sight(turnCount: queue.turnCount, since: now)
                continue
            }
            // A queue that creates targets may wait for a disk to spin up.
            if now - sight.since >= limitMilliseconds, !sight.isReported, queue.activity != "HandleAsyncEvent" {
                sight.isReported = true
                report(queue, after: now - sight.since, context)
            }
            sights[id] = sight
        }
    }

    private func report(_ queue: IODispatchQueue, after milliseconds: UInt64, _ context: DriverContext) {
        let fault: DriverFault =
            switch queue.activity {
            case "UserStartController": .waitInStartController
            case "Stop": .waitInStop
            default: .queueCycle
            }
        context.log.report(
            fault, "\(queue.activity) has not returned for \(milliseconds) ms and holds \(queue.name):",
            picture: context.waits.picture())
    }
}
