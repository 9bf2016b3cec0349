// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDriverKit
import CLinux
import Diagnostics
import Glibc
import HardwareBus
import Platform
import Synchronization

/// Runs a driver as the whole of this process, for the server that started the process. Does not return.
///
/// A driver's executable is one line: `DriverKitMain(MyDriver.self)`.
public func DriverKitMain(_ driverClass: IOUserSCSIParallelInterfaceController.Type) -> Never {
    guard let process = DriverProcess(driverClass: driverClass) else {
        writeDiagnostic(
            "this program is a driver: it is started by 'nbdext serve --driver PATH', or checked by "
                + "'nbdext check-driver PATH'\n")
        exit(64)
    }
    nbdext_find_thread_sanitizer()
    // A driver's output arrives line by line, even in a pipe, and however the process ends.
    nbdext_print_by_lines()
    process.run()
}

/// The descriptors that a driver's process starts with.
package enum DriverProcessDescriptor {
    /// One end of the control link's socket pair.
    package static let control: Int32 = 3
    /// The channel's memory file.
    package static let channel: Int32 = 4
    /// The data arena's memory file.
    package static let arena: Int32 = 5
    /// The environment variable that a server sets for a driver's process: the arena's size in bytes.
    package static let variable = "NBDEXT_DRIVER_ARENA"
}

/// A driver in a process of its own.
final class DriverProcess: @unchecked Sendable {
    // SAFETY: `init` sets up everything but the slots, which are set before the first task; each loop's thread owns its
    // ring's consumer side.
    private let calls: DriverCalls
    private let context: DriverContext
    private let kernel: RemoteKernel
    private let function: RemoteFunction
    private let channel: UnsafeMutableRawPointer
    private let pairCount: Int
    /// By pair: whether its thread carries out messages now.
    private let isServing: UnsafeMutablePointer<Atomic<Bool>>
    private let groups: ProcessorGroups
    private var commandMemory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init?(driverClass: IOUserSCSIParallelInterfaceController.Type) {
        guard let text = getenv(DriverProcessDescriptor.variable), let arenaByteCount = Int(String(cString: text)),
            let (channel, pairCount) = Self.mapChannel(),
            let arena = mmap(
                nil, arenaByteCount, PROT_READ | PROT_WRITE, MAP_SHARED, DriverProcessDescriptor.arena, 0),
            arena != MAP_FAILED
        else { return nil }
        // Programs that the driver starts, such as its crash reporter, must not keep the link open.
        for descriptor in [
            DriverProcessDescriptor.control, DriverProcessDescriptor.channel, DriverProcessDescriptor.arena,
        ] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let note = nbdext_channel_last_words(channel).assumingMemoryBound(to: nbdext_crash_note.self)
        nbdext_note_driver_crashes(note)
        note.pointee.is_driver = 1
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
        DriverContext.ofProcess = context
        self.channel = channel
        groups = ProcessorGroups()
        self.pairCount = pairCount
        isServing = .allocate(capacity: pairCount)
        for pair in 0..<pairCount { (isServing + pair).initialize(to: Atomic(false)) }
        kernel = RemoteKernel(
            channel: channel, pairCount: pairCount, arena: arena,
            arenaByteCount: arenaByteCount, context: context)
        function = RemoteFunction(kernel: kernel)
        calls = DriverCalls(driverClass: driverClass, function: function, context: context)
        let link = ControlLink(
            socket: DriverProcessDescriptor.control, takesDescriptors: true,
            answerer: { [unowned self] in answer($0, $1) },
            // The server is gone, and a driver without a kernel has nothing to do.
            closed: {
                fflush(nil)
                _exit(0)
            })
        kernel.attach(link)
        box.link = link
        context.allocateShared = { [unowned self] in allocate($0) }
    }

