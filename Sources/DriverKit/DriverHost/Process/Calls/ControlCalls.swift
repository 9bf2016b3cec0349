import CDriverKit
import Diagnostics
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// Calls of the control plane, to the driver's current process.
///
/// Threads: any.
final class ControlCalls: Sendable {
    let life: DriverLife
    private let channel: DriverChannel
    private let dart: DART
    /// Collects the driver's faults.
    let log: DiagnosisLog
    /// The limit for each call.
    let limitMilliseconds: Int
    /// The limit for a picture: it shows a driver whose queues are stuck.
    private static let pictureMilliseconds = 1000
    /// The limit for the driver's Stop, if no call may take longer.
    private static let stopMilliseconds = 5000
    /// The time that a process has to end by itself after its link is closed.
    static let graceMilliseconds = 1000

    init(life: DriverLife, channel: DriverChannel, dart: DART, log: DiagnosisLog, limitMilliseconds: Int) {
        self.life = life
        self.channel = channel
        self.dart = dart
        self.log = log
        self.limitMilliseconds = limitMilliseconds
    }

    // MARK: During the start

    /// Makes a call whose status has to be success.
    /// - Parameter name: the call's, for errors.
    func ask(
        _ call: ControlCall, _ name: String, _ message: ControlMessage = ControlMessage()
    ) throws(DriverStartError) -> ControlMessage {
        let answer = try answer(call, name, message)
        guard answer.status == kIOReturnSuccess else {
            throw DriverStartError(answer)
                ?? DriverStartError(call: name, status: answer.status)
        }
        return answer
    }

    /// Makes a call that has to be answered.
    /// - Parameter name: the call's, for errors.
    func answer(
        _ call: ControlCall, _ name: String, _ message: ControlMessage
    ) throws(DriverStartError) -> ControlMessage {
        let instance = life.instance
        guard let instance, let answer = instance.link.ask(call, message, limitMilliseconds: limitMilliseconds) else {
            if life.stopRequested.isSet { throw DriverStartError(call: name, reason: "is not wanted any more") }
            if instance?.link.hasEnded == false {
                throw DriverStartError(call: name, reason: "has not returned for \(limitMilliseconds / 1000) s")
            }
            throw DriverStartError(
                call: name, reason: "was not answered: the driver's process \(reportEnd(of: instance, in: name))")
        }
        return answer
    }

    /// Reports a process that has ended before it served anything.
    /// - Returns: how it ended.
    private func reportEnd(of instance: DriverInstance?, in call: String) -> String {
        guard let instance else { return "is gone" }
        let ending = instance.end(graceMilliseconds: Self.graceMilliseconds)
        let crash = crash
        log.report(
            crash.fault, "the driver's process \(instance.child.process) \(ending) in \(call)\(crash.place)",
            picture: channel.history.picture)
        return ending
    }

    /// The crash that the last process has noted.
    var crash: DriverCrash { DriverCrash(channel.crashNote.pointee, busAddresses: dart.addressRange) }

    // MARK: In service

    /// As in `DriverHost`.
    func initializeTarget(_ targetID: UInt64) -> kern_return_t {
        guard let instance = life.instance else { return kIOReturnAborted }
        if let answer = instance.link.ask(
            .initializeTarget, ControlMessage([targetID]), limitMilliseconds: limitMilliseconds)
        {
            return answer.status
        }
        if !instance.link.hasEnded { giveUpWaiting(for: "UserInitializeTargetForID(\(targetID))", of: instance) }
        return kIOReturnAborted
    }

    /// Ends a driver that has not returned from a call in time. Threads that wait for it go on, and it is started
    /// again.
    func giveUpWaiting(for call: String, of instance: DriverInstance) {
        log.report(
            .queueCycle,
            "\(call) has not returned for \(limitMilliseconds / 1000) s; the driver's process \(instance.child.process) is "
                + "ended", picture: channel.history.picture)
        life.end(instance)
    }

    /// As in `DriverHost`.
    func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let answer = life.instance?.link.ask(
            function.call, function.message, limitMilliseconds: TaskManagementFunction.limitMilliseconds)
        guard let answer else { return .unreachable }
        return TaskManagementOutcome(rawValue: answer[0]) ?? .refused
    }

    /// As in `DriverHost`.
    func tryUserClient() -> UserClientOutcome {
        let answer = life.instance?.link.ask(.tryUserClient, limitMilliseconds: UserClientOutcome.limitMilliseconds)
        guard let answer, answer.status == kIOReturnSuccess else { return .unreachable }
        return UserClientOutcome(answer) ?? .unreachable
    }

    /// As in `DriverHost`.
    func picture() -> [String] {
        guard let answer = life.instance?.link.ask(.waitPicture, limitMilliseconds: Self.pictureMilliseconds) else {
            return ["the driver's process does not answer"]
        }
        return ForeignText.lines(bytes: answer.payload, countMax: ControlAnswers.lineCountMax).filter { !$0.isEmpty }
    }

    /// Asks a process to stop in good order.
    func stop(_ instance: DriverInstance) {
        _ = instance.link.ask(.stop, limitMilliseconds: min(limitMilliseconds, Self.stopMilliseconds))
    }
}
