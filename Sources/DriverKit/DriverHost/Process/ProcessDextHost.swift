import CLinux
import Diagnostics
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Statistics

/// Runs a DEXT in a process of its own, as macOS does. Tasks and completions go through rings in shared memory, calls
/// of the control plane over a socket. This puts the parts together; each has the fields that it works on.
///
/// A bundle is one message. A task of the legacy route is a blocking round trip, and so is its completion.
///
/// Threads: the start on one thread; `stop` on another; the rest on any.
package final class ProcessDextHost: DriverHost, @unchecked Sendable {
    // SAFETY: `initialize` and `map` set the parts that they make, before the first `send` and before `stop`.
    /// The bundles are counted with the ring pair as the sender. The context has the submission queues.
    package let hosted: HostedDriver
    private let program: DriverProgram
    private let function: PCIFunction
    private let personality: OSDictionary
    private let arena: DataArena
    private let periods: WatchPeriods
    private let channel: DriverChannel
    private let life = DriverLife()
    private let calls: ControlCalls
    private let receivers = Receivers()
    private weak var kernel: (any KernelHalf)!
    /// Made by `initialize`.
    private var driverStart: DriverStart!
    /// Made by `map`.
    private var reader: MessageReader!
    private var sender: TaskSender!
    private var supervisor: DriverSupervisor!

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
        periods = WatchPeriods(
            slowCallMilliseconds: slowCallMilliseconds, watchdogMilliseconds: watchdogMilliseconds)
        let groups = ProcessorGroups()
        let pairCount = DriverChannel.pairCount(mode: mode, groups: groups)
        hosted = HostedDriver(
            mode: mode, place: .process, context: DriverContext(log: log),
            bundles: BundleCounters(senderCount: pairCount))
        channel = try DriverChannel(pairCount: pairCount, groups: groups, context: hosted.context)
        calls = ControlCalls(
            life: life, channel: channel, dart: function.dart, log: log, limitMilliseconds: callMilliseconds)
    }

    deinit {
        function.interruptHandler = nil
        function.reset()
    }

    /// The number of the driver's process, while it runs.
    package var process: Int32? { life.instance.flatMap { $0.isAlive ? $0.child.process : nil } }

    // MARK: The start

    package func initialize(kernel: any KernelHalf) throws(DriverStartError) -> DriverProperties {
        self.kernel = kernel
        driverStart = DriverStart(
            program: program, mode: hosted.mode, personality: personality, arena: arena, periods: periods,
            channel: channel, life: life, calls: calls,
            answers: ControlAnswers(function: function, arena: arena, context: context, kernel: kernel))
        function.interruptHandler = { [channel] in channel.interrupt() }
        if nbdext_landlock_version() == 0 {
            // This process's files in /proc would lead to everything that it has open.
            _ = nbdext_hide_process()
            writeMessage(
                "this kernel has no Landlock: the driver's process can open whatever its user may; run only a "
                    + "driver that you trust", level: .warning)
        }
        try driverStart.startProcess()
        if life.instance?.child.isFiltered == false {
            writeMessage(
                "this kernel has no seccomp filters: the driver's process can reach its user's other processes "
                    + "and the network; run only a driver that you trust", level: .warning)
        }
        return try driverStart.askProperties()
    }

    package func map(slots: SharedSlots) throws(DriverStartError) -> [UInt64] {
        let mapping = try driverStart.map(slots)
        reader = MessageReader(
            channel: channel, slots: slots, function: function, life: life, context: context, kernel: kernel)
        sender = TaskSender(
            hosted: hosted, channel: channel, slots: slots, reader: reader, calls: calls, kernel: kernel,
            isBundled: mapping.isBundled)
        supervisor = DriverSupervisor(
            hosted: hosted, start: driverStart, life: life, calls: calls, channel: channel, slots: slots,
            taskIDs: mapping.taskIDs, reader: reader, sender: sender, kernel: kernel)
        return mapping.taskIDs
    }

    package func startServices() throws -> Bool {
        try receivers.start(for: channel, kernel: kernel)
        let managesDevices = try driverStart.startServices()
        if let dead = life.supervise(by: supervisor) { life.died(dead) }
        return managesDevices
    }

    // MARK: The end

    package func stop() {
        stopDriver()
        receivers.stop()
    }

    private func stopDriver() {
        life.stopAndWait()
        guard let instance = life.instance else { return channel.disconnect() }
        calls.stop(instance)
        channel.setRunning(false)
        // Messages that the driver sent before its Stop returned count: at most a ring of them. Before the slots are
        // mapped, none does.
        reader?.takeAll()
        channel.disconnect()
        instance.end(graceMilliseconds: ControlCalls.graceMilliseconds)
        function.reset()
        life.end()
    }

    package func end(startsAgain: Bool) {
        if !startsAgain { life.stop() }
        life.endProcess()
    }

    // MARK: In service

    package func send(_ exchange: inout Exchange) { sender.send(&exchange) }

    package func takeCalls(_ exchange: inout Exchange) -> Bool { reader.takeCalls(&exchange) }

    package func finish(_ exchange: inout Exchange, mayGoOn: Bool) -> Bool {
        reader.finish(&exchange, mayGoOn: mayGoOn)
    }

    package func initializeTarget(_ targetID: UInt64) -> kern_return_t { calls.initializeTarget(targetID) }

    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome { calls.perform(function) }

    package func tryUserClient() -> UserClientOutcome { calls.tryUserClient() }

    package func picture() -> [String] { calls.picture() }
}
