import DriverHost

/// The index of a slot. It is below the number of slots; a number that a driver names becomes one by a check
/// (`TaskSlots.slot(numbered:)`).
package struct SlotIndex: RawRepresentable, Hashable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// The slot's number, as the driver sees it.
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The slot's number, for tables by slot. It is the number of the slot's DART window as well.
    var number: Int { Int(rawValue) }

    /// The slot's number.
    package var description: String { "\(rawValue)" }
}
