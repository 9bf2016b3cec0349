import SCSIControllerDriverKit
import Statistics
import Synchronization

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

/// What a host knows of its driver from the beginning, and what it counts.
package final class HostedDriver: Sendable {
    /// The way of tasks to the driver, as asked for.
    package let mode: DriverMode
    /// Where the driver runs.
    package let place: DriverPlace
    /// The driver's queues and its log of faults; those of this side, for a driver in a process of its own.
    package let context: DriverContext
    /// The number of tasks in each call of the driver.
    package let bundles: BundleCounters
    let restarts = Atomic<Int>(0)
    /// The number of restarts of the driver. Any thread.
    package var restartCount: Int { restarts.load(ordering: .relaxed) }

    init(mode: DriverMode, place: DriverPlace, context: DriverContext, bundles: BundleCounters = BundleCounters()) {
        self.mode = mode
        self.place = place
        self.context = context
        self.bundles = bundles
    }

    /// Counts calls that carry tasks, and shows that the queue goes on: one piece of its work may have any number of
    /// them.
    /// - Parameters:
    ///   - queue: runs on the calling thread, and makes the calls.
    ///   - taskCount: tasks in each call, from 1 to 32.
    ///   - callCount: calls.
    ///   - sender: the queue's number among those that send tasks.
    func noteCalls(on queue: IODispatchQueue, taskCount: Int, callCount: Int = 1, sender: Int = 0) {
        bundles.note(taskCount: taskCount, callCount: callCount, sender: sender)
        queue.noteCall()
    }
}

/// The driver's side of the boundary: runs the driver's calls on the right queues, carries tasks to it, and takes its
/// calls.
///
/// Threads: the start and `stop` on one control thread; an exchange on any.
package protocol DriverHost: AnyObject, Sendable {
    /// What is known of the driver from the beginning.
    var hosted: HostedDriver { get }

    // MARK: The driver's life

    /// First step of the start: the driver initialises itself, reports its limits and answers questions.
    func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties

    /// Second step: task IDs are assigned and slots are mapped.
    /// - Returns: the driver's ID for each task object.
    func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64]

    /// Third step: services start. The driver may create targets before this returns, and afterwards.
    /// - Returns: whether the driver creates its targets itself; if not, the kernel has to scan.
    /// - Throws: if the driver does not start, or a thread or a lane for its calls is missing.
    func startServices() throws -> Bool

    /// Ends the driver in good order.
    func stop()

    /// Ends a driver that does not answer or is not wanted, at once and if possible. Any thread, before `stop`.
    /// - Parameter startsAgain: whether the host then starts the driver again. If not, threads that wait for it go on.
    func end(startsAgain: Bool)

    // MARK: Questions

    /// Asks the driver whether it accepts a target, and what the target can do.
    func initializeTarget(_ targetID: UInt64) -> kern_return_t

    /// Asks the driver for a task management function, and waits for the answer.
    func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome

    /// Opens a user client of the driver, calls it and closes it.
    func tryUserClient() -> UserClientOutcome

    /// The driver's queues and their activities, a line each.
    func picture() -> [String]

    // MARK: Tasks and calls

    /// Carries all waiting submissions to the driver, on this thread unless another one is doing so. The thread takes
    /// calls afterwards.
    func send(_ exchange: inout Exchange)

    /// Carries out the driver's calls that have arrived, if they arrive as messages. Until the exchange sends or ends,
    /// the driver need not wake any thread for a call.
    /// - Returns: whether there were any.
    func takeCalls(_ exchange: inout Exchange) -> Bool

    /// Ends an exchange, unless a call has arrived at the last moment.
    /// - Parameter mayGoOn: false leaves that call to another thread.
    /// - Returns: whether the thread has to go on.
    func finish(_ exchange: inout Exchange, mayGoOn: Bool) -> Bool
}

/// For a host whose driver calls by itself and cannot be ended.
extension DriverHost {
    package func end(startsAgain: Bool) {}
    package func takeCalls(_ exchange: inout Exchange) -> Bool { false }
    package func finish(_ exchange: inout Exchange, mayGoOn: Bool) -> Bool { false }
    package func picture() -> [String] { context.waits.picture() }
    /// Only drivers in C++ have user clients, and they are processes.
    package func tryUserClient() -> UserClientOutcome { .unsupported }
}

extension DriverHost {
    /// The driver's queues and its log of faults.
    package var context: DriverContext { hosted.context }
}

extension KernelHalf {
    /// Reports a task that UserProcessParallelTask has refused.
    func legacyTaskReturned(response: UInt32, slot: UInt16) {
        if response != kSCSIServiceResponse_Request_In_Process { submissionRefused(slot: slot, response: response) }
    }
}