    /// - Returns: the channel, and its number of ring pairs.
    private static func mapChannel() -> (UnsafeMutableRawPointer, pairCount: Int)? {
        var status = stat()
        guard fstat(DriverProcessDescriptor.channel, &status) == 0, status.st_size >= nbdext_channel_size(1),
            let channel = mmap(
                nil, Int(status.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, DriverProcessDescriptor.channel, 0),
            channel != MAP_FAILED
        else { return nil }
        return (channel, Int(nbdext_channel_pair_count(Int(status.st_size))))
    }

    /// Leads the log to the link, which is made after it.
    private final class LinkBox: @unchecked Sendable {
        // SAFETY: set once, before the link starts.
        var link: ControlLink?
    }

    func run() -> Never {
        do {
            try kernel.link.start()
            for pair in 1..<pairCount {
                try OSThread(name: "tasks \(pair)") { [unowned self] in serve(pair) }.detach()
            }
        } catch {
            writeDiagnostic("the driver cannot start a thread: \(error)\n")
            exit(71)
        }
        serve(0)
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

    /// Receives the kernel's messages of one pair of rings, and answers by the same pair.
    ///
    /// With the pairs after the first, the sender, the receiver and the answer's receiver share a processor, where a
    /// wake-up costs a tenth of one across processors. Queues are serial all the same.
    private func serve(_ pair: Int) -> Never {
        if pair > 0 { groups.bindCurrentThread(to: pair - 1) }
        nbdext_set_current_pair(UInt32(pair))
        let ring = nbdext_channel_to_driver(channel, UInt32(pair))!
        var message = nbdext_message()
        nbdext_ring_set_awake(ring, 1)
        while true {
            repeat {
                isServing[pair].store(true, ordering: .sequentiallyConsistent)
                while nbdext_ring_take(ring, &message) > 0 { take(&message) }
                isServing[pair].store(false, ordering: .releasing)
            } while nbdext_ring_linger(ring, min(nbdext_ring_advice(ring), 10_000)) != 0
            let wakeupCount = nbdext_ring_wakeup_count(ring)
            nbdext_ring_set_awake(ring, 0)
            nbdext_ring_sleep(ring, wakeupCount, 1000)
            nbdext_ring_set_awake(ring, 1)
        }
    }

    private func take(_ message: inout nbdext_message) {
        switch nbdext_message_kind(message.kind) {
        case NBDEXT_BUNDLED_TASKS:
            let count = UInt16(truncatingIfNeeded: message.count)
            withUnsafeBytes(of: &message.body) { body in
                let indices = body.baseAddress!.assumingMemoryBound(to: UInt16.self)
                calls.defaultQueue.runInline("UserProcessBundledParallelTasks") {
                    calls.processBundle(indices, count: count)
                }
            }
        case NBDEXT_LEGACY_TASK: takeLegacyTask(&message)
        case NBDEXT_INTERRUPT: function.interruptHandler?()
        default: break
        }
    }

    private func takeLegacyTask(_ message: inout nbdext_message) {
        let slot = Int(message.value)
        var response = kSCSIServiceResponse_Request_In_Process
        withUnsafeBytes(of: &message.body) { body in
            let task = body.baseAddress!.assumingMemoryBound(to: SCSIUserParallelTask.self)
            calls.defaultQueue.runInline("UserProcessParallelTask") { response = calls.process(task, slot: slot) }
        }
        kernel.send { message in
            message.pointee.kind = NBDEXT_LEGACY_REPLY.rawValue
            message.pointee.value = UInt64(slot)
            message.pointee.count = response
        }
    }
}

// MARK: Questions of the kernel, each on a thread of its own

extension DriverProcess {
    private func answer(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        do throws(DriverStartError) {
            return try carryOut(call, message)
        } catch {
            return error.message
        }
    }

    private func carryOut(_ call: ControlCall, _ message: ControlMessage) throws(DriverStartError) -> ControlMessage {
        switch call {
        case .start:
            watch(limitMilliseconds: message[0], periodMilliseconds: message[1])
            try calls.start(personality: PropertyCoder.decode(message.payload) ?? [:], kernel: kernel)
        case .initializeController: try calls.initializeController()
        case .questions: return try calls.askProperties().message
        case .mapTasks: return try mapTasks(count: Int(message[0]))
        case .mapSlots: return mapSlots(message)
        case .startController: try calls.startController()
        case .managesDevices: return ControlMessage([calls.managesDevices() ? 1 : 0])
        case .initializeTarget: return ControlMessage(status: calls.initializeTarget(message[0]))
        case .stop:
            finishMessages()
            calls.stop()
        case .tryUserClient: return calls.tryUserClient().message
        case .waitPicture:
            return ControlMessage(payload: Array(context.waits.picture().joined(separator: "\n").utf8))
        default:
            guard let function = TaskManagementFunction(call, message) else {
                return ControlMessage(status: kIOReturnUnsupported)
            }
            return ControlMessage([calls.perform(function).rawValue])
        }
        return ControlMessage()
    }

    /// Waits until the messages that the kernel sent before a call are carried out, for a second at most.
    private func finishMessages() {
        let limit = monotonicMilliseconds() + Self.finishMilliseconds
        for pair in 0..<pairCount {
            let ring = nbdext_channel_to_driver(channel, UInt32(pair))!
            while nbdext_ring_has_messages(ring) != 0 || isServing[pair].load(ordering: .sequentiallyConsistent),
                monotonicMilliseconds() < limit
            { usleep(500) }
        }
    }

    /// A call that hangs does not keep the driver from being stopped.
    private static let finishMilliseconds: UInt64 = 1000

    /// Starts the watchdog, which looks for calls of the driver that do not return.
    private func watch(limitMilliseconds: UInt64, periodMilliseconds: UInt64) {
        let period = max(1, periodMilliseconds)
        let thread = try? OSThread(name: "watchdog") { [context] in
            var calls = SlowCalls(limitMilliseconds: limitMilliseconds, periodMilliseconds: period)
            let never = OneShotEvent()
            while !never.wait(milliseconds: Int(clamping: period)) { _ = calls.look(at: context) }
        }
        thread?.detach()
    }

    /// Maps all task objects in one answer, since a restarted driver has to be back soon.
    /// - Returns: their IDs, 8 bytes each.
    private func mapTasks(count: Int) throws(DriverStartError) -> ControlMessage {
        var answer = ControlMessage()
        for _ in 0..<count { withUnsafeBytes(of: try calls.mapTask()) { answer.payload += $0 } }
        return answer
    }

    /// Maps the slots, one packet for each memory file: commands (numbers: 0, task count), then responses (1, task
    /// count, whether to offer the slots to the driver). This process can only read the commands.
    /// - Returns: whether the driver took the slots.
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
        guard message[2] == 1 else { return ControlMessage() }
        return ControlMessage([calls.offerSlots(commands: commandMemory, responses: mapped) ? 1 : 0])
    }
}
