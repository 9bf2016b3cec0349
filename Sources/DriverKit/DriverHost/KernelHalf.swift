import SCSIControllerDriverKit

/// The route by which a task goes to the driver and has to come back.
package enum TaskRoute: UInt8, BitwiseCopyable, Sendable {
    /// UserProcessParallelTask and ParallelTaskCompletion, or a KEXT's calls.
    case legacy
    /// UserProcessBundledParallelTasks and BundledParallelTaskCompletion.
    case bundled
}

/// The kernel's side of the driver boundary: the source of a host's tasks, and the receiver of its completions.
package protocol KernelHalf: DriverKernelPort, LaneSource {
    /// Takes the slots of waiting tasks, oldest first. Called inside the driver's submission queue.
    /// - Parameters:
    ///   - indices: room for `limit` slots.
    ///   - limit: the most slots to take.
    ///   - route: the route of these tasks.
    ///   - domain: the tasks with which these keep their order.
    /// - Returns: the number of slots taken; 0 when none wait.
    func takeSubmissions(
        _ indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, domain: SequenceDomain
    ) -> Int

    /// The driver refused a task of the legacy route: its immediate response was not Request_In_Process.
    func submissionRefused(slot: UInt16, response: UInt32)

    // MARK: A driver in a process of its own

    /// Does all work of a lane for a thread of the host's own: sends, takes the driver's calls, and returns when
    /// everything that was begun is done.
    func finishWork(lane: Int, _ exchange: Exchange)

    /// The number of clients' lanes. It tells whether others want the processor of a thread that spins.
    var clientLaneCount: Int { get }

    /// The driver is gone and will not touch its slots again. Resets the card, and fails the driver's tasks so that
    /// they are tried again. Returns when the driver owns no task.
    func driverDied()

    /// The restarted driver has initialised itself.
    func driverReturned()

    /// Whether the current driver, or the last one, has completed a task with a valid response.
    var driverHasWorked: Bool { get }

    /// Asks the restarted driver about its targets, since it does not create them itself.
    func initializeTargetsAgain()

    /// The driver will not come back: every request fails from now on.
    func driverIsLost()

    /// The driver's tasks, in words, a line each.
    func outstandingTasks() -> [String]
}
