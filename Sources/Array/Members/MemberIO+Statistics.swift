import MemberIO
import Statistics

extension MemberIO.Kind {
    /// The kind by which the operation is counted.
    var counted: MemberOperationKind {
        switch self {
        case .read: .read
        case .write: .write
        case .punch: .punch
        case .zero: .zero
        case .flush: .flush
        case .durableWrite: .durableWrite
        case .reread: .reread
        }
    }
}
