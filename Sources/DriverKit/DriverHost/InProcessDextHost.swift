import Diagnostics
import HardwareBus
import SCSIControllerDriverKit

/// Runs a DEXT in this process, on the same memory that two processes would share.
package final class InProcessDextHost: DriverHost, @unchecked Sendable {
    // SAFETY: `initialize` and `map` set everything before the first `send`; `earlyTasksLeft` belongs to the Default
    // queue.
    package let hosted: HostedDriver
    private let calls: DriverCalls
    private let personality: OSDictionary
    private var submissionMask: UInt32 = 0
    private var slots: SharedSlots!
    /// Nil when the kernel half is gone, which a thread of the driver's own may outlive.
    private weak var kernel: (any KernelHalf)?
    private var isBundled = false
    /// The tasks that still go by the legacy route although the driver has taken the slots. macOS sends a few of the
    /// first commands that way, so a driver has to serve both routes.
    private var earlyTasksLeft = 2

    /// - Parameters:
    ///   - mode: `.bundled` offers the shared slots, `.legacy` does not.
    ///   - driverClass: the class in the personality's IOUserClass.
    ///   - function: the card that the driver's personality matched.
    ///   - personality: the properties of the driver's own registry node.
    ///   - log: collects the driver's faults.
    package init(
        mode: DriverMode, driverClass: IOUserSCSIParallelInterfaceController.Type, function: PCIFunction,
        personality: OSDictionary = [:], log: DiagnosisLog
    ) {
        precondition(mode != .kext)
        hosted = HostedDriver(mode: mode, place: .inProcess, context: DriverContext(log: log))
        self.personality = personality
        calls = DriverCalls(driverClass: driverClass, function: function, context: hosted.context)
    }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        try calls.start(personality: personality, kernel: kernel)
        try calls.initializeController()
        let properties = try calls.askProperties()
        try properties.checkTaskCount(of: "UserReportMaximumTaskCount", log: context.log)
        return properties
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        self.slots = slots
        var taskIDs: [UInt64] = []
        for _ in 0..<slots.taskCount { taskIDs.append(try calls.mapTask()) }
        isBundled =
            hosted.mode == .bundled && calls.offerSlots(commands: slots.commandMemory, responses: slots.responseMemory)
        submissionMask = calls.defaultQueue.addSource(
            isBundled ? "UserProcessBundledParallelTasks" : "UserProcessParallelTask"
        ) { [weak self] in
            guard let self, let kernel else { return }
            if isBundled { sendBundled(of: kernel) } else { sendOneByOne(of: kernel) }
        }
        return taskIDs
    }

    package func startServices() throws(DriverStartError) -> Bool {
        try calls.startController()
        return calls.managesDevices()
    }

    package func send(_ exchange: inout Exchange) { calls.defaultQueue.signal(mask: submissionMask) }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t { calls.initializeTarget(targetID) }

    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome { calls.perform(function) }

    package func stop() { calls.stop() }

    // MARK: Tasks, on the Default queue

    /// Sends what waits, up to 32 tasks a call. No task is held back for a larger bundle.
    private func sendBundled(of kernel: any KernelHalf) {
        while earlyTasksLeft > 0 {
            if sendOne(of: kernel) == false { return }
            earlyTasksLeft -= 1
        }
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            let indices = indices.baseAddress!
            while true {
                let count = kernel.takeSubmissions(
                    indices, limit: kMaxBundledParallelTasks, route: .bundled, domain: .single)
                if count == 0 { return }
                hosted.noteCalls(on: calls.defaultQueue, taskCount: count)
                calls.processBundle(indices, count: UInt16(count))
            }
        }
    }

    private func sendOneByOne(of kernel: any KernelHalf) {
        while sendOne(of: kernel) {}
    }

    /// Sends one task in one call. The slot is copied into the message, and the response comes back in another one.
    /// - Returns: whether there was a task.
    private func sendOne(of kernel: any KernelHalf) -> Bool {
        var slot: UInt16 = 0
        guard kernel.takeSubmissions(&slot, limit: 1, route: .legacy, domain: .single) == 1 else { return false }
        hosted.noteCalls(on: calls.defaultQueue, taskCount: 1)
        let response = calls.process(slots.commands + Int(slot), slot: Int(slot))
        kernel.legacyTaskReturned(response: response, slot: slot)
        return true
    }
}
