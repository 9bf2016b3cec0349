import HardwareBus
import SCSIControllerDriverKit

/// Runs a DEXT in this process, over the same memory that two processes would share.
package final class InProcessDextHost: DriverHost, @unchecked Sendable {
    // SAFETY: everything is set by `initialize` and `map`, before the first `send`.
    package let mode: DriverMode
    private let driver: IOUserSCSIParallelInterfaceController
    private let provider: IOPCIDevice
    private let defaultQueue = IODispatchQueue(name: "Default")
    private var submissionMask: UInt32 = 0
    private var slots: SharedSlots!
    private unowned var kernel: (any KernelHalf)!
    private var taskActions: [OSAction] = []
    private let bundledAction = OSAction(route: .bundledParallelTasks)
    private var isBundled = false

    /// - Parameters:
    ///   - mode: `.bundled` offers the shared slots, `.legacy` does not.
    ///   - driverClass: what the personality's IOUserClass names.
    ///   - function: the card that the driver's personality matched.
    package init(
        mode: DriverMode, driverClass: IOUserSCSIParallelInterfaceController.Type, function: PCIFunction
    ) {
        precondition(mode != .kext)
        self.mode = mode
        driver = driverClass.init()
        provider = IOPCIDevice(function: function)
        _ = driver.SetDispatchQueue("Default", defaultQueue)
    }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        driver.kernel = kernel
        var properties = DriverProperties()
        guard onDefault({ driver.initialize() }) else { throw DriverStartError(call: "init", reason: "returned false") }
        try call("Start") { driver.Start(provider) }
        try call("UserInitializeController") { driver.UserInitializeController() }
        try call("UserReportInitiatorIdentifier") { driver.UserReportInitiatorIdentifier(&properties.initiatorID) }
        try call("UserReportHighestSupportedDeviceID") {
            driver.UserReportHighestSupportedDeviceID(&properties.highestDeviceID)
        }
        var count: UInt32 = 0
        try call("UserReportMaximumTaskCount") { driver.UserReportMaximumTaskCount(&count) }
        guard count > 0, count <= 4096 else {
            throw DriverStartError(
                call: "UserReportMaximumTaskCount", reason: "said \(count); report between 1 and 4096 tasks")
        }
        properties.taskCount = Int(count)
        try call("UserGetDMASpecification") { driver.UserGetDMASpecification(&properties.dma) }
        return properties
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
        if mode == .bundled {
            let commands = IOBufferMemoryDescriptor(borrowing: slots.commandMemory)
            let responses = IOBufferMemoryDescriptor(borrowing: slots.responseMemory)
            isBundled =
                onDefault {
                    driver.UserMapBundledParallelTaskCommandAndResponseBuffers(commands, responses)
                } == kIOReturnSuccess
        }
        submissionMask = defaultQueue.addSource { [unowned self] in
            if isBundled { sendBundled() } else { sendLegacy() }
        }
        return taskIDs
    }

    package func startServices() throws(DriverStartError) {
        try call("UserStartController") { driver.UserStartController() }
    }

    package func send() { defaultQueue.signal(mask: submissionMask) }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t {
        onDefault { driver.UserInitializeTargetForID(targetID) }
    }

    package func stop() {
        _ = onDefault { driver.Stop(provider) }
    }

    /// One call for what waits, up to 32 tasks; nothing is held back to make it larger.
    private func sendBundled() {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            let indices = indices.baseAddress!
            while true {
                let count = kernel.takeSubmissions(indices)
                if count == 0 { return }
                driver.UserProcessBundledParallelTasks(indices, UInt16(count), bundledAction)
            }
        }
    }

    /// One call a task: the slot is copied into the message, and the response comes back in another.
    private func sendLegacy() {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            let indices = indices.baseAddress!
            while true {
                let count = kernel.takeSubmissions(indices)
                if count == 0 { return }
                for index in 0..<count {
                    let slot = indices[index]
                    var response = kSCSIServiceResponse_Request_In_Process
                    _ = driver.UserProcessParallelTask(
                        slots.commands[Int(slot)], &response, taskActions[Int(slot)])
                    if response != kSCSIServiceResponse_Request_In_Process { kernel.submissionRefused(slot: slot) }
                }
            }
        }
    }

    private func onDefault<Result>(_ body: () -> Result) -> Result {
        var result: Result?
        defaultQueue.DispatchSync { result = body() }
        return result!
    }

    private func call(_ name: String, _ body: () -> kern_return_t) throws(DriverStartError) {
        let status = onDefault(body)
        guard status == kIOReturnSuccess else {
            throw DriverStartError(call: name, reason: "returned 0x\(String(UInt32(bitPattern: status), radix: 16))")
        }
    }
}
