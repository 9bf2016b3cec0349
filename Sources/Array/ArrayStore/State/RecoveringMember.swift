/// A member that is being brought up to date while the array is served.
package struct RecoveringMember: Sendable, Equatable {
    package let role: Int
    /// Bytes of its data area, from the start, that it has for sure.
    package internal(set) var byteCount: UInt64
    /// Above that it has what the bitmap does not say it has missed; otherwise nothing.
    package let isGuided: Bool
}
