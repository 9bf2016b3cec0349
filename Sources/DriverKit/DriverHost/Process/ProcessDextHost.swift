import CDriverKit
import CLinux
import Diagnostics
import Glibc
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Statistics
import Synchronization

/// Runs a DEXT in a process of its own, as macOS does. Tasks and completions go through rings in shared memory, calls
/// of the control plane over a socket.
///
/// A bundle is one message. A task of the legacy route is a blocking round trip, and so is its completion.
///
/// Threads: the start and restarts on one thread at a time; `stop` on another, even during a restart; the rest on any.
package final class ProcessDextHost: DriverHost, @unchecked Sendable {
    // SAFETY: `life` and `creations` under `lock`; rings protect themselves; the rest is set before the first `send`.
    /// The bundles are counted with the ring pair as the sender. The context has the submission queues.
    package let hosted: HostedDriver
    let function: PCIFunction
    private let program: DriverProgram
    private let personality: OSDictionary
    let arena: DataArena
    let callMilliseconds: Int
    /// How long a call of the driver may take before it is reported, and how often the watchdog looks.
    private let slowCallMilliseconds: UInt64
    private let watchdogMilliseconds: Int
    let channel: DriverChannel
    private let receivers = Receivers()
    /// The number of tasks that were sent and not completed: a hint whether it pays to wait for a message.
    let outstandingCount = Atomic<Int>(0)
    private(set) var slots: SharedSlots!
    /// Nil when the kernel half is gone. Only threads that answer the driver's questions outlive it.
    private(set) weak var kernel: (any KernelHalf)!
    /// Whether the driver has taken the slots.
    let isBundled = Atomic<Bool>(false)
    static let earlyTaskCount = 2
    let earlyTasksLeft = Atomic<Int>(ProcessDextHost.earlyTaskCount)
    /// Whether tasks may be sent. Read under a pair's `producerLock`.
    let isRunning = Atomic<Bool>(false)
    /// Whether the driver's register writes reach the card. Read under a pair's `consumerLock`.
    let isConnected = Atomic<Bool>(false)
    /// The number of this start of the driver.
    private let generation = Atomic<Int>(0)
    /// Touched only by the thread that starts the driver again.
    var deathCount = 0
    var deathsInARow = 0
    /// The last messages in both directions.
    let history = MessageHistory()
    private(set) var taskIDs: [UInt64] = []
    let lock = Lock()
    var life = Life()
    /// The threads that create targets for the driver, by target. Under `lock`.
    var creations: [UInt64: UInt] = [:]
    /// Ends the pauses between starts.
    let stopRequested = OneShotEvent()
    let memory: DriverMemory

    /// The slot for which UserProcessParallelTask has returned, plus 1, and its response.
    let repliedSlot = Atomic<Int>(0)
    let reply = Atomic<UInt32>(0)
    /// Whether the thread that waits for the reply sleeps. Another thread that takes the reply has to wake it.
    let replyIsAwaitedAsleep = Atomic<Bool>(false)

    struct Life {
        var current: DriverInstance?
        /// Whether a driver that ends is started again.
        var isSupervised = false
        var isStopped = false
        /// Set when the driver runs again or is given up. Nil while no thread starts it again.
        var mourning: OneShotEvent?
    }

    /// - Parameters:
    ///   - program: the driver's.
    ///   - mode: `.bundled` offers the shared slots, `.legacy` does not.
    ///   - function: the card that the driver's personality matched.
    ///   - personality: the properties of the driver's own registry node.
    ///   - arena: holds the tasks' buffers.
    ///   - log: collects the driver's faults.
    ///   - callMilliseconds: the limit for each call at the driver's start.
    ///   - slowCallMilliseconds: the time after which a call that has not returned is reported.
    ///   - watchdogMilliseconds: the watchdog's period.
    /// - Throws: when the system refuses the shared memory.
    package init(
        program: DriverProgram, mode: DriverMode,
        function: PCIFunction, personality: OSDictionary, arena: DataArena, log: DiagnosisLog,
        callMilliseconds: Int = 60_000,
        slowCallMilliseconds: UInt64 = 5000, watchdogMilliseconds: Int = 500
    ) throws(OSError) {
        precondition(mode != .kext)
        self.program = program
        self.function = function
        self.personality = personality
        self.arena = arena
        self.callMilliseconds = callMilliseconds
        self.slowCallMilliseconds = slowCallMilliseconds
        self.watchdogMilliseconds = watchdogMilliseconds
        let groups = ProcessorGroups()
        let pairCount = DriverChannel.pairCount(mode: mode, groups: groups)
        hosted = HostedDriver(
            mode: mode, place: .process, context: DriverContext(log: log),
            bundles: BundleCounters(senderCount: pairCount))
        channel = try DriverChannel(pairCount: pairCount, groups: groups, context: hosted.context)
        memory = DriverMemory(function: function)
    }

    deinit {
        function.interruptHandler = nil
        function.reset()
        memory.releaseAll()
    }

    // MARK: Life cycle

    var instance: DriverInstance? { lock.withLock { life.current } }

    /// The number of the driver's process, while it runs.
    package var process: Int32? { instance.flatMap { $0.isAlive ? $0.child.process : nil } }

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        function.interruptHandler = { [unowned self] in interrupt() }
        if nbdext_landlock_version() == 0 {
            // This process's files in /proc would lead to everything that it has open.
            _ = nbdext_hide_process()
            writeMessage(
                "this kernel has no Landlock: the driver's process can open whatever its user may; run only a "
                    + "driver that you trust", level: .warning)
        }
        try startInstance()
        if instance?.child.isFiltered == false {
            writeMessage(
                "this kernel has no seccomp filters: the driver's process can reach its user's other processes "
                    + "and the network; run only a driver that you trust", level: .warning)
        }
        return try askProperties()
    }

    /// Starts a process. The card has been reset, and the process before it is gone.
    func startInstance() throws(DriverStartError) {
        do {
            try channel.renew {
                memory.releaseAll()
                isConnected.store(true, ordering: .releasing)
            }
        } catch {
            throw DriverStartError(call: "the driver's process", reason: "could not be started: \(error)")
        }
        outstandingCount.store(0, ordering: .relaxed)
        let generation = generation.add(1, ordering: .relaxed).newValue
        do {
            let instance = try DriverInstance(
                program: program, channel: channel.file, arena: arena,
                answerer: { [weak self] in
                    // Questions of an earlier process may still be on their way.
                    guard let self, self.generation.load(ordering: .relaxed) == generation else {
                        return ControlMessage(status: kIOReturnAborted)
                    }
                    return answer($0, $1)
                }, died: { [weak self] in self?.died($0) })
            let isWanted = lock.withLock {
                if !life.isStopped { life.current = instance }
                return !life.isStopped
            }
            if isWanted { return try awaitGreeting(of: instance) }
            instance.end()
        } catch let error as DriverStartError {
            throw error
        } catch {
            throw DriverStartError(call: "the driver's process", reason: "could not be started: \(error)")
        }
        throw DriverStartError(call: "the driver's process", reason: "is not wanted any more")
    }

    /// Waits for the greeting: a driver's main function first says that it is a driver. Another program ends soon, or
    /// never says so.
    private func awaitGreeting(of instance: DriverInstance) throws(DriverStartError) {
        let limit = monotonicMilliseconds() + UInt64(min(callMilliseconds, Self.greetingMilliseconds))
        while channel.crashNote.pointee.is_driver == 0 {
            let hasEnded = instance.link.hasEnded
            // The greeting may have come just before the end.
            guard hasEnded || monotonicMilliseconds() > limit, channel.crashNote.pointee.is_driver == 0 else {
                usleep(500)
                continue
            }
            let ending = instance.end()
            if stopRequested.isSet {
                throw DriverStartError(call: "the driver's process", reason: "is not wanted any more")
            }
            throw program.isNoDriver(ending: hasEnded ? ending : nil, after: Self.greetingMilliseconds / 1000)
        }
    }

    /// The time that a program has until its main function calls DriverKitMain.
    private static let greetingMilliseconds = 10_000

    /// Cuts the driver off: no message goes to it any more, and its register writes do not reach the card. Its
    /// completions still count.
    func disconnect() {
        setRunning(false)
        isConnected.store(false, ordering: .releasing)
        // After this, threads that read the old value have finished.
        for pair in channel.pairs { pair.consumerLock.withLock {} }
    }

    private func setRunning(_ isRunning: Bool) {
        self.isRunning.store(isRunning, ordering: .releasing)
        for pair in channel.pairs { pair.producerLock.withLock {} }
    }

    func askProperties() throws(DriverStartError) -> DriverProperties {
        let periods = [slowCallMilliseconds, UInt64(watchdogMilliseconds)]
        _ = try ask(.start, "Start", ControlMessage(periods, payload: PropertyCoder.encode(personality)))
        _ = try ask(.initializeController, "UserInitializeController")
        let properties = DriverProperties(try ask(.questions, "UserReport…"))
        try properties.checkTaskCount(of: "UserReportMaximumTaskCount", log: context.log)
        return properties
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        self.slots = slots
        taskIDs = try mapTasks()
        for pair in channel.pairs {
            pair.setSender { [unowned self, unowned pair] in
                if isBundled.load(ordering: .relaxed) {
                    sendBundled(pair)
                } else if pair.index == 0 {
                    while sendOne() {}
                }
            }
        }
        return taskIDs
    }

    func mapTasks() throws(DriverStartError) -> [UInt64] {
        let count = UInt64(slots.taskCount)
        let mapped = try ask(.mapTasks, "UserMapHBAData", ControlMessage([count])).payload
        guard mapped.count == slots.taskCount * MemoryLayout<UInt64>.size else {
            throw DriverStartError(call: "UserMapHBAData", reason: "was not answered for each of \(count) tasks")
        }
        let ids = mapped.withUnsafeBytes { bytes in
            (0..<slots.taskCount).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
        }
        var commands = ControlMessage([0, count])
        commands.descriptor = slots.commandFile
        _ = try ask(.mapSlots, "the mapping of command slots", commands)
        var responses = ControlMessage([1, count, hosted.mode == .bundled ? 1 : 0])
        responses.descriptor = slots.responseFile
        let answer = try ask(.mapSlots, "UserMapBundledParallelTaskCommandAndResponseBuffers", responses)
        isBundled.store(hosted.mode == .bundled && answer[0] == 1, ordering: .relaxed)
        return ids
    }

    package func startServices() throws -> Bool {
        try receivers.start(for: channel, kernel: kernel)
        let managesDevices = try startDriverServices()
        if let dead = supervise() { died(dead) }
        return managesDevices
    }

    func startDriverServices() throws(DriverStartError) -> Bool {
        // The driver's first commands come before this call has returned.
        setRunning(true)
        _ = try ask(.startController, "UserStartController")
        return try answer(.managesDevices, "UserDoesHBAPerformDeviceManagement", ControlMessage())[0] == 1
    }

    /// Begins to restart the driver whenever it ends.
    /// - Returns: the driver's process if it has ended already, since no thread may have noticed.
    func supervise() -> DriverInstance? {
        let current = lock.withLock {
            life.isSupervised = !life.isStopped
            life.mourning?.set()
            life.mourning = nil
            return life.current
        }
        return current?.isAlive == true ? nil : current
    }

    package func stop() {
        stopDriver()
        receivers.stop()
    }

    private func stopDriver() {
        let (current, mourning) = lock.withLock {
            life.isStopped = true
            life.isSupervised = false
            return (life.current, life.mourning)
        }
        stopRequested.set()
        if let mourning {
            // This fails a start that is under way.
            current?.link.close()
            mourning.wait()
        }
        guard let instance else { return disconnect() }
        _ = instance.link.ask(.stop, limitMilliseconds: min(callMilliseconds, 5000))
        setRunning(false)
        // Messages that the driver sent before its Stop returned count: at most a ring of them.
        takeAll()
        disconnect()
        instance.end(graceMilliseconds: 1000)
        function.reset()
        lock.withLock { life.current = nil }
    }

    /// Ends the process of a failed start.
    func endFailedStart() {
        disconnect()
        guard let instance else { return }
        instance.end()
    }
}
