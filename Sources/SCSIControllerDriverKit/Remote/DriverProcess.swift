// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDriverChannel
import CLinux
import Diagnostics
import Glibc
import HardwareBus
import Platform

/// Runs a driver as the whole of this process, for the server that started it. Does not return.
///
/// A driver's executable is one line: `DriverKitMain(MyDriver.self)`.
public func DriverKitMain(_ driverClass: IOUserSCSIParallelInterfaceController.Type) -> Never {
    guard let process = DriverProcess(driverClass: driverClass) else {
        writeDiagnostic(
            "this program is a driver: it is started by 'nbdext serve --driver PATH', or checked by "
                + "'nbdext check-driver PATH'\n")
        exit(64)
    }
    process.run()
}

/// The descriptors that a server opens for a driver's process.
package enum DriverProcessDescriptor {
    package static let control: Int32 = 3
    package static let channel: Int32 = 4
    package static let arena: Int32 = 5
    /// Tells a driver's process that it was started by a server, and the arena's size in bytes.
    package static let variable = "NBDEXT_DRIVER_ARENA"
}

/// A driver in a process of its own.
final class DriverProcess: @unchecked Sendable {
    // SAFETY: set up by `init`; slots before the first task; the loop's thread owns the ring's consumer side.
    private let driver: IOUserSCSIParallelInterfaceController
    private let driverClass: IOUserSCSIParallelInterfaceController.Type
    private let context: DriverContext
    private let kernel: RemoteKernel
    private let function: RemoteFunction
    private let ring: OpaquePointer
    private let provider: IOPCIDevice
    private let defaultQueue: IODispatchQueue
    private let bundledAction = OSAction(route: .bundledParallelTasks)
    private var taskActions: [OSAction] = []
    private var commandMemory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init?(driverClass: IOUserSCSIParallelInterfaceController.Type) {
        guard let text = getenv(DriverProcessDescriptor.variable), let arenaByteCount = Int(String(cString: text)),
            let channel = mmap(
                nil, nbdext_channel_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
                DriverProcessDescriptor.channel, 0), channel != MAP_FAILED,
            let arena = mmap(
                nil, arenaByteCount, PROT_READ | PROT_WRITE, MAP_SHARED, DriverProcessDescriptor.arena, 0),
            arena != MAP_FAILED
        else { return nil }
        // A program that the driver starts, its crash reporter among them, must not keep the link open.
        for descriptor in [
            DriverProcessDescriptor.control, DriverProcessDescriptor.channel, DriverProcessDescriptor.arena,
        ] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        nbdext_note_driver_crashes(
            nbdext_channel_last_words(channel).assumingMemoryBound(to: nbdext_crash_note.self))
        let box = LinkBox()
        let context = DriverContext(
            log: DiagnosisLog { diagnosis in
                _ = box.link?.ask(
                    .report,
                    ControlMessage(
                        payload: Array("\(diagnosis.fault.rawValue)\n\(diagnosis.detail)".utf8)
                            + Array(diagnosis.picture.map { "\n\($0)" }.joined().utf8)))
            })
        self.context = context
        self.driverClass = driverClass
        ring = nbdext_channel_to_driver(channel)
        kernel = RemoteKernel(
            channel: channel, arena: arena,
            arenaByteCount: arenaByteCount, context: context)
        function = RemoteFunction(kernel: kernel)
        provider = IOPCIDevice(function: function)
        defaultQueue = IODispatchQueue(name: "Default", context: context, isDefault: true)
        driver = context.run("init") { driverClass.init() }
        driver.kernel = kernel
        _ = driver.SetDispatchQueue("Default", defaultQueue)
        let link = ControlLink(
            socket: DriverProcessDescriptor.control, takesDescriptors: true,
            answerer: { [unowned self] in answer($0, $1) },
            // The server is gone, however it ended; a driver without a kernel has nothing to do.
            closed: { _exit(0) })
        kernel.attach(link)
        box.link = link
        context.allocateShared = { [unowned self] in allocate($0) }
    }

    /// Where the log finds the link, which is made after it.
    private final class LinkBox: @unchecked Sendable {
        // SAFETY: set once, before the link starts.
        var link: ControlLink?
    }

    func run() -> Never {
        do { try kernel.link.start() } catch {
            writeDiagnostic("the driver cannot start a thread: \(error)\n")
            exit(71)
        }
        loop()
    }

