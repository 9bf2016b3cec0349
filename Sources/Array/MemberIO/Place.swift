/// Where member I/O goes in an open array: one place for each role, in their order, and one behind them for a
/// replacement. The member at a place changes while the array is served, and one that replaces another moves from the
/// last place to its role's.
///
/// A place is no role: a replacement's I/O goes to the last place although the member has no role yet. RAID converts
/// one to the other.
@usableFromInline
package struct Place: RawRepresentable, BitwiseCopyable, Hashable, Comparable, Sendable {
    /// The position among the places of the array, from 0.
    @usableFromInline package let rawValue: UInt8

    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The position, for tables with an entry for each place.
    @inlinable package var index: Int { Int(rawValue) }

    @inlinable package static func == (left: Place, right: Place) -> Bool { left.rawValue == right.rawValue }
    @inlinable package static func < (left: Place, right: Place) -> Bool { left.rawValue < right.rawValue }
}

extension Place: ExpressibleByIntegerLiteral {
    /// A place that is written as a number in the source.
    @inlinable package init(integerLiteral value: UInt8) { self.init(rawValue: value) }
}

extension Place: CustomStringConvertible {
    /// The number, for messages.
    @usableFromInline package var description: String { String(rawValue) }
}
