// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDextABI
import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Runs the driver in a bundle as the whole of this process, for the server that started the process. Does not return.
/// - Parameter library: the path of the bundle's library.
package func DextHostMain(library: String) -> Never {
    BundleDriver.library = library
    // It brings a sanitizer into this process. The sanitizer's own programs do not run with it.
    unsetenv("LD_PRELOAD")
    DriverKitMain(BundleDriver.self)
}

/// A controller whose class is the bundle's: each call goes to the C++ object, on the queue on which it came.
package final class BundleDriver: IOUserSCSIParallelInterfaceController, BundleServing, UserClientProvider,
    @unchecked Sendable
{
    // SAFETY: set by `initialize` and `Start`, before any other call of the driver; `buffers` is under `lock`.
    private static let matchMilliseconds = 10_000
    // SAFETY: set before the process has threads.
    /// The path of the bundle's library.
    fileprivate nonisolated(unsafe) static var library = ""
    // SAFETY: set by `initialize`.
    /// The name of the driver's class, for the questions that are asked of a class.
    private nonisolated(unsafe) static var userClass = ""

    private var table: UnsafePointer<nbdext_dext_driver>!
    private var cpp: OpaquePointer!
    private(set) var className = cText("IOUserSCSIParallelInterfaceController")
    private var personalities: Personalities!
    private var others: [IOService] = []
    private let lock = Lock()
    /// The data buffers of tasks that the driver has, by task.
    private var buffers: [UInt64: [IOBufferMemoryDescriptor]] = [:]
    private let hasBuffers = Atomic<Bool>(false)

    package required init() { super.init() }

    package override class func QUEUENAME(_ method: String) -> String? {
        LoadedBundle.loaded?.driver.pointee.queue_name(userClass, method).map { String(cString: $0) }
    }

    // MARK: Life cycle

    package override func initialize() -> Bool {
        do throws(DriverStartError) {
            let bundle = try LoadedBundle.load(path: Self.library)
            OSObject.endSkin = { LoadedBundle.loaded?.driver.pointee.end_skin(OpaquePointer($0)) }
            personalities = try Personalities(personality, in: bundle)
            let userClass = personalities.controller.userClass
            personality[Personalities.key] = nil
            personality.merge(personalities.controller.properties) { $1 }
            Self.userClass = userClass
            className = UnsafePointer(strdup(userClass))
            table = bundle.driver
            cpp = try bundle.makeSkin(ofClass: userClass, for: self)
            return true
        } catch {
            obstacle = error
            return false
        }
    }

    package override func Start(_ provider: IOService) -> kern_return_t {
        do throws(DriverStartError) {
            return table.pointee.start(cpp, handle(of: try findProvider(card: provider)))
        } catch {
            obstacle = error
            return kIOReturnNoDevice
        }
    }

    /// The provider that the controller's personality matches. Starts the services that come before it.
    private func findProvider(card: IOService) throws(DriverStartError) -> IOService {
        let own = personalities.controller
        let resources = IOService()
        _ = resources.SetName("IOUserResources")
        for other in personalities.others where other.matchesResources || other.matchesCard {
            try start(other, other.matchesCard ? card : resources)
        }
        if own.matchesCard { return card }
        if own.matchesResources { return keep(resources) }
        guard let service = ServiceMatching.shared.service(for: own, milliseconds: Self.matchMilliseconds) else {
            throw DriverStartError(
                call: "the personality \(own.name)",
                reason:
                    "waits for a service of the class \(own.providerClass) with the properties of its IOPropertyMatch, "
                    + "and none was registered (RegisterService) within \(Self.matchMilliseconds / 1000) s")
        }
        return service
    }

    private func keep(_ service: IOService) -> IOService {
        others.append(service)
        return service
    }

    private func start(_ other: Personalities.Personality, _ provider: IOService) throws(DriverStartError) {
        guard let service = BundleService.make(other.userClass) else {
            throw DriverStartError(call: "the personality \(other.name)", reason: "names no class that can be made")
        }
        others += [service, provider]
        let status = service.start(other.userClass, other.properties, on: provider, context: context)
        guard status == kIOReturnSuccess else {
            throw DriverStartError(call: "\(other.userClass)::Start", status: status)
        }
    }

    package override func Stop(_ provider: IOService) -> kern_return_t {
        guard cpp != nil else { return super.Stop(provider) }
        return table.pointee.stop(cpp, handle(of: GetProvider() ?? provider))
    }

    package override func SetPowerState(_ powerFlags: UInt32) -> kern_return_t {
        table.pointee.set_power_state(cpp, powerFlags)
    }

    package override func NewService(_ userClass: String) -> IOService? { BundleService.make(userClass) }

    package func newUserClient(_ type: UInt32, _ client: inout (any UserClient)?) -> kern_return_t {
        var made: OpaquePointer?
        let status = table.pointee.new_user_client(cpp, type, &made)
        guard status == kIOReturnSuccess else { return status }
        client = object(made, as: BundleService.self)
        return client == nil ? kIOReturnError : status
    }

    func baseStart(_ provider: IOService) -> kern_return_t { super.Start(provider) }
    func baseStop(_ provider: IOService) -> kern_return_t { super.Stop(provider) }
    func baseSetPowerState(_ powerFlags: UInt32) -> kern_return_t { super.SetPowerState(powerFlags) }

    package override func UserInitializeController() -> kern_return_t { table.pointee.initialize_controller(cpp) }
    package override func UserStartController() -> kern_return_t { table.pointee.start_controller(cpp) }

    // MARK: Questions

    package override func UserReportInitiatorIdentifier(_ identifier: inout SCSIDeviceIdentifier) -> kern_return_t {
        table.pointee.report_initiator_identifier(cpp, &identifier)
    }

    package override func UserReportHighestSupportedDeviceID(
        _ identifier: inout SCSIDeviceIdentifier
    ) -> kern_return_t { table.pointee.report_highest_supported_device_id(cpp, &identifier) }

    package override func UserReportMaximumTaskCount(_ count: inout UInt32) -> kern_return_t {
        table.pointee.report_maximum_task_count(cpp, &count)
    }

    package override func UserReportHBAHighestLogicalUnitNumber(_ value: inout UInt64) -> kern_return_t {
        table.pointee.report_hba_highest_logical_unit_number(cpp, &value)
    }

    package override func UserDoesHBAPerformAutoSense(_ result: inout Bool) -> kern_return_t {
        table.pointee.does_hba_perform_auto_sense(cpp, &result)
    }

    package override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        table.pointee.does_hba_perform_device_management(cpp, &result)
    }

    package override func UserDoesHBASupportMultiPathing(_ result: inout Bool) -> kern_return_t {
        table.pointee.does_hba_support_multi_pathing(cpp, &result)
    }

    package override func UserDoesHBASupportSCSIParallelFeature(
        _ feature: UInt32, _ result: inout Bool
    ) -> kern_return_t { table.pointee.does_hba_support_scsi_parallel_feature(cpp, feature, &result) }

    package override func UserGetDMASpecification(
        _ maxTransferSize: inout UInt64, _ alignment: inout UInt32, _ numAddressBits: inout UInt8,
        _ segmentType: inout DMAOutputSegmentType
    ) -> kern_return_t {
        var type = segmentType.rawValue
        let status = table.pointee.get_dma_specification(cpp, &maxTransferSize, &alignment, &numAddressBits, &type)
        segmentType = DMAOutputSegmentType(rawValue: type) ?? .kDMAOutputSegmentHost64
        return status
    }

    package override func UserMapHBAData(_ uniqueTaskID: inout UInt32) -> kern_return_t {
        table.pointee.map_hba_data(cpp, &uniqueTaskID)
    }

    package override func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        table.pointee.initialize_target(cpp, targetID)
    }

    package override func UserMapBundledParallelTaskCommandAndResponseBuffers(
        _ parallelCommandIOMemoryDescriptor: IOBufferMemoryDescriptor,
        _ parallelResponseIOMemoryDescriptor: IOBufferMemoryDescriptor
    ) -> kern_return_t {
        table.pointee.map_bundled_buffers(
            cpp, handle(of: parallelCommandIOMemoryDescriptor), handle(of: parallelResponseIOMemoryDescriptor))
    }

    // MARK: Tasks

    package override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        let action = skin(of: completion)
        return withUnsafePointer(to: parallelRequest) {
            table.pointee.process_parallel_task(cpp, $0, &response, action)
        }
    }

    package override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        table.pointee.process_bundled_parallel_tasks(
            cpp, parallelRequestIndices, parallelRequestIndicesCount, skin(of: completion))
    }

    /// The C++ object of an action, which is made once for each.
    private func skin(of action: OSAction) -> OpaquePointer {
        if let skin = action.skin { return OpaquePointer(skin) }
        let made = table.pointee.make_skin("OSAction", handle(of: action))!
        return OpaquePointer(action.setSkin(UnsafeMutableRawPointer(made)))
    }

    /// ParallelTaskCompletion. The task's data buffers lose the kernel's reference.
    func complete(_ action: OSAction, _ response: UnsafePointer<SCSIUserParallelResponse>) {
        guard hasBuffers.load(ordering: .relaxed) else { return ParallelTaskCompletion(action, response.pointee) }
        // Taken first: the next task may have the ID before the completion returns.
        let taskID = response.pointee.fControllerTaskIdentifier
        let taken = lock.withLock { buffers.removeValue(forKey: taskID) } ?? []
        ParallelTaskCompletion(action, response.pointee)
        for buffer in taken { buffer.kernelReleases() }
    }

    /// UserGetDataBuffer. The handle comes with a reference for the driver; the kernel keeps its own until the task is
    /// completed.
    func dataBuffer(
        _ targetID: UInt64, _ taskID: UInt64, _ result: inout OpaquePointer?
    ) -> kern_return_t {
        var buffer: IOBufferMemoryDescriptor?
        let status = UserGetDataBuffer(targetID, taskID, &buffer)
        guard status == kIOReturnSuccess, let buffer else { return status }
        hasBuffers.store(true, ordering: .relaxed)
        lock.withLock { buffers[taskID, default: []].append(buffer) }
        result = handle(of: buffer)
        return status
    }

    // MARK: Task management

    package override func UserAbortTaskRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ tag: SCSITaggedTaskIdentifier,
        _ response: inout UInt32
    ) -> kern_return_t { table.pointee.abort_task(cpp, targetID, logicalUnit, tag, &response) }

    package override func UserAbortTaskSetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { table.pointee.abort_task_set(cpp, targetID, logicalUnit, &response) }

    package override func UserClearACARequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { table.pointee.clear_aca(cpp, targetID, logicalUnit, &response) }

    package override func UserClearTaskSetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { table.pointee.clear_task_set(cpp, targetID, logicalUnit, &response) }

    package override func UserLogicalUnitResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ logicalUnit: SCSILogicalUnitNumber, _ response: inout UInt32
    ) -> kern_return_t { table.pointee.logical_unit_reset(cpp, targetID, logicalUnit, &response) }

    package override func UserTargetResetRequest(
        _ targetID: SCSIDeviceIdentifier, _ response: inout UInt32
    ) -> kern_return_t { table.pointee.target_reset(cpp, targetID, &response) }
}
