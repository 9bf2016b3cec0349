import Glibc
import Platform
import SCSIControllerDriverKit

/// Starts a driver's process and leads it through the calls of its start. Each time is like the first.
///
/// Threads: one at a time.
final class DriverStart: Sendable {
    private let program: DriverProgram
    private let mode: DriverMode
    private let personality: OSDictionary
    private let arena: DataArena
    private let periods: WatchPeriods
    private let channel: DriverChannel
    private let life: DriverLife
    private let calls: ControlCalls
    private let answers: ControlAnswers
    /// The time that a program has until its main function calls DriverKitMain.
    private static let greetingMilliseconds = 10_000

    /// A driver's tasks and the way to them.
    struct Mapping {
        /// The driver's ID for each task object.
        let taskIDs: [UInt64]
        /// Whether the driver has taken the slots.
        let isBundled: Bool
    }

    /// - Parameters:
    ///   - program: the driver's.
    ///   - mode: `.bundled` offers the shared slots, `.legacy` does not.
    ///   - personality: the properties of the driver's own registry node.
    ///   - arena: holds the tasks' buffers.
    ///   - periods: of the detectors in the driver's process.
    init(
        program: DriverProgram, mode: DriverMode, personality: OSDictionary, arena: DataArena, periods: WatchPeriods,
        channel: DriverChannel, life: DriverLife, calls: ControlCalls, answers: ControlAnswers
    ) {
        self.program = program
        self.mode = mode
        self.personality = personality
        self.arena = arena
        self.periods = periods
        self.channel = channel
        self.life = life
        self.calls = calls
        self.answers = answers
    }

    /// Starts a process. The card has been reset, and the process before it is gone.
    func startProcess() throws(DriverStartError) {
        do {
            try channel.renew { answers.memory.releaseAll() }
            let instance = try DriverInstance(
                program: program, channel: channel.file, arena: arena, answerer: answers.answerer(),
                died: { [weak life] in life?.died($0) })
            if life.begin(with: instance) { return try awaitGreeting(of: instance) }
            instance.end()
        } catch let error as DriverStartError {
            throw error
        } catch {
            throw DriverStartError(call: "the driver's process", reason: "could not be started: \(error)")
        }
        throw DriverStartError.unwanted
    }

    /// Waits for the greeting: a driver's main function first says that it is a driver. Another program ends soon, or
    /// never says so.
    private func awaitGreeting(of instance: DriverInstance) throws(DriverStartError) {
        let limit = monotonicMilliseconds() + UInt64(min(calls.limitMilliseconds, Self.greetingMilliseconds))
        while channel.crashNote.pointee.is_driver == 0 {
            let hasEnded = instance.link.hasEnded
            // The greeting may have come just before the end.
            guard hasEnded || monotonicMilliseconds() > limit, channel.crashNote.pointee.is_driver == 0 else {
                usleep(500)
                continue
            }
            let ending = instance.end()
            if life.stopRequested.isSet { throw DriverStartError.unwanted }
            throw program.isNoDriver(ending: hasEnded ? ending : nil, after: Self.greetingMilliseconds / 1000)
        }
    }

    /// Has the driver initialise itself, and asks what it is.
    func askProperties() throws(DriverStartError) -> DriverProperties {
        let numbers = [periods.slowCallMilliseconds, UInt64(periods.watchdogMilliseconds)]
        _ = try calls.ask(.start, "Start", ControlMessage(numbers, payload: PropertyCoder.encode(personality)))
        _ = try calls.ask(.initializeController, "UserInitializeController")
        let properties = DriverProperties(try calls.ask(.questions, "UserReport…"))
        try properties.checkTaskCount(of: "UserReportMaximumTaskCount", log: calls.log)
        return properties
    }

    /// Has the driver assign task IDs and map the slots.
    func map(_ slots: SharedSlots) throws(DriverStartError) -> Mapping {
        let count = UInt64(slots.taskCount)
        let mapped = try calls.ask(.mapTasks, "UserMapHBAData", ControlMessage([count])).payload
        guard mapped.count == slots.taskCount * MemoryLayout<UInt64>.size else {
            throw DriverStartError(call: "UserMapHBAData", reason: "was not answered for each of \(count) tasks")
        }
        let ids = mapped.withUnsafeBytes { bytes in
            (0..<slots.taskCount).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
        }
        var commands = ControlMessage([0, count])
        commands.descriptor = slots.commandFile
        _ = try calls.ask(.mapSlots, "the mapping of command slots", commands)
        var responses = ControlMessage([1, count, mode == .bundled ? 1 : 0])
        responses.descriptor = slots.responseFile
        let answer = try calls.ask(.mapSlots, "UserMapBundledParallelTaskCommandAndResponseBuffers", responses)
        return Mapping(taskIDs: ids, isBundled: mode == .bundled && answer[0] == 1)
    }

    /// Lets tasks pass, and has the driver start its services.
    /// - Returns: whether the driver creates its targets itself.
    func startServices() throws(DriverStartError) -> Bool {
        // The driver's first commands come before this call has returned.
        channel.setRunning(true)
        _ = try calls.ask(.startController, "UserStartController")
        return try calls.answer(.managesDevices, "UserDoesHBAPerformDeviceManagement", ControlMessage())[0] == 1
    }
}

/// How often and for how long a driver's calls are looked at.
struct WatchPeriods {
    /// How long a call of the driver may take before it is reported.
    let slowCallMilliseconds: UInt64
    /// How often the watchdog looks.
    let watchdogMilliseconds: Int
}

extension DriverStartError {
    /// The error for a start that was cancelled.
    static let unwanted = DriverStartError(call: "the driver's process", reason: "is not wanted any more")
}
