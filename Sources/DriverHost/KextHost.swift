import HardwareBus
import SCSIControllerDriverKit

/// Runs a KEXT: the kernel half calls the driver directly, under its command gate.
package final class KextHost: DriverHost, @unchecked Sendable {
    // SAFETY: everything is set by `initialize` and `map`, before the first `send`.
    package var mode: DriverMode { .kext }
    private let driver: IOSCSIParallelInterfaceController
    private let provider: IOPCIDevice
    private var submissionMask: UInt32 = 0
    private unowned var kernel: (any KernelHalf)!

    package init(driverClass: IOSCSIParallelInterfaceController.Type, function: PCIFunction) {
        driver = driverClass.init()
        provider = IOPCIDevice(function: function)
    }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        driver.kernel = kernel
        guard driver.InitializeController(provider) else {
            throw DriverStartError(call: "InitializeController", reason: "returned false")
        }
        var properties = DriverProperties()
        properties.initiatorID = driver.ReportInitiatorIdentifier()
        properties.highestDeviceID = driver.ReportHighestSupportedDeviceID()
        properties.taskCount = Int(driver.ReportMaximumTaskCount())
        properties.dma = driver.GetDMASpecification()
        guard properties.taskCount > 0, properties.taskCount <= 4096 else {
            throw DriverStartError(
                call: "ReportMaximumTaskCount", reason: "said \(properties.taskCount); report between 1 and 4096 tasks")
        }
        return properties
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        submissionMask = driver.workLoop.addSource { [unowned self] in process() }
        return Array(1...UInt64(slots.taskCount))
    }

    package func startServices() throws(DriverStartError) {
        guard driver.StartController() else {
            throw DriverStartError(call: "StartController", reason: "returned false")
        }
    }

    package func send() { driver.workLoop.signal(mask: submissionMask) }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t { kIOReturnSuccess }

    package func stop() { driver.StopController() }

    private func process() {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: kMaxBundledParallelTasks) { indices in
            let indices = indices.baseAddress!
            while true {
                let count = kernel.takeSubmissions(indices)
                if count == 0 { return }
                for index in 0..<count {
                    let response = driver.ProcessParallelTask(SCSIParallelTaskIdentifier(slot: indices[index]))
                    if response != kSCSIServiceResponse_Request_In_Process {
                        kernel.submissionRefused(slot: indices[index])
                    }
                }
                driver.SubmissionsEnded()
            }
        }
    }
}
