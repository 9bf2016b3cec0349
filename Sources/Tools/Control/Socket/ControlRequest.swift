import ArrayStore
import StackModel
import Statistics

/// A request that a client sends to a server's control socket, as one JSON object on a line. An array is named by its
/// directory.
package enum ControlRequest: Codable, Sendable, Equatable {
    /// Everything that the server counts.
    case statistics
    /// The state of an array.
    case status(directory: String)
    /// The registry of the emulated machine.
    case registry
    /// Drops all data that a loss of power would destroy.
    case powerCut
    /// Takes a member out of service: a role, or a file's name.
    case fail(directory: String, member: String)
    /// Closes the file of a failed member or a spare: a role, or a file's name.
    case remove(directory: String, member: String)
    /// Adds a file of the array's directory, or an export by its URI.
    case add(directory: String, member: String)
    /// Copies a member onto another one: a file of the array's directory, or a spare if that is nil.
    case replace(directory: String, member: String, by: String?)
    /// Begins a check of the parity.
    case check(directory: String)
    /// Begins a repair of the parity.
    case repair(directory: String)
    /// Ends a check, a repair or a replacement.
    case cancel(directory: String)

    /// Whether the request changes nothing. Those that change something are served one after another.
    var onlyLooks: Bool {
        switch self {
        case .statistics, .status, .registry: true
        default: false
        }
    }
}

/// A server's answer, as one JSON object on a line.
package enum ControlReply: Codable, Sendable, Equatable {
    /// The answer to `.statistics`.
    case statistics(total: StatisticsSnapshot)
    /// The answer to `.status`.
    case status(array: ArrayDescription)
    /// The answer to `.registry`.
    case registry(tree: RegistryTree)
    /// A change was made or has begun: one sentence for people, and the array's name. A power cut is about all arrays,
    /// and has no name.
    case done(message: String, array: String?)
    /// The request was refused: one sentence that says what to do.
    case refused(reason: String)
}
