import Platform

/// A driver of which programs can open user clients, as by IOServiceOpen.
package protocol UserClientProvider: IOService {
    /// The driver's NewUserClient, on its Default queue.
    /// - Parameters:
    ///   - type: the number that the program chose.
    ///   - client: receives the client, started, with a reference for the caller.
    /// - Returns: `kIOReturnUnsupported` when the driver has no user clients.
    func newUserClient(_ type: UInt32, _ client: inout (any UserClient)?) -> kern_return_t
}

/// A program's connection to a driver.
package protocol UserClient: IOService {
    /// The client's ExternalMethod, without any arguments. On the queue that the client has for it.
    func externalMethod(_ selector: UInt64) -> kern_return_t
    /// Gives back the caller's reference, perhaps the last.
    func end()
}

/// What came of opening a user client, calling it and closing it.
package enum UserClientOutcome: Sendable, Equatable {
    /// The driver has no user clients.
    case unsupported
    /// NewUserClient returned this error.
    case refused(kern_return_t)
    /// The client answered the call with this, and was closed.
    case answered(kern_return_t)
    /// The client's Stop did not call the base class's in time.
    case notStopped
    /// A call did not return in time.
    case unreachable

    /// How long a driver may take for all of it.
    package static let limitMilliseconds = 5000
}

extension DriverCalls {
    /// How long the client may take to stop.
    private static let clientStopMilliseconds = 1000
    /// A selector that no client has.
    private static let unknownSelector: UInt64 = 0xFFFF
    /// The queue of a program's calls, if the client has one for them.
    private static let queueName = "IOUserClientQueueExternalMethod"

    /// Opens a user client of type 0, calls it with a selector that it cannot know, and closes it.
    package func tryUserClient() -> UserClientOutcome {
        var client: (any UserClient)?
        let status = newUserClient(0, &client) ?? kIOReturnAborted
        guard status != kIOReturnUnsupported else { return .unsupported }
        guard status == kIOReturnSuccess, let client else { return .refused(status) }
        var answer = kIOReturnAborted
        let queue = client.dispatchQueue(named: Self.queueName) ?? client.dispatchQueue(named: "Default")
        _ = queue?.runSync("ExternalMethod", purpose: "ExternalMethod", isFromKernel: true) {
            answer = client.externalMethod(Self.unknownSelector)
        }
        _ = client.Terminate(0)
        guard client.hasStopped.wait(milliseconds: Self.clientStopMilliseconds) else { return .notStopped }
        // The base class was called from inside Stop, which needs its object until it returns.
        _ = client.dispatchQueue(named: "Default")?.runSync("Stop", purpose: "the end of Stop", isFromKernel: true) {}
        client.end()
        return .answered(answer)
    }
}

/// The outcome as a message of a control link.
extension UserClientOutcome {
    /// Nil when the message is none.
    package init?(_ message: ControlMessage) {
        let status = kern_return_t(truncatingIfNeeded: message[1])
        switch message[0] {
        case 0: self = .unsupported
        case 1: self = .refused(status)
        case 2: self = .answered(status)
        case 3: self = .notStopped
        default: return nil
        }
    }

    var message: ControlMessage {
        func numbers(_ kind: UInt64, _ status: kern_return_t = 0) -> ControlMessage {
            ControlMessage([kind, UInt64(UInt32(bitPattern: status))])
        }
        return switch self {
        case .unsupported: numbers(0)
        case .refused(let status): numbers(1, status)
        case .answered(let status): numbers(2, status)
        case .notStopped: numbers(3)
        case .unreachable: ControlMessage(status: kIOReturnTimeout)
        }
    }
}
