import SCSIControllerDriverKit
import Statistics

/// How tasks reach the driver.
package enum DriverMode: String, Sendable, CaseIterable {
    /// A DEXT; up to 32 slots in one call, answered in shared response slots.
    case bundled
    /// A DEXT; one call and one action for each task, copied by value.
    case legacy
    /// A KEXT: the kernel calls the driver directly.
    case kext
}

/// Where a driver runs.
package enum DriverPlace: String, Sendable {
    case inProcess = "in-process"
    case process
    /// A KEXT.
    case kernel
}

/// The driver's end of the boundary: runs its calls on the right queues and carries tasks to it.
///
/// Threads: the start and `stop` on one control thread; `send` on any.
package protocol DriverHost: AnyObject, Sendable {
    var mode: DriverMode { get }
    var place: DriverPlace { get }
    /// How many tasks each call of the driver carried.
    var bundles: BundleCounters { get }
    /// How often the driver was started again. Any thread.
    var restartCount: Int { get }
    /// The driver's queues and its log of faults.
    var context: DriverContext { get }

    /// First: the driver initialises itself, reports its limits and answers questions.
    func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties

    /// Second: task IDs are assigned and slots are mapped.
    /// - Returns: the ID that the driver gave to each task object.
    func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64]

    /// Third: services start. The driver may create targets before this returns, and after.
    /// - Returns: whether the driver creates its targets itself; if not, the kernel has to scan.
    func startServices() throws(DriverStartError) -> Bool

    /// Carries all waiting submissions to the driver, on this thread unless another one is doing it.
    /// - Parameter pair: by which pair of rings, for a driver whose calls arrive by messages.
    func send(pair: Int)

    /// Asks the driver whether it accepts a target, and what the target can do.
    func initializeTarget(_ targetID: UInt64) -> kern_return_t

    /// Asks the driver for a task management function, and waits for the answer.
    func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome

    /// The driver does not answer: ends it if it can be ended, so that it can be started again.
    func endUnreachable()

    /// Nobody wants the driver any more: ends it at once if it can be ended, and does not start it again. What waits for
    /// it goes on. Before `stop`, on any thread.
    func giveUp()

    /// Ends the driver.
    func stop()

    // MARK: For a driver whose calls arrive by messages

    /// How many threads have to fetch the driver's calls with `poll` while no other thread does, one for each pair of
    /// rings; 0 when the driver calls by itself.
    var receiverCount: Int { get }

    /// The calling thread fetches what comes by this pair.
    func bindReceiver(pair: Int)

    /// The pair by which the calling thread had better send so many tasks, and fetch what follows.
    func pair(forTaskCount count: Int) -> Int

    /// The calling thread begins to fetch: until `endPolling`, the driver need not wake anybody.
    func beginPolling(pair: Int)

    /// Does what the driver's messages say.
    /// - Returns: whether there were any.
    func poll(pair: Int) -> Bool

    /// - Returns: whether a message came in the last moment, so that the thread has to go on.
    func endPolling(pair: Int) -> Bool

    /// Sleeps until a message comes or the time is up; not while polling.
    func sleep(pair: Int, milliseconds: Int)

    /// Messages are there that the calling thread leaves: whoever sleeps has to see to them.
    func wakeReceiver(pair: Int)

    /// What the driver's queues do, a line each.
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

    /// The driver has returned from UserProcessParallelTask.
    func singleTaskReturned(response: UInt32, slot: UInt16, to kernel: any KernelHalf) {
        if response != kSCSIServiceResponse_Request_In_Process {
            kernel.submissionRefused(slot: slot, response: response)
        }
    }
}
