import SCSIControllerDriverKit
import Statistics

/// The way of tasks to the driver.
package enum DriverMode: String, Sendable, CaseIterable {
    /// A DEXT: up to 32 slots a call, answered in shared response slots.
    case bundled
    /// A DEXT: one call and one action for each task, copied by value.
    case legacy
    /// A KEXT: the kernel calls the driver directly.
    case kext
}

/// Where a driver runs.
package enum DriverPlace: String, Sendable {
    /// A DEXT in this process.
    case inProcess = "in-process"
    /// A DEXT in a process of its own.
    case process
    /// A KEXT.
    case kernel
}

/// The driver's side of the boundary: runs the driver's calls on the right queues, and carries tasks to it.
///
/// Threads: the start and `stop` on one control thread; `send` on any.
package protocol DriverHost: AnyObject, Sendable {
    /// The way of tasks to the driver.
    var mode: DriverMode { get }
    /// Where the driver runs.
    var place: DriverPlace { get }
    /// The number of tasks in each call of the driver.
    var bundles: BundleCounters { get }
    /// The number of restarts of the driver. Any thread.
    var restartCount: Int { get }
    /// The driver's queues and its log of faults.
    var context: DriverContext { get }

    /// First step of the start: the driver initialises itself, reports its limits and answers questions.
    func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties

    /// Second step: task IDs are assigned and slots are mapped.
    /// - Returns: the driver's ID for each task object.
    func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64]

    /// Third step: services start. The driver may create targets before this returns, and afterwards.
    /// - Returns: whether the driver creates its targets itself; if not, the kernel has to scan.
    func startServices() throws(DriverStartError) -> Bool

    /// Carries all waiting submissions to the driver, on this thread unless another one is doing so.
    /// - Parameter pair: the pair of rings, for a driver whose calls arrive as messages.
    func send(pair: Int)

    /// Asks the driver whether it accepts a target, and what the target can do.
    func initializeTarget(_ targetID: UInt64) -> kern_return_t

    /// Asks the driver for a task management function, and waits for the answer.
    func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome

    /// Ends a driver that does not answer, if possible, so that it can be started again.
    func endUnreachable()

    /// Ends an unwanted driver at once, if possible, and does not start it again. Threads that wait for it go on.
    /// Before `stop`, on any thread.
    func giveUp()

    /// Ends the driver.
    func stop()

    // MARK: For a driver whose calls arrive as messages

    /// The number of threads that have to fetch the driver's calls with `poll` while no other thread does: one for each
    /// pair of rings, or 0 when the driver calls by itself.
    var receiverCount: Int { get }

    /// Makes the calling thread the receiver of this pair.
    func bindReceiver(pair: Int)

    /// The pair by which the calling thread should send so many tasks and fetch their completions.
    func pair(forTaskCount count: Int) -> Int

    /// Begins to fetch on the calling thread. Until `endPolling`, the driver need not wake any thread.
    func beginPolling(pair: Int)

    /// Carries out the driver's messages.
    /// - Returns: whether there were any.
    func poll(pair: Int) -> Bool

    /// Ends fetching on the calling thread.
    /// - Returns: whether a message came at the last moment, so that the thread has to go on.
    func endPolling(pair: Int) -> Bool

    /// Sleeps until a message comes or the time is up; not while polling.
    func sleep(pair: Int, milliseconds: Int)

    /// Wakes a sleeping receiver for messages that the calling thread leaves to it.
    func wakeReceiver(pair: Int)

    /// The driver's queues and their activities, a line each.
    func picture() -> [String]
}

extension DriverHost {
    package var restartCount: Int { 0 }
    package var receiverCount: Int { 0 }
    package func pair(forTaskCount count: Int) -> Int { 0 }
    package func endUnreachable() {}
    package func giveUp() {}
    package func bindReceiver(pair: Int) {}
    package func beginPolling(pair: Int) {}
    package func poll(pair: Int) -> Bool { false }
    package func endPolling(pair: Int) -> Bool { false }
    package func sleep(pair: Int, milliseconds: Int) {}
    package func wakeReceiver(pair: Int) {}
    package func picture() -> [String] { context.waits.picture() }

    /// Reports a task that UserProcessParallelTask has refused.
    func legacyTaskReturned(response: UInt32, slot: UInt16, to kernel: any KernelHalf) {
        if response != kSCSIServiceResponse_Request_In_Process {
            kernel.submissionRefused(slot: slot, response: response)
        }
    }
}
