import Diagnostics
import HardwareBus

/// The kernel's calls of one DEXT, each on its queue, in the driver's process or the server's.
///
/// Threads: the life cycle on one thread at a time; `initializeTarget` and `perform` on any; tasks on the Default
/// queue.
package final class DriverCalls: @unchecked Sendable {
    // SAFETY: `taskActions` is complete before the first task; the rest does not change.
    /// The driver's queues and its log of faults.
    package let context: DriverContext
    /// The driver's Default queue.
    package let defaultQueue: IODispatchQueue
    private let driver: IOUserSCSIParallelInterfaceController
    private let driverClass: IOUserSCSIParallelInterfaceController.Type
    private let provider: IOPCIDevice
    private let bundledAction = OSAction(route: .bundledParallelTasks)
    private var taskActions: [OSAction] = []

    /// Makes the driver's object.
    /// - Parameters:
    ///   - driverClass: the class in the personality's IOUserClass.
    ///   - function: the card that the driver's personality matched.
    ///   - context: the driver's.
    package init(
        driverClass: IOUserSCSIParallelInterfaceController.Type, function: PCIFunction, context: DriverContext
    ) {
        self.driverClass = driverClass
        self.context = context
        defaultQueue = IODispatchQueue(name: "Default", context: context, isDefault: true)
        driver = context.run("init") { driverClass.init() }
        provider = IOPCIDevice(function: function)
        _ = driver.SetDispatchQueue("Default", defaultQueue)
    }

    // MARK: Life cycle, in the order of macOS

    /// Calls init and Start.
    /// - Parameters:
    ///   - personality: the properties of the driver's own registry node.
    ///   - kernel: the receiver of the driver's calls to its base class.
    package func start(personality: OSDictionary, kernel: any DriverKernelPort) throws(DriverStartError) {
        driver.personality = personality
        driver.kernel = kernel
        driver.context = context
        context.kernel = kernel
        guard onDefault("init", { driver.initialize() }) == true else {
            throw driver.obstacle ?? DriverStartError(call: "init", reason: "returned false")
        }
        try checkQueueNames()
        do { try call("Start") { driver.Start(provider) } } catch { throw driver.obstacle ?? error }
        driver.publish()
    }

    private func checkQueueNames() throws(DriverStartError) {
        for method in ["UserProcessParallelTask", "UserProcessBundledParallelTasks"] {
            guard let queue = driverClass.QUEUENAME(method) else { continue }
            context.log.report(.queueNameOnTaskEntry, "\(method) is declared with QUEUENAME(\(queue))")
            throw DriverStartError(call: method, reason: "names the queue \(queue); remove the name")
        }
    }

    /// Calls UserInitializeController.
    package func initializeController() throws(DriverStartError) {
        try call("UserInitializeController") { driver.UserInitializeController() }
    }

    /// Asks the questions about the controller.
    package func askProperties() throws(DriverStartError) -> DriverProperties {
        var properties = DriverProperties()
        try call("UserReportInitiatorIdentifier") { driver.UserReportInitiatorIdentifier(&properties.initiatorID) }
        try call("UserReportHighestSupportedDeviceID") {
            driver.UserReportHighestSupportedDeviceID(&properties.highestDeviceID)
        }
        var count: UInt32 = 0
        try call("UserReportMaximumTaskCount") { driver.UserReportMaximumTaskCount(&count) }
        properties.taskCount = Int(count)
        // A driver that does not support these questions gets the defaults.
        _ = onDefault("UserDoesHBAPerformAutoSense") {
            driver.UserDoesHBAPerformAutoSense(&properties.performsAutoSense)
        }
        _ = onDefault("UserReportHBAHighestLogicalUnitNumber") {
            driver.UserReportHBAHighestLogicalUnitNumber(&properties.highestLogicalUnit)
        }
        try call("UserGetDMASpecification") {
            driver.UserGetDMASpecification(
                &properties.dma.maxTransferSize, &properties.dma.alignment, &properties.dma.numAddressBits,
                &properties.dma.segmentType)
        }
        return properties
    }

    /// Makes the next task object, and calls UserMapHBAData.
    /// - Returns: the driver's ID for it.
    package func mapTask() throws(DriverStartError) -> UInt64 {
        var id: UInt32 = 0
        try call("UserMapHBAData") { driver.UserMapHBAData(&id) }
        taskActions.append(OSAction(route: .parallelTask(UInt16(taskActions.count))))
        return UInt64(id)
    }

    /// Offers the shared slots.
    /// - Returns: whether the driver took them. If not, that was reported, and its tasks go one by one.
    package func offerSlots(
        commands: UnsafeMutableRawBufferPointer, responses: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let commands = IOBufferMemoryDescriptor(borrowing: commands)
        let responses = IOBufferMemoryDescriptor(borrowing: responses)
        let status =
            onDefault("UserMapBundledParallelTaskCommandAndResponseBuffers") {
                driver.UserMapBundledParallelTaskCommandAndResponseBuffers(commands, responses)
            } ?? kIOReturnAborted
        // A call's arguments end with it, unless the driver has retained them.
        commands.kernelReleases()
        responses.kernelReleases()
        if status == kIOReturnSuccess { return true }
        context.log.report(
            .bundledModeDeclined,
            "UserMapBundledParallelTaskCommandAndResponseBuffers returned \(hexText(status))")
        return false
    }

    /// Calls UserStartController.
    package func startController() throws(DriverStartError) {
        try call("UserStartController") { driver.UserStartController() }
    }

    /// Calls UserDoesHBAPerformDeviceManagement, and tells the driver that its device has power.
    /// - Returns: whether the driver creates its targets itself; if not, the kernel has to scan.
    package func managesDevices() -> Bool {
        var result = false
        _ = onDefault("UserDoesHBAPerformDeviceManagement") { driver.UserDoesHBAPerformDeviceManagement(&result) }
        setPowerState(kIOServicePowerCapabilityOn)
        return result
    }

    /// Calls SetPowerState. The driver acknowledges the change by calling the base class, now or later.
    private func setPowerState(_ flags: UInt32) {
        context.power.begin(flags, now: context.clock.milliseconds)
        _ = onDefault("SetPowerState") { driver.SetPowerState(flags) }
    }

    /// Calls Stop.
    package func stop() {
        _ = onDefault("Stop") { driver.Stop(provider) }
        // A driver may call the base class when its sources are cancelled, after its own Stop has returned.
        _ = driver.hasStopped.wait(milliseconds: Self.stopMilliseconds)
    }

    private static let stopMilliseconds = 1000

    // MARK: Targets

    /// Calls UserInitializeTargetForID: whether the driver accepts a target.
    package func initializeTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        let status = onDefault("UserInitializeTargetForID") {
            driver.UserInitializeTargetForID(targetID)
        }
        guard status == kIOReturnSuccess else { return status ?? kIOReturnAborted }
        // The kernel asks this, but here each target has one path, whatever the answer.
        var hasPaths = false
        _ = onDefault("UserDoesHBASupportMultiPathing") {
            driver.UserDoesHBASupportMultiPathing(&hasPaths)
        }
        return kIOReturnSuccess
    }

    /// Calls the driver's entry for a task management function, and waits for its turn for a second at most.
    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let limit = TaskManagementFunction.limitMilliseconds
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

    /// Calls NewUserClient. Nil when the call could never run.
    func newUserClient(_ type: UInt32, _ client: inout (any UserClient)?) -> kern_return_t? {
        guard let provider = driver as? any UserClientProvider else { return kIOReturnUnsupported }
        return onDefault("NewUserClient") { provider.newUserClient(type, &client) }
    }

    // MARK: Tasks, on the Default queue

    /// Calls UserProcessBundledParallelTasks.
    package func processBundle(_ indices: UnsafePointer<UInt16>, count: UInt16) {
        driver.UserProcessBundledParallelTasks(indices, count, bundledAction)
    }

    /// Calls UserProcessParallelTask.
    /// - Parameter slot: the task object's slot.
    /// - Returns: the driver's `*response`, an SCSIServiceResponse.
    package func process(_ task: UnsafePointer<SCSIUserParallelTask>, slot: Int) -> UInt32 {
        let action = taskActions[slot]
        action.isCompleted.store(false, ordering: .relaxed)
        var response = kSCSIServiceResponse_Request_In_Process
        context.slotInEntry = UInt16(slot)
        context.taskInEntry = task.pointee.fControllerTaskIdentifier
        _ = driver.UserProcessParallelTask(task.pointee, &response, action)
        context.taskInEntry = 0
        // A driver releases the action when it has completed the task, perhaps at this moment. So the references are
        // read first, and then whether they were still needed.
        if response == kSCSIServiceResponse_Request_In_Process, action.retainCount <= 1,
            !action.isCompleted.load(ordering: .acquiring)
        {
            action.reportOnlyKernels("UserProcessParallelTask returned with slot \(slot)'s task in process")
        }
        return response
    }

    // MARK: Calls

    /// Runs a call on the Default queue. Nil when it could never run; the reason was reported.
    private func onDefault<Result>(
        _ name: StaticString, limitMilliseconds: Int? = nil, _ body: () -> Result
    ) -> Result? {
        var result: Result?
        _ = defaultQueue.runSync(
            name, purpose: name.description, isFromKernel: true, limitMilliseconds: limitMilliseconds
        ) { result = body() }
        return result
    }

    private func call(_ name: StaticString, _ body: () -> kern_return_t) throws(DriverStartError) {
        let status = onDefault(name, body) ?? kIOReturnAborted
        guard status == kIOReturnSuccess else { throw DriverStartError(call: name.description, status: status) }
    }
}
