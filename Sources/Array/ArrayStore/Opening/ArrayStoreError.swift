import MemberIO

/// Why an array could not be created or opened: one sentence that says what to do.
package struct ArrayStoreError: Error, CustomStringConvertible, Equatable {
    /// What kind of reason it is, for programs.
    package enum Kind: Sendable {
        /// The members, or what was asked for, do not allow it.
        case refused
        /// Too many members are missing.
        case tooManyMissing
        /// The array was not stopped cleanly and lacks a member: blocks may come back wrong.
        case dirtyAndDegraded
        /// A file cannot be a member, as it is; others may be.
        case unusable
        /// A member could not be read or written.
        case memberIO
        /// The system did not take an operation on a member (`MemberStatus.refused`), which says nothing of the member.
        case notTaken
        /// It is not wanted any more.
        case cancelled
    }

    package let description: String
    package let kind: Kind
    /// The members of an open array whose superblocks could not be written: roles, and the replacement's place, in
    /// ascending order. They have to be failed: what they had to say of lost writes they have said. Those that the system
    /// refused to write to are not among them: they hear of it with the next change.
    package let members: [Int]

    package init(_ description: String, _ kind: Kind = .refused, members: Set<Int> = []) {
        self.description = description
        self.kind = kind
        self.members = members.sorted()
    }
}

extension ArrayStoreError.Kind {
    /// Of an operation on a member that could not be done.
    init(_ error: MemberStoreError) { self = error.status == .refused ? .notTaken : .memberIO }
}