    private func allocate(_ byteCount: Int) -> IOBufferMemoryDescriptor? {
        guard let answer = kernel.link.ask(.allocateMemory, ControlMessage([UInt64(byteCount)])),
            answer.descriptor >= 0
        else { return nil }
        defer { close(answer.descriptor) }
        guard let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, answer.descriptor, 0),
            memory != MAP_FAILED
        else { return nil }
        return IOBufferMemoryDescriptor(
            shared: UnsafeMutableRawBufferPointer(start: memory, count: byteCount), id: answer[0])
    }

    // MARK: Tasks

    private func loop() -> Never {
        var message = nbdext_message()
        nbdext_ring_set_awake(ring, 1)
        while true {
            repeat {
                while nbdext_ring_take(ring, &message) > 0 { take(&message) }
            } while nbdext_ring_linger(ring, min(nbdext_ring_advice(ring), 10_000)) != 0
            let bell = nbdext_ring_bell(ring)
            nbdext_ring_set_awake(ring, 0)
            nbdext_ring_sleep(ring, bell, 1000)
            nbdext_ring_set_awake(ring, 1)
        }
    }

    private func take(_ message: inout nbdext_message) {
        switch nbdext_message_kind(message.kind) {
        case NBDEXT_BUNDLED_TASKS:
            let count = UInt16(truncatingIfNeeded: message.count)
            withUnsafeBytes(of: &message.body) { body in
                let indices = body.baseAddress!.assumingMemoryBound(to: UInt16.self)
                defaultQueue.runInline("UserProcessBundledParallelTasks") {
                    driver.UserProcessBundledParallelTasks(indices, count, bundledAction)
                }
            }
        case NBDEXT_SINGLE_TASK: takeSingle(&message)
        case NBDEXT_INTERRUPT: function.interruptHandler?()
        default: break
        }
    }

    private func takeSingle(_ message: inout nbdext_message) {
        let slot = Int(message.value)
        let task = withUnsafeBytes(of: &message.body) { $0.load(as: SCSIUserParallelTask.self) }
        let action = taskActions[slot]
        var response = kSCSIServiceResponse_Request_In_Process
        defaultQueue.runInline("UserProcessParallelTask") {
            context.taskInEntry = task.fControllerTaskIdentifier
            _ = driver.UserProcessParallelTask(task, &response, action)
            context.taskInEntry = 0
        }
        let wasRetained = action.retainCount > 1
        kernel.send { reply in
            reply.pointee.kind = NBDEXT_SINGLE_REPLY.rawValue
            reply.pointee.value = UInt64(slot)
            reply.pointee.count = response
            withUnsafeMutableBytes(of: &reply.pointee.body) { $0[0] = wasRetained ? 1 : 0 }
        }
    }
}

// MARK: Questions of the kernel, each on a thread of its own

extension DriverProcess {
    private func onDefault(
        _ name: StaticString, createsTarget: Bool = false, _ body: () -> kern_return_t
    ) -> kern_return_t {
        var status = kIOReturnAborted
        _ = defaultQueue.runSync(name, purpose: name.description, createsTarget: createsTarget) { status = body() }
        return status
    }

    private func answer(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        switch call {
        case .start: start(message)
        case .initializeController:
            ControlMessage(status: onDefault("UserInitializeController") { driver.UserInitializeController() })
        case .questions: questions()
        case .mapTask: mapTask()
        case .mapSlots: mapSlots(message)
        case .startController:
            ControlMessage(status: onDefault("UserStartController") { driver.UserStartController() })
        case .managesDevices: managesDevices()
        case .initializeTarget: initializeTarget(message[0])
        case .abortTask, .logicalUnitReset, .targetReset: manage(call, message)
        case .stop: ControlMessage(status: onDefault("Stop") { driver.Stop(provider) })
        case .waitPicture: ControlMessage(payload: Array(context.waits.picture().joined(separator: "\n").utf8))
        default: ControlMessage(status: kIOReturnUnsupported)
        }
    }

    private func start(_ message: ControlMessage) -> ControlMessage {
        for method in ["UserProcessParallelTask", "UserProcessBundledParallelTasks"] {
            guard let queue = driverClass.QUEUENAME(method) else { continue }
            context.log.report(.queueNameOnTaskEntry, "\(method) is declared with QUEUENAME(\(queue))")
            return ControlMessage(payload: Array(method.utf8), status: kIOReturnUnsupported)
        }
        driver.personality = PropertyCoder.decode(message.payload) ?? [:]
        var isInitialized = false
        _ = onDefault("init") {
            isInitialized = driver.initialize()
            return kIOReturnSuccess
        }
        guard isInitialized else { return ControlMessage(payload: Array("init".utf8), status: kIOReturnError) }
        return ControlMessage(
            payload: Array("Start".utf8), status: onDefault("Start") { driver.Start(provider) })
    }

