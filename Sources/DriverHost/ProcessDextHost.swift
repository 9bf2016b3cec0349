import CDriverChannel
import CLinux
import Diagnostics
import Glibc
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Runs a DEXT in a process of its own, as macOS does: tasks and completions go through rings in shared memory, calls of
/// the control plane over a socket.
///
/// A bundle is one message, and completions come back in clusters. A task of the legacy route is a blocking round trip,
/// and so is its completion.
///
/// Threads: the start, restart and `stop` on one thread at a time; `send`, `poll` and the rest on any.
package final class ProcessDextHost: DriverHost, @unchecked Sendable {
    // SAFETY: `instance` under `lock`; rings: producer side under `producerLock`, consumer side (and `message`) under
    // `consumerLock`; the rest is set before the first `send`.
    package let mode: DriverMode
    package let context: DriverContext
    let function: PCIFunction
    private let executable: String
    private let arguments: [String]
    private let personality: OSDictionary
    private let arena: DataArena
    private let submissionQueue: IODispatchQueue
    private var submissionMask: UInt32 = 0
    private let channelFile: Int32
    private let toDriver: OpaquePointer
    private let toKernel: OpaquePointer
    private let producerLock = Lock()
    private let consumerLock = Lock()
    private let message: UnsafeMutablePointer<nbdext_message>
    /// Written by a driver's process that crashes.
    private let crashNote: UnsafeMutablePointer<nbdext_crash_note>
    private let lingerLock = Lock()
    /// Tasks sent and not completed: a hint whether it pays to wait for a message.
    private let outstandingCount = Atomic<Int>(0)
    private(set) var slots: SharedSlots!
    private(set) unowned var kernel: (any KernelHalf)!
    private var isBundled = false
    static let earlyTaskCount = 2
    var earlyTasksLeft = ProcessDextHost.earlyTaskCount
    /// Tasks may be sent.
    private let isRunning = Atomic<Bool>(false)
    /// A driver that ends is started again.
    private let isSupervised = Atomic<Bool>(false)
    /// Cleared by `stop`, also while the driver is being started again.
    private let mayRestart = Atomic<Bool>(false)
    /// Which start of the driver this is.
    private let generation = Atomic<Int>(0)
    /// Whether the driver has completed tasks since its start.
    let isProductive = Atomic<Bool>(false)
    /// Only the thread that starts the driver again.
    var deathCount = 0
    var deathsInARow = 0
    /// The last messages, both ways.
    let history = MessageHistory()
    private(set) var taskIDs: [UInt64] = []
    private let lock = Lock()
    private var current: DriverInstance?
    let memory: DriverMemory

    /// Where the last bundle and the last interrupt are in the ring; a new one waits until the driver has taken it.
    private var bundlePosition: UInt32?
    private var interruptPosition: UInt32?
    private let hasBacklog = Atomic<Bool>(false)
    private let owesInterrupt = Atomic<Bool>(false)
    /// The slot whose UserProcessParallelTask has returned, plus 1; and what it returned.
    private let repliedSlot = Atomic<Int>(0)
    private let reply = Atomic<UInt64>(0)
    /// Whether the thread that waits for it sleeps, and has to be woken if another one takes the reply.
    private let replyIsAwaitedAsleep = Atomic<Bool>(false)

    /// - Parameters:
    ///   - executable: a program whose main function calls `DriverKitMain`.
    ///   - arguments: what it is started with.
    ///   - mode: `.bundled` offers the shared slots, `.legacy` does not.
    ///   - function: the card that the driver's personality matched.
    ///   - personality: the properties that the driver finds at its own node.
    ///   - arena: where task buffers lie.
    ///   - log: gets the driver's faults.
    /// - Throws: when the system refuses the shared memory.
    package init(
        executable: String, arguments: [String] = [], mode: DriverMode, function: PCIFunction,
        personality: OSDictionary, arena: DataArena,
        log: DiagnosisLog
    ) throws(OSError) {
        precondition(mode != .kext)
        self.executable = executable
        self.arguments = arguments
        self.mode = mode
        self.function = function
        self.personality = personality
        self.arena = arena
        context = DriverContext(log: log)
        submissionQueue = IODispatchQueue(name: "Submission", context: context)
        let (file, channel) = try SharedMemory.make("nbdext-channel", byteCount: nbdext_channel_size())
        channelFile = file
        toDriver = nbdext_channel_to_driver(channel)
        toKernel = nbdext_channel_to_kernel(channel)
        message = .allocate(capacity: 1)
        crashNote = nbdext_channel_last_words(channel).assumingMemoryBound(to: nbdext_crash_note.self)
        memory = DriverMemory(function: function)
    }

    // MARK: Life cycle

    private var instance: DriverInstance? { lock.withLock { current } }

    /// The driver's process, while there is one.
    package var process: Int32? { instance.flatMap { $0.isAlive ? $0.child.process : nil } }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        function.interruptHandler = { [unowned self] in interrupt() }
        try startInstance()
        return try askProperties()
    }

    func startInstance() throws(DriverStartError) {
        resetChannel()
        memory.releaseAll()
        isProductive.store(false, ordering: .relaxed)
        outstandingCount.store(0, ordering: .relaxed)
        let generation = generation.add(1, ordering: .relaxed).newValue
        do {
            let instance = try DriverInstance(
                executable: executable, arguments: arguments, channel: channelFile, arena: arena,
                answerer: { [weak self] in
                    // Questions of one that is gone may still be on their way.
                    guard let self, self.generation.load(ordering: .relaxed) == generation else {
                        return ControlMessage(status: kIOReturnAborted)
                    }
                    return answer($0, $1)
                },
                // The link of one whose start failed may end after everything else has.
                died: { [weak self] in self?.died($0) })
            lock.withLock { current = instance }
        } catch {
            throw DriverStartError(call: "the driver's process", reason: "could not be started: \(error)")
        }
    }

    private func resetChannel() {
        producerLock.lock()
        consumerLock.lock()
        nbdext_ring_reset(toDriver, 1)
        nbdext_ring_reset(toKernel, 0)
        bundlePosition = nil
        interruptPosition = nil
        crashNote.pointee = nbdext_crash_note()
        consumerLock.unlock()
        producerLock.unlock()
    }

    func askProperties() throws(DriverStartError) -> DriverProperties {
        _ = try ask(.start, "Start", ControlMessage(payload: PropertyCoder.encode(personality)))
        _ = try ask(.initializeController, "UserInitializeController")
        let reported = ReportedProperties(try ask(.questions, "UserReport…"))
        guard reported.taskCount > 0, reported.taskCount <= 4096 else {
            if reported.taskCount == 0 {
                context.log.report(.noTasks, "UserReportMaximumTaskCount left the count at 0")
            }
            throw DriverStartError(
                call: "UserReportMaximumTaskCount",
                reason: "said \(reported.taskCount); report between 1 and 4096 tasks")
        }
        var properties = DriverProperties()
        properties.taskCount = Int(reported.taskCount)
        properties.initiatorID = reported.initiatorID
        properties.highestDeviceID = reported.highestDeviceID
        properties.highestLogicalUnit = reported.highestLogicalUnit
        properties.performsAutoSense = reported.performsAutoSense
        properties.dma = reported.dma
        return properties
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        self.slots = slots
        taskIDs = try mapTasks()
        submissionMask = submissionQueue.addSource("submission") { [unowned self] in
            if isBundled { sendBundled() } else { while sendOne() {} }
        }
        return taskIDs
    }

    func mapTasks() throws(DriverStartError) -> [UInt64] {
        var ids: [UInt64] = []
        for _ in 0..<slots.taskCount { ids.append(try ask(.mapTask, "UserMapHBAData")[0]) }
        let count = UInt64(slots.taskCount)
        var commands = ControlMessage([0, count])
        commands.descriptor = slots.commandFile
        _ = try ask(.mapSlots, "the mapping of command slots", commands)
        var responses = ControlMessage([1, count, mode == .bundled ? 1 : 0])
        responses.descriptor = slots.responseFile
        guard let answer = instance?.link.ask(.mapSlots, responses) else {
            throw DriverStartError(call: "the mapping of response slots", reason: "was not answered")
        }
        isBundled = mode == .bundled && answer.status == kIOReturnSuccess
        if mode == .bundled && !isBundled {
            context.log.report(
                .bundledModeDeclined,
                "UserMapBundledParallelTaskCommandAndResponseBuffers returned \(Self.text(answer.status))")
        }
        return ids
    }

    package func startServices() throws(DriverStartError) -> Bool {
        // Its first commands come before this call has returned.
        isRunning.store(true, ordering: .releasing)
        _ = try ask(.startController, "UserStartController")
        isSupervised.store(true, ordering: .releasing)
        return instance?.link.ask(.managesDevices)?[0] == 1
    }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t {
        instance?.link.ask(.initializeTarget, ControlMessage([targetID]))?.status ?? kIOReturnAborted
    }

    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let limit = 1000
        let answer: ControlMessage? =
            switch function {
            case .abortTask(let target, let unit, let tag):
                instance?.link.ask(.abortTask, ControlMessage([target, unit, tag]), limitMilliseconds: limit)
            case .logicalUnitReset(let target, let unit):
                instance?.link.ask(.logicalUnitReset, ControlMessage([target, unit]), limitMilliseconds: limit)
            case .targetReset(let target):
                instance?.link.ask(.targetReset, ControlMessage([target]), limitMilliseconds: limit)
            }
        guard let answer else { return .unreachable }
        let isDone =
            answer.status == kIOReturnSuccess && answer[0] == UInt64(kSCSIServiceResponse_FUNCTION_COMPLETE)
        return isDone ? .done : .refused
    }

    package func endUnreachable() { instance?.child.kill() }

    package func stop() {
        isSupervised.store(false, ordering: .releasing)
        mayRestart.store(false, ordering: .releasing)
        guard let instance else { return }
        instance.expectEnd()
        _ = instance.link.ask(.stop, limitMilliseconds: 5000)
        isRunning.store(false, ordering: .releasing)
        instance.end(graceMilliseconds: 1000)
        lock.withLock { current = nil }
    }

    /// Notes that a driver is gone. Returns false when that is as it should be.
    func beginMourning(of instance: DriverInstance) -> Bool {
        guard isSupervised.exchange(false, ordering: .acquiringAndReleasing) else { return false }
        isRunning.store(false, ordering: .releasing)
        mayRestart.store(true, ordering: .releasing)
        return true
    }

    /// Whether nobody has stopped the driver for good meanwhile.
    var isStillWanted: Bool { mayRestart.load(ordering: .acquiring) }

    /// Ends what is left of a start that failed.
    func endFailedStart() {
        isRunning.store(false, ordering: .releasing)
        guard let instance else { return }
        instance.expectEnd()
        instance.end()
    }

    private func ask(
        _ call: ControlCall, _ name: String, _ message: ControlMessage = ControlMessage()
    ) throws(DriverStartError) -> ControlMessage {
        guard let instance, let answer = instance.link.ask(call, message, limitMilliseconds: 60_000) else {
            if self.instance?.link.hasEnded == false {
                throw DriverStartError(call: name, reason: "has not returned for 60 s")
            }
            throw DriverStartError(call: name, reason: "was not answered: the driver's process \(reportEnd(in: name))")
        }
        guard answer.status == kIOReturnSuccess else {
            let inner = String(decoding: answer.payload, as: UTF8.self)
            throw DriverStartError(call: inner.isEmpty ? name : inner, reason: "returned \(Self.text(answer.status))")
        }
        return answer
    }

    /// What the process that has ended left behind, if it crashed in a driver's call.
    /// - Returns: the fault by the address that it used, and where it was, as the end of a sentence.
    func crash() -> (fault: DriverFault, place: String) {
        let note = crashNote.pointee
        guard note.signal != 0 else { return (.driverCrash, "") }
        // Another process wrote it.
        let call = withUnsafeBytes(of: note.call) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let address = "0x\(String(note.address, radix: 16))"
        guard note.is_access != 0 else { return (.driverCrash, "; it stopped at \(address) in \(call)") }
        let place = "; it used the address \(address) in \(call)"
        if note.address < 65536 { return (.interruptBeforeInitialization, place) }
        return (function.dart.addressRange.contains(note.address) ? .busAddressDereferenced : .driverCrash, place)
    }

    /// The process has ended before it served anything.
    /// - Returns: how.
    private func reportEnd(in call: String) -> String {
        let ended = lock.withLock {
            defer { current = nil }
            return current
        }
        guard let ended else { return "is gone" }
        isRunning.store(false, ordering: .releasing)
        ended.expectEnd()
        let ending = ended.end(graceMilliseconds: 1000)
        let (fault, place) = crash()
        context.log.report(
            fault, "the driver's process \(ended.child.process) \(ending) in \(call)\(place)",
            picture: ["last messages, oldest first:"] + history.lines.map { "  " + $0 })
        return ending
    }

    private static func text(_ status: kern_return_t) -> String {
        "0x\(String(UInt32(bitPattern: status), radix: 16))"
    }

    // MARK: To the driver

    package func send() { submissionQueue.signal(mask: submissionMask) }

    /// One message for what waits. While the driver has not taken the last one, tasks gather: that is the backlog that
    /// goes as one bundle.
    private func sendBundled() {
        guard isRunning.load(ordering: .acquiring) else { return }
        while earlyTasksLeft > 0 {
            if !sendOne() { return }
            earlyTasksLeft -= 1
        }
        while true {
            if let bundlePosition, nbdext_ring_is_taken(toDriver, bundlePosition) == 0 {
                hasBacklog.store(true, ordering: .releasing)
                // It may have been taken in the meantime, and nobody would notice.
                if nbdext_ring_is_taken(toDriver, bundlePosition) == 0 { return }
                hasBacklog.store(false, ordering: .relaxed)
            }
            let wasSent = producerLock.withLock { () -> Bool in
                guard let message = nbdext_ring_begin(toDriver) else { return false }
                let count = withUnsafeMutableBytes(of: &message.pointee.body) { body in
                    kernel.takeSubmissions(
                        body.baseAddress!.assumingMemoryBound(to: UInt16.self), limit: kMaxBundledParallelTasks,
                        route: .bundled)
                }
                if count == 0 { return false }
                message.pointee.kind = NBDEXT_BUNDLED_TASKS.rawValue
                message.pointee.count = UInt32(count)
                outstandingCount.add(count, ordering: .relaxed)
                nbdext_ring_advise(toDriver, lingerTurns)
                bundlePosition = nbdext_ring_position(toDriver)
                history.note(message)
                _ = nbdext_ring_publish(toDriver)
                return true
            }
            if !wasSent { return }
        }
    }

    /// One message for one task, and a wait for the driver's answer to the call.
    /// - Returns: whether there was a task.
    private func sendOne() -> Bool {
        guard isRunning.load(ordering: .acquiring) else { return false }
        var slot: UInt16 = 0
        repliedSlot.store(0, ordering: .relaxed)
        let wasSent = producerLock.withLock { () -> Bool in
            guard let message = nbdext_ring_begin(toDriver),
                kernel.takeSubmissions(&slot, limit: 1, route: .single) == 1
            else { return false }
            message.pointee.kind = NBDEXT_SINGLE_TASK.rawValue
            message.pointee.value = UInt64(slot)
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(
                    from: slots.commands + Int(slot), byteCount: MemoryLayout<SCSIUserParallelTask>.size)
            }
            outstandingCount.add(1, ordering: .relaxed)
            nbdext_ring_advise(toDriver, lingerTurns)
            history.note(message)
            _ = nbdext_ring_publish(toDriver)
            return true
        }
        guard wasSent else { return false }
        awaitReply(slot)
        return true
    }

    private func awaitReply(_ slot: UInt16) {
        guard let instance else { return }
        var spins = 0
        beginPolling()
        while repliedSlot.load(ordering: .acquiring) != Int(slot) + 1 {
            if poll() { continue }
            spins += 1
            if spins < 200 {
                nbdext_pause()
            } else {
                if !instance.isAlive { break }
                replyIsAwaitedAsleep.store(true, ordering: .sequentiallyConsistent)
                if !endPolling(), repliedSlot.load(ordering: .sequentiallyConsistent) != Int(slot) + 1 {
                    nbdext_ring_sleep(toKernel, 10)
                }
                replyIsAwaitedAsleep.store(false, ordering: .relaxed)
                beginPolling()
            }
        }
        _ = endPolling()
        guard repliedSlot.load(ordering: .acquiring) == Int(slot) + 1 else { return }
        let reply = reply.load(ordering: .relaxed)
        let response = UInt32(truncatingIfNeeded: reply)
        if response != kSCSIServiceResponse_Request_In_Process {
            kernel.submissionRefused(slot: slot, response: response)
        } else if reply >> 32 == 0 && kernel.isWithDriver(slot: slot) {
            context.log.report(
                .missingRetain,
                "UserProcessParallelTask returned with slot \(slot)'s task in process, and its action has no other "
                    + "reference than the kernel's")
        }
    }

    /// The card asserts its interrupt line. One message that was not taken yet is as good as two.
    private func interrupt() {
        producerLock.withLock {
            if let interruptPosition, nbdext_ring_is_taken(toDriver, interruptPosition) == 0 { return }
            guard let message = nbdext_ring_begin(toDriver) else {
                return owesInterrupt.store(true, ordering: .releasing)
            }
            message.pointee.kind = NBDEXT_INTERRUPT.rawValue
            interruptPosition = nbdext_ring_position(toDriver)
            _ = nbdext_ring_publish(toDriver)
        }
    }

    // MARK: From the driver

    package var hasReceiver: Bool { true }
    package func beginPolling() { nbdext_ring_wake(toKernel) }
    package func endPolling() -> Bool {
        // One thread at a time waits for what the driver is about to say.
        if outstandingCount.load(ordering: .relaxed) > 0, lingerLock.tryLock() {
            _ = nbdext_ring_linger(toKernel, lingerTurns)
            lingerLock.unlock()
        }
        return nbdext_ring_rest(toKernel) != 0
    }

    /// How long a side looks for the other's next message before it sleeps. With a task or two it looks for longer than
    /// a wake-up takes, some 80 us: each hand-over is waited for. With many, others have the processor, and messages come
    /// in clusters anyway. Measured: 4 KiB reads one at a time, 5,000 against 17,000 a second; at 4 x 32 long looks cost a
    /// quarter of the throughput.
    private var lingerTurns: UInt32 { outstandingCount.load(ordering: .relaxed) <= 2 ? 1900 : 20 }
    package func sleep(milliseconds: Int) { nbdext_ring_sleep(toKernel, Int32(milliseconds)) }

    package func poll() -> Bool {
        guard nbdext_ring_has_messages(toKernel) != 0, consumerLock.tryLock() else { return false }
        var count = 0
        // A driver that never stops sending does not keep this thread for ever.
        while count < 256, nbdext_ring_take(toKernel, message) != 0 {
            take()
            count += 1
        }
        consumerLock.unlock()
        if hasBacklog.exchange(false, ordering: .acquiringAndReleasing), !submissionQueue.OnQueue() { send() }
        if owesInterrupt.exchange(false, ordering: .acquiringAndReleasing) { interrupt() }
        return count > 0
    }

    /// Does what a message says. Whatever it says was copied out of the shared memory first.
    private func take() {
        history.note(message)
        switch nbdext_message_kind(message.pointee.kind) {
        case NBDEXT_REGISTER_WRITE:
            function.writeRegister(Int(message.pointee.count), UInt32(truncatingIfNeeded: message.pointee.value))
        case NBDEXT_BUNDLED_COMPLETION:
            isProductive.store(true, ordering: .relaxed)
            let count = Int(message.pointee.count)
            guard count >= 1, count <= kMaxBundledParallelTasks else {
                return context.log.report(.slotMisuse, "a completion message named \(count) slots")
            }
            outstandingCount.subtract(count, ordering: .relaxed)
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeBundledParallelTasks($0.baseAddress!.assumingMemoryBound(to: UInt16.self), count: count)
            }
        case NBDEXT_SINGLE_COMPLETION:
            isProductive.store(true, ordering: .relaxed)
            outstandingCount.subtract(1, ordering: .relaxed)
            let slot = message.pointee.value
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeParallelTask(
                    $0.baseAddress!.assumingMemoryBound(to: SCSIUserParallelResponse.self),
                    slot: slot > 0 && slot <= UInt64(slots.taskCount) ? UInt16(slot - 1) : nil)
            }
        case NBDEXT_SINGLE_REPLY:
            reply.store(
                UInt64(message.pointee.count) | (message.pointee.body.0 != 0 ? 1 << 32 : 0), ordering: .relaxed)
            repliedSlot.store(Int(truncatingIfNeeded: message.pointee.value) &+ 1, ordering: .sequentiallyConsistent)
            if replyIsAwaitedAsleep.load(ordering: .sequentiallyConsistent) { nbdext_ring_ring(toKernel) }
        default: break
        }
    }

    /// Answers the driver's questions.
    private func answer(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        defer { if message.descriptor >= 0 { close(message.descriptor) } }
        switch call {
        case .reportConstraints:
            guard let dictionary = PropertyCoder.decode(message.payload) else {
                return ControlMessage(status: kIOReturnBadArgument)
            }
            return ControlMessage(status: kernel.reportHBAConstraints(dictionary))
        case .createTarget:
            return ControlMessage(status: kernel.createTarget(message[0], properties: [:]))
        case .destroyTarget: return ControlMessage(status: kernel.destroyTarget(message[0]))
        case .isTargetPresent: return ControlMessage([kernel.isTargetPresent(message[0]) ? 1 : 0])
        case .dataBuffer:
            guard let buffer = kernel.dataBuffer(targetID: message[0], taskID: message[1]) else {
                return ControlMessage(status: kIOReturnBadArgument)
            }
            return ControlMessage([UInt64(buffer.memory.baseAddress! - arena.base), UInt64(buffer.memory.count)])
        case .readRegister:
            return ControlMessage([UInt64(function.readRegister(Int(truncatingIfNeeded: message[0])))])
        case .allocateMemory, .claimWindow, .mapMemory, .unmapMemory: return memory.answer(call, message)
        case .report:
            report(String(decoding: message.payload, as: UTF8.self))
            return ControlMessage()
        default: return ControlMessage(status: kIOReturnUnsupported)
        }
    }

    /// A fault that was seen in the driver's process: its number, what happened, and a picture, a line each.
    private func report(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count >= 2, let fault = DriverFault(rawValue: lines[0]) else { return }
        context.log.report(fault, lines[1], picture: Array(lines.dropFirst(2)))
    }

    package func picture() -> [String] {
        guard let answer = instance?.link.ask(.waitPicture, limitMilliseconds: 1000) else {
            return ["the driver's process does not answer"]
        }
        return String(decoding: answer.payload, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
