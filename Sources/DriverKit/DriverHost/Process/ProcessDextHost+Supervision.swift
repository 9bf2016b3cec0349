import Diagnostics
import Platform
import SCSIControllerDriverKit

/// The end of a driver's process that was not asked for: its tasks are taken back, and it is started again.
extension ProcessDextHost {
    private static let firstPauseMilliseconds = 20
    private static let longestPauseMilliseconds = 5000
    /// Failed starts in a row after which the driver is given up.
    private static let failedStartMax = 5

    /// Runs on the control link's thread, which has no other work left.
    func died(_ instance: DriverInstance) {
        var dead: DriverInstance? = instance
        while let instance = dead, beginMourning(of: instance) { dead = mourn(instance) }
    }

    /// Notes that a driver is gone. Returns false when its end was wanted, or another thread sees to it.
    private func beginMourning(of instance: DriverInstance) -> Bool {
        lock.withLock {
            guard life.isSupervised, life.current === instance else { return false }
            life.isSupervised = false
            life.mourning = OneShotEvent()
            return true
        }
    }

    /// Takes the driver's tasks back and starts it again.
    /// - Returns: the new process, if it has ended already.
    private func mourn(_ instance: DriverInstance) -> DriverInstance? {
        disconnect()
        let outstanding = kernel.outstandingTasks()
        let ending = instance.end()
        // Completions that it sent before its end count.
        takeAll()
        report(ending, instance, outstanding)
        kernel.driverDied()
        var pause = nextPause()
        for _ in 0..<Self.failedStartMax {
            if stopRequested.wait(milliseconds: pause) { return endMourning() }
            do {
                try restart()
                hosted.restarts.add(1, ordering: .relaxed)
                let dead = supervise()
                send(by: channel.pairs[0])
                return dead
            } catch {
                if !stopRequested.isSet { writeMessage("\(error)", level: .error) }
                endFailedStart()
                kernel.driverDied()
                pause = min(pause * 2, Self.longestPauseMilliseconds)
            }
        }
        if !stopRequested.isSet {
            writeMessage("the driver is given up; every request fails from now on", level: .error)
            kernel.driverIsLost()
        }
        return endMourning()
    }

    /// Ends the attempts to start the driver again.
    private func endMourning() -> DriverInstance? {
        lock.withLock {
            life.mourning?.set()
            life.mourning = nil
        }
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
        let (fault, place) = crash()
        let what = "the driver's process \(instance.child.process) \(ending)\(place), with \(outstanding.count) tasks"
        let tasks = outstanding.prefix(16) + (outstanding.count > 16 ? ["..."] : [])
        let picture = history.picture + MessageHistory.section("tasks that it had:", Array(tasks))
        context.log.report(
            fault, "\(what); it is started again\(picture.isEmpty ? "" : ":")", picture: picture)
        if deathCount > 1 { writeMessage("\(what); start \(deathCount + 1)", level: .warning) }
    }

    private func restart() throws(DriverStartError) {
        try startInstance()
        let properties = try askProperties()
        guard properties.taskCount == slots.taskCount else {
            throw DriverStartError(call: "UserReportMaximumTaskCount", reason: "gave another number than before")
        }
        do { try slots.renewResponses() } catch {
            throw DriverStartError(call: "the driver's process", reason: "could not be started: \(error)")
        }
        guard try mapTasks() == taskIDs else {
            throw DriverStartError(call: "UserMapHBAData", reason: "gave other task IDs than before")
        }
        kernel.driverReturned()
        earlyTasksLeft.store(Self.earlyTaskCount, ordering: .relaxed)
        if try !startDriverServices() { kernel.initializeTargetsAgain() }
    }
}
