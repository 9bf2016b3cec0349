/// A task management function (SAM-5, clause 7), as the kernel asks a driver for it.
package enum TaskManagementFunction: Sendable {
    case abortTask(targetID: UInt64, logicalUnit: UInt64, tag: UInt64)
    case logicalUnitReset(targetID: UInt64, logicalUnit: UInt64)
    case targetReset(targetID: UInt64)

    /// How long a driver may take at most, milliseconds: one that needs help may not answer this either.
    package static let limitMilliseconds = 1000
}

/// What became of a request for task management.
package enum TaskManagementOutcome: UInt64, Sendable {
    /// The driver does not do it, or could not. First, as an answer without a number says this.
    case refused
    case done
    /// The driver did not take the request in time: it is stuck in another call.
    case unreachable
}

/// As it crosses a control link.
extension TaskManagementFunction {
    package var call: ControlCall {
        switch self {
        case .abortTask: .abortTask
        case .logicalUnitReset: .logicalUnitReset
        case .targetReset: .targetReset
        }
    }

    package var message: ControlMessage {
        switch self {
        case .abortTask(let targetID, let logicalUnit, let tag): ControlMessage([targetID, logicalUnit, tag])
        case .logicalUnitReset(let targetID, let logicalUnit): ControlMessage([targetID, logicalUnit])
        case .targetReset(let targetID): ControlMessage([targetID])
        }
    }

    /// Nil for other calls.
    init?(_ call: ControlCall, _ message: ControlMessage) {
        switch call {
        case .abortTask: self = .abortTask(targetID: message[0], logicalUnit: message[1], tag: message[2])
        case .logicalUnitReset: self = .logicalUnitReset(targetID: message[0], logicalUnit: message[1])
        case .targetReset: self = .targetReset(targetID: message[0])
        default: return nil
        }
    }
}
