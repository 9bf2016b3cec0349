/// Which logical unit of which target.
package struct UnitAddress: Hashable, Comparable, BitwiseCopyable, Sendable, CustomStringConvertible {
    package var targetID: UInt8
    package var logicalUnit: UInt8

    package init(targetID: UInt8, logicalUnit: UInt8 = 0) {
        self.targetID = targetID
        self.logicalUnit = logicalUnit
    }

    /// "target 0", or "target 0 LUN 1" for another logical unit than the first.
    package var description: String { "target \(targetID)" + (logicalUnit == 0 ? "" : " LUN \(logicalUnit)") }

    package static func < (left: UnitAddress, right: UnitAddress) -> Bool {
        (left.targetID, left.logicalUnit) < (right.targetID, right.logicalUnit)
    }
}
