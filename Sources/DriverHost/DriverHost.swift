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

/// Why a driver did not start.
package struct DriverStartError: Error, CustomStringConvertible {
    /// The call that failed: "UserInitializeController".
    package let call: String
    /// What it returned or left undone, and what to change.
    package let reason: String

    package init(call: String, reason: String) {
        self.call = call
        self.reason = reason
    }

    package var description: String { "the driver did not start: \(call) \(reason)" }
}

/// What a driver said of itself while it started.
package struct DriverProperties: Sendable {
    package var taskCount = 0
    package var initiatorID: UInt64 = 0
    package var highestDeviceID: UInt64 = 0
    package var highestLogicalUnit: UInt64 = 0
    package var dma = DMASpecification()
    package var performsAutoSense = false

    package init() {}
}

/// A task management function (SAM-5, clause 7), as the kernel asks a driver for it.
package enum TaskManagementFunction: Sendable {
    case abortTask(targetID: UInt64, logicalUnit: UInt64, tag: UInt64)
    case logicalUnitReset(targetID: UInt64, logicalUnit: UInt64)
    case targetReset(targetID: UInt64)
}

/// What became of a request for task management.
package enum TaskManagementOutcome: Sendable {
    case done
    /// The driver does not do it, or could not.
    case refused
    /// The driver did not take the request in time: it is stuck in another call.
    case unreachable
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
    func send()

    /// Asks the driver whether it accepts a target, and what the target can do.
    func initializeTarget(_ targetID: UInt64) -> kern_return_t

    /// Asks the driver for a task management function, and waits for the answer.
    func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome

    /// The driver does not answer: ends it if it can be ended, so that it can be started again.
    func endUnreachable()

    /// Ends the driver.
    func stop()

    // MARK: For a driver whose calls arrive by messages

    /// Whether calls of the driver have to be fetched with `poll`.
    var hasReceiver: Bool { get }

    /// The calling thread begins to fetch: until `endPolling`, the driver need not wake anybody.
    func beginPolling()

    /// Does what the driver's messages say.
    /// - Returns: whether there were any.
    func poll() -> Bool

    /// - Returns: whether a message came in the last moment, so that the thread has to go on.
    func endPolling() -> Bool

    /// Sleeps until a message comes or the time is up; not while polling.
    func sleep(milliseconds: Int)

    /// Messages are there that the calling thread leaves: whoever sleeps has to see to them.
    func wakeReceiver()

    /// What the driver's queues do, a line each.
    func picture() -> [String]
}

extension DriverHost {
    package var restartCount: Int { 0 }
    package var hasReceiver: Bool { false }
    package func endUnreachable() {}
    package func beginPolling() {}
    package func poll() -> Bool { false }
    package func endPolling() -> Bool { false }
    package func sleep(milliseconds: Int) {}
    package func wakeReceiver() {}
    package func picture() -> [String] { context.waits.picture() }
}
