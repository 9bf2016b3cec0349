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
}
