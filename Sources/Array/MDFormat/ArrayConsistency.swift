/// How a RAID 5 array gets its parity right again after it was not stopped cleanly.
package enum ArrayConsistency: String, Sendable, CaseIterable {
    /// All parity is checked. A member that is missing as well means that blocks may come back wrong.
    case resync
    /// A write-intent bitmap says which regions are to be checked. The same holds for a missing member.
    case bitmap
    /// Partial parity logs on the members hold what it takes, even when one of them is missing.
    case ppl
}
