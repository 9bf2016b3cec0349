import Diagnostics
import Platform
import SCSIControllerDriverKit

/// Calls of the control plane, from the driver.
extension ProcessDextHost {
    /// Answers the driver's questions.
    func answer(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        guard let kernel = weakKernel else { return ControlMessage(status: kIOReturnAborted) }
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
