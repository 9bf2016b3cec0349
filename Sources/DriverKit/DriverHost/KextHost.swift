import Diagnostics
import HardwareBus
import SCSIControllerDriverKit

/// Runs a KEXT: the kernel half calls the driver directly, under its command gate.
package final class KextHost: DriverHost, @unchecked Sendable {
    // SAFETY: `initialize` and `map` set everything before the first `send`.
    package let hosted: HostedDriver
    private let driver: IOSCSIParallelInterfaceController
    private let provider: IOPCIDevice
    private var submissionMask: UInt32 = 0
    /// Nil when the kernel half is gone, which a thread of the driver's own may outlive.
    private weak var kernel: (any KernelHalf)?

    /// Makes the driver's object.
    /// - Parameters:
    ///   - driverClass: the KEXT's class.
    ///   - function: the card that the driver's personality matched.
    ///   - personality: the properties of the driver's own registry node.
    ///   - log: collects the driver's faults.
    package init(
        driverClass: IOSCSIParallelInterfaceController.Type, function: PCIFunction, personality: OSDictionary = [:],
        log: DiagnosisLog
    ) {
        let context = DriverContext(log: log)
        hosted = HostedDriver(mode: .kext, place: .kernel, context: context)
        driver = context.run("init") { driverClass.init() }
        driver.personality = personality
        provider = IOPCIDevice(function: function)
    }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        driver.kernel = kernel
        guard context.run("InitializeController", { driver.InitializeController(provider) }) else {
            throw DriverStartError(call: "InitializeController", reason: "returned false")
        }
        var properties = DriverProperties()
        properties.initiatorID = driver.ReportInitiatorIdentifier()
        properties.highestDeviceID = driver.ReportHighestSupportedDeviceID()
        properties.highestLogicalUnit = driver.ReportHBAHighestLogicalUnitNumber()
        properties.taskCount = Int(driver.ReportMaximumTaskCount())
        properties.performsAutoSense = driver.DoesHBAPerformAutoSense()
        properties.dma = driver.GetDMASpecification()
        try properties.checkTaskCount(of: "ReportMaximumTaskCount", log: context.log)
        return properties
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        submissionMask = driver.workLoop.addSource("ProcessParallelTask") { [weak self] in
            guard let self, let kernel else { return }
            process(tasksOf: kernel)
        }
        return Array(1...UInt64(slots.taskCount))
    }

    package func startServices() throws(DriverStartError) -> Bool {
        guard context.run("StartController", { driver.StartController() }) else {
            throw DriverStartError(call: "StartController", reason: "returned false")
        }
        return true
    }

    package func send(_ exchange: inout Exchange) { driver.workLoop.signal(mask: submissionMask) }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t { kIOReturnSuccess }

    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        var response = kSCSIServiceResponse_FUNCTION_REJECTED
        let wasTaken = driver.workLoop.runSync(
            "a task management request", purpose: "a task management request",
            limitMilliseconds: TaskManagementFunction.limitMilliseconds
        ) {
            response =
                switch function {
                case .abortTask(let target, let unit, let tag): driver.AbortTaskRequest(target, unit, tag)
                case .logicalUnitReset(let target, let unit): driver.LogicalUnitResetRequest(target, unit)
                case .targetReset(let target): driver.TargetResetRequest(target)
                }
        }
        guard wasTaken else { return .unreachable }
        return response == kSCSIServiceResponse_FUNCTION_COMPLETE ? .done : .refused
    }

    package func stop() { context.run("StopController") { driver.StopController() } }

    private func process(tasksOf kernel: any KernelHalf) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            let indices = indices.baseAddress!
            while true {
                let count = kernel.takeSubmissions(
                    indices, limit: kMaxBundledParallelTasks, route: .legacy, domain: .single)
                if count == 0 { return }
                hosted.noteCalls(on: driver.workLoop, taskCount: 1, callCount: count)
                for index in 0..<count {
                    let response = driver.ProcessParallelTask(SCSIParallelTaskIdentifier(slot: indices[index]))
                    if response != kSCSIServiceResponse_Request_In_Process {
                        kernel.submissionRefused(slot: indices[index], response: response)
                    }
                }
                driver.SubmissionsEnded()
            }
        }
    }
}
