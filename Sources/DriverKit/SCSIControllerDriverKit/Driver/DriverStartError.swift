import Platform

/// The reason why a driver did not start.
package struct DriverStartError: Error, Sendable, CustomStringConvertible {
    /// The call that failed: "UserInitializeController".
    package let call: String
    /// Its result or its omission, and what to change, as it fits after the call.
    package let reason: String

    package init(call: String, reason: String) {
        self.call = call
        self.reason = reason
    }

    /// Describes a call whose result was not kIOReturnSuccess.
    package init(call: String, status: kern_return_t) {
        self.init(call: call, reason: "returned \(hexText(status))")
    }

    package var description: String { "the driver did not start: \(call) \(reason)" }
}

/// The error as a message of a control link: the call and the reason, a line each.
extension DriverStartError {
    var message: ControlMessage { ControlMessage(payload: Array("\(call)\n\(reason)".utf8), status: kIOReturnError) }

    /// Nil when the message is no such error.
    package init?(_ message: ControlMessage) {
        let lines = ForeignText.lines(bytes: message.payload, countMax: 2)
        guard message.status != kIOReturnSuccess, lines.count == 2 else { return nil }
        self.init(call: lines[0], reason: lines[1])
    }
}
