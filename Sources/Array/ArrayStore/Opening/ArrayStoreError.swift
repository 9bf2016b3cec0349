import MemberIO

/// Why an operation on an array failed, as one sentence that says what to do.
package struct ArrayStoreError: Error, CustomStringConvertible, Equatable {
    /// The kind of failure, for programs.
    package enum Kind: Sendable {
        /// The members or the request do not allow it.
        case refused
        /// Too many members are missing.
        case tooManyMissing
        /// The array was not stopped cleanly and lacks a member, so blocks may come back wrong.
        case dirtyAndDegraded
        /// A file cannot be a member as it is. Others may be.
        case unusable
        /// A member could not be read or written.
        case memberIO
        /// The system refused an operation on a member (`MemberStatus.refused`), which says nothing about the member.
        case notTaken
        /// The operation was cancelled.
        case cancelled
    }

    /// The sentence.
    package let description: String
    /// The kind of failure.
    package let kind: Kind
    /// The places of members of an open array whose superblocks could not be written and which have to be failed, in
    /// ascending order. The system reports lost writes only once, and has reported them to this
    /// operation. Members whose write the system refused are not among them: they get the state with the next change.
    package let places: [Place]
    /// The failed operation on a member that is the cause; nil for any other cause. The sentence quotes it.
    package let cause: MemberStoreError?

    package init(_ description: String, _ kind: Kind = .refused) {
        self.init(description, kind, places: [], cause: nil)
    }

    /// A failure because of a failed operation on a member, which decides the kind.
    init(_ description: String, cause: MemberStoreError) {
        self.init(description, cause.status == .refused ? .notTaken : .memberIO, places: [], cause: cause)
    }

    private init(_ description: String, _ kind: Kind, places: [Place], cause: MemberStoreError?) {
        self.description = description
        self.kind = kind
        self.places = places
        self.cause = cause
    }

    /// The same failure, with the members that have to be failed.
    func failing(_ places: some Sequence<Place>) -> ArrayStoreError {
        ArrayStoreError(description, kind, places: places.sorted(), cause: cause)
    }
}
