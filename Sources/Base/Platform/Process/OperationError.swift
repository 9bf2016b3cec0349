/// The reason why something that a user asked for was not done: the error of the control plane.
///
/// Programs tell apart only what they act on: `ArrayStoreError` has kinds of its own, and `OSError` the system's code.
package struct OperationError: Error, CustomStringConvertible {
    /// Kinds that programs tell apart.
    package enum Kind: Sendable {
        /// It cannot be done, or it failed.
        case failed
        /// The other process is not there, or not there any more.
        case unreachable
    }

    /// One sentence that says what to do.
    package let description: String
    /// The kind of error.
    package let kind: Kind
    /// The error that led to this one, for programs: the sentence has its text. Nil when there was none.
    package let cause: (any Error)?

    package init(_ description: String, _ kind: Kind = .failed, cause: (any Error)? = nil) {
        self.description = description
        self.kind = kind
        self.cause = cause
    }
}
