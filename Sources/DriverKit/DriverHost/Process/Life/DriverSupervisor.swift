import Diagnostics
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Sees to the end of a driver's process that was not asked for: takes its tasks back, and starts it again.
///
/// Threads: the one that the driver's life chooses, one at a time.
final class DriverSupervisor: @unchecked Sendable {
    // SAFETY: the counts belong to the thread that starts the driver again. The kernel half stops the host, and waits
    // for that thread, before it goes.
    private unowned let kernel: any KernelHalf
    private let hosted: HostedDriver
    private let start: DriverStart
    private let life: DriverLife
    private let calls: ControlCalls
    private let channel: DriverChannel
    private let slots: SharedSlots
    private let taskIDs: [UInt64]
    private let reader: MessageReader
    private let sender: TaskSender
    private var deathCount = 0
    private var deathsInARow = 0
    private static let firstPauseMilliseconds = 20
    private static let longestPauseMilliseconds = 5000
    /// Failed starts in a row after which the driver is given up.
    private static let failedStartMax = 5

    /// - Parameter taskIDs: the driver's ID for each task object, which the next process has to give again.
    init(
        hosted: HostedDriver, start: DriverStart, life: DriverLife, calls: ControlCalls, channel: DriverChannel,
        slots: SharedSlots, taskIDs: [UInt64], reader: MessageReader, sender: TaskSender, kernel: any KernelHalf
    ) {
        self.hosted = hosted
        self.start = start
        self.life = life
        self.calls = calls
        self.channel = channel
        self.slots = slots
        self.taskIDs = taskIDs
        self.reader = reader
        self.sender = sender
        self.kernel = kernel
    }

    /// Takes the driver's tasks back and starts it again.
    /// - Returns: the new process, if it has ended already.
    func mourn(_ instance: DriverInstance) -> DriverInstance? {
        channel.disconnect()
        let outstanding = kernel.outstandingTasks()
        let ending = instance.end()
        // Completions that it sent before its end count.
        reader.takeAll()
        report(ending, instance, outstanding)
        kernel.driverDied()
        var pause = nextPause()
        for _ in 0..<Self.failedStartMax {
            if life.stopRequested.wait(milliseconds: pause) { return giveUp() }
            do {
                try restart()
                hosted.restarts.add(1, ordering: .relaxed)
                let dead = life.supervise(by: self)
                sender.sendAll()
                return dead
            } catch {
                if !life.stopRequested.isSet { writeMessage("\(error)", level: .error) }
                channel.disconnect()
                life.instance?.end()
                kernel.driverDied()
                pause = min(pause * 2, Self.longestPauseMilliseconds)
            }
        }
        if !life.stopRequested.isSet {
            writeMessage("the driver is given up; every request fails from now on", level: .error)
            kernel.driverIsLost()
        }
        return giveUp()
    }

    private func giveUp() -> DriverInstance? {
        life.endMourning()
        return nil
    }

    /// The pause before the next start: twice the last one, or the first one again if the driver has worked.
    private func nextPause() -> Int {
        if kernel.driverHasWorked { deathsInARow = 0 }
        deathsInARow += 1
        return min(Self.firstPauseMilliseconds << min(deathsInARow - 1, 16), Self.longestPauseMilliseconds)
    }

    /// Reports the end: in full the first time, in a line later on.
    private func report(_ ending: String, _ instance: DriverInstance, _ outstanding: [String]) {
        deathCount += 1
        let crash = calls.crash
        let what =
            "the driver's process \(instance.child.process) \(ending)\(crash.place), with \(outstanding.count) tasks"
        let tasks = outstanding.prefix(16) + (outstanding.count > 16 ? ["..."] : [])
        let picture = channel.history.picture + MessageHistory.section("tasks that it had:", Array(tasks))
        calls.log.report(
            crash.fault, "\(what); it is started again\(picture.isEmpty ? "" : ":")", picture: picture)
        if deathCount > 1 { writeMessage("\(what); start \(deathCount + 1)", level: .warning) }
    }

    private func restart() throws(DriverStartError) {
        try start.startProcess()
        let properties = try start.askProperties()
        guard properties.taskCount == slots.taskCount else {
            throw DriverStartError(call: "UserReportMaximumTaskCount", reason: "gave another number than before")
        }
        do { try slots.renewResponses() } catch {
            throw DriverStartError(call: "the driver's process", reason: "could not be started: \(error)")
        }
        let mapping = try start.map(slots)
        guard mapping.taskIDs == taskIDs else {
            throw DriverStartError(call: "UserMapHBAData", reason: "gave other task IDs than before")
        }
        kernel.driverReturned()
        sender.begin(isBundled: mapping.isBundled)
        if try !start.startServices() { kernel.initializeTargetsAgain() }
    }
}
