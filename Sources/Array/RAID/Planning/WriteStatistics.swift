import MDFormat

/// Counts of RAID 5 updates, by what they had to read first. A stripe that a request covers in parts may take up to
/// three updates.
package struct WriteStatistics: Sendable, Equatable {
    /// All columns are new: nothing is read.
    package var fullStripeWrites: UInt64 = 0
    /// Old data and old parity are read.
    package var readModifyWrites: UInt64 = 0
    /// The columns that stay are read.
    package var reconstructWrites: UInt64 = 0

    package init() {}

    /// Counts a pass of a write, whose reads are chosen. One that changes no parity is no update.
    mutating func note(_ operation: StripeOperation, _ geometry: ArrayGeometry) {
        guard operation.kind == .write || operation.kind == .writeZeroes,
            operation.plannedMissing != geometry.parityMember(stripe: operation.stripe)
        else { return }
        if operation.passColumns.count == geometry.columnCount {
            fullStripeWrites += 1
        } else if operation.readsOldData {
            readModifyWrites += 1
        } else {
            reconstructWrites += 1
        }
    }
}
