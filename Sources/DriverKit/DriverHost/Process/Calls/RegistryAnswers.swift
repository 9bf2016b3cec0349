import HardwareBus
import SCSIControllerDriverKit

/// Answers a driver's questions and announcements that need no state of its host: the registry, media, and the card's
/// place on its bus.
struct RegistryAnswers {
    let kernel: any KernelHalf
    let function: PCIFunction

    func answer(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        switch call {
        case .changeProperties:
            guard let change = PropertyChange(message) else { return ControlMessage(status: kIOReturnBadArgument) }
            return ControlMessage(status: kernel.changeProperties(change))
        case .publish:
            guard let service = PublishedService(message) else { return ControlMessage(status: kIOReturnBadArgument) }
            kernel.publish(service)
            return ControlMessage()
        case .mediaChanged: return ControlMessage(status: kernel.mediaParametersHaveChanged())
        case .registerByteCount: return ControlMessage([UInt64(function.registerByteCount)])
        case .readConfiguration, .writeConfiguration: return configuration(call, message)
        default: return ControlMessage(status: kIOReturnUnsupported)
        }
    }

    private func configuration(_ call: ControlCall, _ message: ControlMessage) -> ControlMessage {
        guard let offset = Int(exactly: message[0]), offset % 4 == 0, offset < PCIConfigurationSpace.byteCount else {
            return ControlMessage(status: kIOReturnBadArgument)
        }
        guard call == .writeConfiguration else { return ControlMessage([UInt64(function.readConfiguration(offset))]) }
        function.writeConfiguration(
            offset, UInt32(truncatingIfNeeded: message[1]), mask: UInt32(truncatingIfNeeded: message[2]))
        return ControlMessage()
    }
}
