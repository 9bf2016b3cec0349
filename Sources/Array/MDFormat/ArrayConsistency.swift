/// How a RAID 5 array gets its parity right again after an unclean stop.
package enum ArrayConsistency: String, Sendable, CaseIterable {
    /// All parity is checked. If a member is missing as well, blocks may come back wrong.
    case resync
    /// A write-intent bitmap says which regions are checked. If a member is missing as well, blocks may come back
    /// wrong.
    case bitmap
    /// Partial parity logs on the members hold what it takes, even if one of them is missing.
    case ppl
}
