/// The address of a logical unit on the HBA.
package struct UnitAddress: Hashable, Comparable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// The target's ID.
    package var targetID: UInt8
    /// The logical unit number, in peripheral device addressing (SAM-5, 4.7.7.2).
    package var logicalUnit: UInt8

    package init(targetID: UInt8, logicalUnit: UInt8 = 0) {
        self.targetID = targetID
        self.logicalUnit = logicalUnit
    }

    /// "target 0", or "target 0 LUN 1" for a logical unit other than 0.
    package var description: String { "target \(targetID)" + (logicalUnit == 0 ? "" : " LUN \(logicalUnit)") }

    package static func < (left: UnitAddress, right: UnitAddress) -> Bool {
        (left.targetID, left.logicalUnit) < (right.targetID, right.logicalUnit)
    }
}
