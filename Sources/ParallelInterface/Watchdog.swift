import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Ends tasks whose time is up: they complete with TaskTimeoutOccurred, and their slots stay with the driver.
///
/// A task whose memory the card is working on cannot end before the card lets go of it; it is looked at again.
///
/// Threads: one of its own, with a lane of its own, awake once a second.
final class Watchdog: Sendable {
    private static let periodMilliseconds = 1000
    private let stopped = Event()
    private let finished = Event()

    init(controller: ParallelController) throws {
        let lane = try controller.makeLane()
        let thread = try OSThread(name: "watchdog") { [stopped, finished, unowned controller] in
            while !stopped.wait(milliseconds: Self.periodMilliseconds) { controller.endExpiredTasks(lane: lane) }
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

extension ParallelController {
    /// Completes the tasks whose deadline has passed.
    func endExpiredTasks(lane: Int) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: pool.count) { expired in
            let count = pool.abandonExpired(now: monotonicMilliseconds(), into: expired.baseAddress!) { slot in
                guard !card.dart.isPinned(window: Int(slot)) else { return false }
                card.dart.unmap(window: Int(slot))
                return true
            }
            guard count > 0 else { return }
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: count) { rows in
                for index in 0..<count {
                    rows[index] = pool.row(of: expired[index])
                    fail(row: rows[index], status: kSCSITaskStatus_TaskTimeoutOccurred)
                }
                deliver(UnsafeMutableBufferPointer(rebasing: rows[...]), lane: lane)
            }
        }
        pump(lane: lane)
        while hasOutstandingWork(lane: lane) { wait(lane: lane, orReadable: -1) }
    }
}
