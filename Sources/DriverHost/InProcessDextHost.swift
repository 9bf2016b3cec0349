import Diagnostics
import HardwareBus
import SCSIControllerDriverKit
import Statistics

/// Runs a DEXT in this process, over the same memory that two processes would share.
package final class InProcessDextHost: DriverHost, @unchecked Sendable {
    // SAFETY: everything is set by `initialize` and `map`, before the first `send`; `earlyTasksLeft` belongs to the
    // Default queue.
    package let mode: DriverMode
    package var place: DriverPlace { .inProcess }
    package let bundles = BundleCounters()
    package let context: DriverContext
    private let driver: IOUserSCSIParallelInterfaceController
    private let driverClass: IOUserSCSIParallelInterfaceController.Type
    private let provider: IOPCIDevice
    private let defaultQueue: IODispatchQueue
    private var submissionMask: UInt32 = 0
    private var slots: SharedSlots!
    private unowned var kernel: (any KernelHalf)!
    private var taskActions: [OSAction] = []
    private let bundledAction = OSAction(route: .bundledParallelTasks)
    private var isBundled = false
    /// Tasks that still go by the legacy route although the driver took the slots. macOS sends a few of the first
    /// commands that way, so a driver has to serve both routes.
    private var earlyTasksLeft = 2

    /// - Parameters:
    ///   - mode: `.bundled` offers the shared slots, `.legacy` does not.
    ///   - driverClass: what the personality's IOUserClass names.
    ///   - function: the card that the driver's personality matched.
    ///   - personality: the properties that the driver finds at its own node.
    ///   - log: gets the driver's faults.
    package init(
        mode: DriverMode, driverClass: IOUserSCSIParallelInterfaceController.Type, function: PCIFunction,
        personality: OSDictionary = [:], log: DiagnosisLog
    ) {
        precondition(mode != .kext)
        self.mode = mode
        self.driverClass = driverClass
        let context = DriverContext(log: log)
        self.context = context
        defaultQueue = IODispatchQueue(name: "Default", context: context, isDefault: true)
        driver = context.run("init") { driverClass.init() }
        driver.personality = personality
        provider = IOPCIDevice(function: function)
        _ = driver.SetDispatchQueue("Default", defaultQueue)
    }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        driver.kernel = kernel
        try checkQueueNames()
        var properties = DriverProperties()
        guard onDefault("init", { driver.initialize() }) == true else {
            throw DriverStartError(call: "init", reason: "returned false")
        }
        try call("Start") { driver.Start(provider) }
        try call("UserInitializeController") { driver.UserInitializeController() }
        try call("UserReportInitiatorIdentifier") { driver.UserReportInitiatorIdentifier(&properties.initiatorID) }
        try call("UserReportHighestSupportedDeviceID") {
            driver.UserReportHighestSupportedDeviceID(&properties.highestDeviceID)
        }
        var count: UInt32 = 0
        try call("UserReportMaximumTaskCount") { driver.UserReportMaximumTaskCount(&count) }
        guard count > 0, count <= 4096 else {
            if count == 0 { context.log.report(.noTasks, "UserReportMaximumTaskCount left the count at 0") }
            throw DriverStartError(
                call: "UserReportMaximumTaskCount", reason: "said \(count); report between 1 and 4096 tasks")
        }
        properties.taskCount = Int(count)
        // A driver that does not know these answers as if it had neither.
        _ = onDefault("UserDoesHBAPerformAutoSense") {
            driver.UserDoesHBAPerformAutoSense(&properties.performsAutoSense)
        }
        _ = onDefault("UserReportHBAHighestLogicalUnitNumber") {
            driver.UserReportHBAHighestLogicalUnitNumber(&properties.highestLogicalUnit)
        }
        try call("UserGetDMASpecification") { driver.UserGetDMASpecification(&properties.dma) }
        return properties
    }

    private func checkQueueNames() throws(DriverStartError) {
        for method in ["UserProcessParallelTask", "UserProcessBundledParallelTasks"] {
            guard let queue = driverClass.QUEUENAME(method) else { continue }
            context.log.report(.queueNameOnTaskEntry, "\(method) is declared with QUEUENAME(\(queue))")
            throw DriverStartError(call: method, reason: "names the queue \(queue); remove the name")
        }
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        self.slots = slots
        var taskIDs: [UInt64] = []
        for slot in 0..<slots.taskCount {
            var id: UInt64 = 0
            try call("UserMapHBAData") { driver.UserMapHBAData(&id) }
            taskIDs.append(id)
            taskActions.append(OSAction(route: .parallelTask(UInt16(slot))))
        }
        if mode == .bundled { try offerSlots(slots) }
        submissionMask = defaultQueue.addSource(
            isBundled ? "UserProcessBundledParallelTasks" : "UserProcessParallelTask"
        ) { [unowned self] in
            if isBundled { sendBundled() } else { sendSingly() }
        }
        return taskIDs
    }

    private func offerSlots(_ slots: SharedSlots) throws(DriverStartError) {
        let commands = IOBufferMemoryDescriptor(borrowing: slots.commandMemory)
        let responses = IOBufferMemoryDescriptor(borrowing: slots.responseMemory)
        let status = onDefault("UserMapBundledParallelTaskCommandAndResponseBuffers") {
            driver.UserMapBundledParallelTaskCommandAndResponseBuffers(commands, responses)
        }
        // The arguments of a call end with it, unless the driver retained them.
        commands.kernelReleases()
        responses.kernelReleases()
        isBundled = status == kIOReturnSuccess
        if !isBundled {
            context.log.report(
                .bundledModeDeclined,
                "UserMapBundledParallelTaskCommandAndResponseBuffers returned \(Self.text(status ?? kIOReturnAborted))")
        }
    }

    package func startServices() throws(DriverStartError) -> Bool {
        try call("UserStartController") { driver.UserStartController() }
        var managesDevices = false
        _ = onDefault("UserDoesHBAPerformDeviceManagement") {
            driver.UserDoesHBAPerformDeviceManagement(&managesDevices)
        }
        return managesDevices
    }

    package func send() { defaultQueue.signal(mask: submissionMask) }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t {
        let status = onDefault("UserInitializeTargetForID", createsTarget: true) {
            driver.UserInitializeTargetForID(targetID)
        }
        guard status == kIOReturnSuccess else { return status ?? kIOReturnAborted }
        var hasPaths = false
        _ = onDefault("UserDoesHBASupportMultiPathing", createsTarget: true) {
            driver.UserDoesHBASupportMultiPathing(&hasPaths)
        }
        return kIOReturnSuccess
    }

    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        // A driver that needs help may be one whose Default queue is stuck.
        let limit = 1000
        var response = kSCSIServiceResponse_FUNCTION_REJECTED
        let status: kern_return_t? =
            switch function {
            case .abortTask(let target, let unit, let tag):
                onDefault("UserAbortTaskRequest", limitMilliseconds: limit) {
                    driver.UserAbortTaskRequest(target, unit, tag, &response)
                }
            case .logicalUnitReset(let target, let unit):
                onDefault("UserLogicalUnitResetRequest", limitMilliseconds: limit) {
                    driver.UserLogicalUnitResetRequest(target, unit, &response)
                }
            case .targetReset(let target):
                onDefault("UserTargetResetRequest", limitMilliseconds: limit) {
                    driver.UserTargetResetRequest(target, &response)
                }
            }
        guard let status else { return .unreachable }
        return status == kIOReturnSuccess && response == kSCSIServiceResponse_FUNCTION_COMPLETE ? .done : .refused
    }

    package func stop() {
        _ = onDefault("Stop") { driver.Stop(provider) }
    }

    // MARK: Tasks, on the Default queue

    /// One call for what waits, up to 32 tasks; nothing is held back to make it larger.
    private func sendBundled() {
        while earlyTasksLeft > 0 {
            if sendOne() == false { return }
            earlyTasksLeft -= 1
        }
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            let indices = indices.baseAddress!
            while true {
                let count = kernel.takeSubmissions(indices, limit: kMaxBundledParallelTasks, route: .bundled)
                if count == 0 { return }
                bundles.note(taskCount: count)
                defaultQueue.noteCall()
                driver.UserProcessBundledParallelTasks(indices, UInt16(count), bundledAction)
            }
        }
    }

    private func sendSingly() {
        while sendOne() {}
    }

    /// One call for one task: the slot is copied into the message, and the response comes back in another.
    /// - Returns: whether there was a task.
    private func sendOne() -> Bool {
        var slot: UInt16 = 0
        guard kernel.takeSubmissions(&slot, limit: 1, route: .single) == 1 else { return false }
        bundles.note(taskCount: 1)
        let action = taskActions[Int(slot)]
        defaultQueue.noteCall()
        var response = kSCSIServiceResponse_Request_In_Process
        context.taskInEntry = slots.commands[Int(slot)].fControllerTaskIdentifier
        _ = driver.UserProcessParallelTask(slots.commands[Int(slot)], &response, action)
        context.taskInEntry = 0
        if response != kSCSIServiceResponse_Request_In_Process {
            kernel.submissionRefused(slot: slot, response: response)
        } else if action.retainCount == 1 && kernel.isWithDriver(slot: slot) {
            context.log.report(
                .missingRetain,
                "UserProcessParallelTask returned with slot \(slot)'s task in process, and its action has no other "
                    + "reference than the kernel's")
        }
        return true
    }

    // MARK: Calls

    /// Runs a call on the Default queue. Nil when it could never run; the reason was reported.
    private func onDefault<Result>(
        _ name: StaticString, createsTarget: Bool = false, limitMilliseconds: Int? = nil, _ body: () -> Result
    ) -> Result? {
        var result: Result?
        _ = defaultQueue.runSync(
            name, purpose: name.description, createsTarget: createsTarget, limitMilliseconds: limitMilliseconds
        ) { result = body() }
        return result
    }

    private func call(_ name: StaticString, _ body: () -> kern_return_t) throws(DriverStartError) {
        let status = onDefault(name, body) ?? kIOReturnAborted
        guard status == kIOReturnSuccess else {
            throw DriverStartError(call: name.description, reason: "returned \(Self.text(status))")
        }
    }

    private static func text(_ status: kern_return_t) -> String {
        "0x\(String(UInt32(bitPattern: status), radix: 16))"
    }
}
