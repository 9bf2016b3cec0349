import SCSIControllerDriverKit

/// By which route a task goes to the driver, and has to come back.
package enum TaskRoute: UInt8, BitwiseCopyable, Sendable {
    /// UserProcessParallelTask and ParallelTaskCompletion, or a KEXT's calls.
    case single
    /// UserProcessBundledParallelTasks and BundledParallelTaskCompletion.
    case bundled
}

/// The kernel side of the driver boundary: what a host takes from it and brings back to it.
package protocol KernelHalf: DriverKernelPort {
    /// Takes the slots whose tasks wait to be sent, oldest first. Called inside the driver's submission queue.
    /// - Parameters:
    ///   - indices: room for `limit` slots.
    ///   - limit: at most this many.
    ///   - route: how they will be sent.
    ///   - pair: by which pair of rings; 0 for a driver whose calls do not arrive by messages.
    /// - Returns: how many were taken; 0 when none wait.
    func takeSubmissions(_ indices: UnsafeMutablePointer<UInt16>, limit: Int, route: TaskRoute, pair: Int) -> Int

    /// The driver refused a task of the legacy route: its immediate response was not Request_In_Process.
    func submissionRefused(slot: UInt16, response: UInt32)

    /// Whether the driver still owns a slot.
    func isWithDriver(slot: UInt16) -> Bool

    // MARK: A driver in a process of its own

    /// The driver is gone and will not touch its slots again: the card is reset, and the tasks that the driver had are
    /// failed, so that they are tried again. Returns when no task is with the driver.
    func driverDied()

    /// A driver that was started again has initialised itself.
    func driverReturned()

    /// Whether the driver that runs, or ran last, has completed a task with an answer that counts.
    var driverHasWorked: Bool { get }

    /// The driver that was started again leaves it to the kernel to ask it about its targets.
    func initializeTargetsAgain()

    /// The driver will not come back: everything fails from now on.
    func driverIsLost()

    /// How many lanes clients have: whether others want the processor that a waiting thread uses.
    var clientLaneCount: Int { get }

    /// The tasks that the driver owns, in words.
    func outstandingTasks() -> [String]
}
