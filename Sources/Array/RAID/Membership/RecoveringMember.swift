import MDFormat

/// A member that is being brought up to date while the array is served.
package struct RecoveringMember: Sendable, Equatable {
    /// The member's role.
    package let role: Role
    /// The number of bytes at the start of its data area that it is known to have.
    package internal(set) var byteCount: UInt64
    /// Whether the rest of its data is valid except where the bitmap says otherwise. If false, the rest is not valid at
    /// all.
    package let isGuided: Bool

    package init(role: Role, byteCount: UInt64, isGuided: Bool) {
        self.role = role
        self.byteCount = byteCount
        self.isGuided = isGuided
    }
}
