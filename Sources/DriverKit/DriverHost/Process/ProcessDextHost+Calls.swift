import Diagnostics
import Platform
import SCSIControllerDriverKit

/// Calls of the control plane, to the driver.
extension ProcessDextHost {
    package func initializeTarget(_ targetID: UInt64) -> kern_return_t {
        guard let instance else { return kIOReturnAborted }
        if let answer = instance.link.ask(
            .initializeTarget, ControlMessage([targetID]), limitMilliseconds: callMilliseconds)
        {
            return answer.status
        }
        if !instance.link.hasEnded { giveUpWaiting(for: "UserInitializeTargetForID(\(targetID))", of: instance) }
        return kIOReturnAborted
    }

    /// Ends a driver that has not returned from a call in time. Threads that wait for it go on, and it is started
    /// again.
    func giveUpWaiting(for call: String, of instance: DriverInstance) {
        context.log.report(
            .queueCycle,
            "\(call) has not returned for \(callMilliseconds / 1000) s; the driver's process \(instance.child.process) is "
                + "ended", picture: history.picture)
        end(instance)
    }

    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome {
        let answer = instance?.link.ask(
            function.call, function.message, limitMilliseconds: TaskManagementFunction.limitMilliseconds)
        guard let answer else { return .unreachable }
        return TaskManagementOutcome(rawValue: answer[0]) ?? .refused
    }

    package func tryUserClient() -> UserClientOutcome {
        let answer = instance?.link.ask(.tryUserClient, limitMilliseconds: UserClientOutcome.limitMilliseconds)
        guard let answer, answer.status == kIOReturnSuccess else { return .unreachable }
        return UserClientOutcome(answer) ?? .unreachable
    }

    package func end(startsAgain: Bool) {
        if !startsAgain {
            lock.withLock {
                life.isStopped = true
                life.isSupervised = false
            }
            stopRequested.set()
        }
        endUnreachable()
    }

    func endUnreachable() {
        if let instance { end(instance) }
    }

    private func end(_ instance: DriverInstance) {
        instance.child.kill()
        // A process that has left the driver's group may hold the other end open.
        instance.link.close()
    }

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

    func answer(
        _ call: ControlCall, _ name: String, _ message: ControlMessage
    ) throws(DriverStartError) -> ControlMessage {
        guard let instance, let answer = instance.link.ask(call, message, limitMilliseconds: callMilliseconds) else {
            if stopRequested.isSet { throw DriverStartError(call: name, reason: "is not wanted any more") }
            if instance?.link.hasEnded == false {
                throw DriverStartError(call: name, reason: "has not returned for \(callMilliseconds / 1000) s")
            }
            throw DriverStartError(call: name, reason: "was not answered: the driver's process \(reportEnd(in: name))")
        }
        return answer
    }

    /// The ended process's own note, if it crashed in a driver's call.
    /// - Returns: the fault, chosen by the address used, and the place of the crash as the end of a sentence.
    func crash() -> (fault: DriverFault, place: String) {
        let note = channel.crashNote.pointee
        guard note.signal != 0 else { return (.driverCrash, "") }
        // Another process wrote it.
        let call = withUnsafeBytes(of: note.call) { ForeignText(bytes: $0.prefix { $0 != 0 }).description }
        let address = "0x\(String(note.address, radix: 16))"
        guard note.is_access != 0 else { return (.driverCrash, "; it stopped at \(address) in \(call)") }
        let place = "; it used the address \(address) in \(call)"
        if note.address < 65536 { return (.interruptBeforeInitialization, place) }
        return (function.dart.addressRange.contains(note.address) ? .busAddressDereferenced : .driverCrash, place)
    }

    /// Reports a process that has ended before it served anything.
    /// - Returns: how it ended.
    private func reportEnd(in call: String) -> String {
        guard let instance else { return "is gone" }
        let ending = instance.end(graceMilliseconds: 1000)
        let (fault, place) = crash()
        context.log.report(
            fault, "the driver's process \(instance.child.process) \(ending) in \(call)\(place)",
            picture: history.picture)
        return ending
    }
}
