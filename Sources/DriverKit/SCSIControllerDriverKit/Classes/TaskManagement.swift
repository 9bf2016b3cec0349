/// A task management function (SAM-5, clause 7) that the kernel asks a driver for.
package enum TaskManagementFunction: Sendable {
    /// ABORT TASK.
    case abortTask(targetID: UInt64, logicalUnit: UInt64, tag: UInt64)
    /// LOGICAL UNIT RESET.
    case logicalUnitReset(targetID: UInt64, logicalUnit: UInt64)
    /// TARGET RESET.
    case targetReset(targetID: UInt64)

    /// The time limit of the call, milliseconds. A driver that needs recovery may not answer this call either.
    package static let limitMilliseconds = 1000
}

/// The outcome of a task management request.
package enum TaskManagementOutcome: UInt64, Sendable {
    /// The driver does not support the function, or it failed. This is 0, the number of an answer without numbers.
    case refused
    /// The function is complete.
    case done
    /// The driver did not take the request in time: it hangs in another call.
    case unreachable
}

/// The function as a message of a control link.
extension TaskManagementFunction {
    /// The function's call on a control link.
    package var call: ControlCall {
        switch self {
        case .abortTask: .abortTask
        case .logicalUnitReset: .logicalUnitReset
        case .targetReset: .targetReset
        }
    }

    /// The function's arguments on a control link.
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