    /// Initiator, highest device, task count, autosense, highest unit, and the DMA specification as two numbers.
    private func questions() -> ControlMessage {
        var properties = ReportedProperties()
        var count: UInt32 = 0
        let asked: [(StaticString, () -> kern_return_t)] = [
            (
                "UserReportInitiatorIdentifier",
                { self.driver.UserReportInitiatorIdentifier(&properties.initiatorID) }
            ),
            (
                "UserReportHighestSupportedDeviceID",
                { self.driver.UserReportHighestSupportedDeviceID(&properties.highestDeviceID) }
            ),
            ("UserReportMaximumTaskCount", { self.driver.UserReportMaximumTaskCount(&count) }),
            ("UserGetDMASpecification", { self.driver.UserGetDMASpecification(&properties.dma) }),
        ]
        for (name, question) in asked {
            let status = onDefault(name, question)
            if status != kIOReturnSuccess {
                return ControlMessage(payload: Array(name.description.utf8), status: status)
            }
        }
        properties.taskCount = count
        // A driver that does not know these answers as if it had neither.
        _ = onDefault("UserDoesHBAPerformAutoSense") {
            driver.UserDoesHBAPerformAutoSense(&properties.performsAutoSense)
        }
        _ = onDefault("UserReportHBAHighestLogicalUnitNumber") {
            driver.UserReportHBAHighestLogicalUnitNumber(&properties.highestLogicalUnit)
        }
        return properties.message
    }

    private func mapTask() -> ControlMessage {
        var id: UInt64 = 0
        let status = onDefault("UserMapHBAData") { driver.UserMapHBAData(&id) }
        taskActions.append(OSAction(route: .parallelTask(UInt16(taskActions.count))))
        return ControlMessage([id], status: status)
    }

    /// Two packets, one for each memory file: commands (numbers: 0, task count), then responses (1, task count). Commands
    /// can only be read here.
    private func mapSlots(_ message: ControlMessage) -> ControlMessage {
        defer { close(message.descriptor) }
        let isResponses = message[0] == 1
        let stride =
            isResponses
            ? MemoryLayout<SCSIUserParallelResponse>.stride : MemoryLayout<SCSIUserParallelTask>.stride
        let byteCount = Int(message[1]) * stride
        let protection = isResponses ? PROT_READ | PROT_WRITE : PROT_READ
        guard let memory = mmap(nil, byteCount, protection, MAP_SHARED, message.descriptor, 0), memory != MAP_FAILED
        else { return ControlMessage(status: kIOReturnNoMemory) }
        let mapped = UnsafeMutableRawBufferPointer(start: memory, count: byteCount)
        guard isResponses else {
            commandMemory = mapped
            kernel.commands = memory.assumingMemoryBound(to: SCSIUserParallelTask.self)
            return ControlMessage()
        }
        guard message[2] == 1 else { return ControlMessage(status: kIOReturnSuccess) }
        let commands = IOBufferMemoryDescriptor(borrowing: commandMemory)
        let responses = IOBufferMemoryDescriptor(borrowing: mapped)
        let status = onDefault("UserMapBundledParallelTaskCommandAndResponseBuffers") {
            driver.UserMapBundledParallelTaskCommandAndResponseBuffers(commands, responses)
        }
        commands.kernelReleases()
        responses.kernelReleases()
        return ControlMessage(status: status)
    }

    private func managesDevices() -> ControlMessage {
        var result = false
        let status = onDefault("UserDoesHBAPerformDeviceManagement") {
            driver.UserDoesHBAPerformDeviceManagement(&result)
        }
        return ControlMessage([result ? 1 : 0], status: status)
    }

    private func initializeTarget(_ targetID: UInt64) -> ControlMessage {
        let status = onDefault("UserInitializeTargetForID", createsTarget: true) {
            driver.UserInitializeTargetForID(targetID)
        }
        guard status == kIOReturnSuccess else { return ControlMessage(status: status) }
        var hasPaths = false
        _ = onDefault("UserDoesHBASupportMultiPathing", createsTarget: true) {
            driver.UserDoesHBASupportMultiPathing(&hasPaths)
        }
        return ControlMessage([hasPaths ? 1 : 0])
    }

    private func manage(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        var response = kSCSIServiceResponse_FUNCTION_REJECTED
        let status: kern_return_t =
            switch call {
            case .abortTask:
                onDefault("UserAbortTaskRequest") {
                    driver.UserAbortTaskRequest(message[0], message[1], message[2], &response)
                }
            case .logicalUnitReset:
                onDefault("UserLogicalUnitResetRequest") {
                    driver.UserLogicalUnitResetRequest(message[0], message[1], &response)
                }
            default:
                onDefault("UserTargetResetRequest") { driver.UserTargetResetRequest(message[0], &response) }
            }
        return ControlMessage([UInt64(response)], status: status)
    }
}
