/// How a RAID 5 array gets its parity right again after an unclean stop.
///
/// This is the name, on disk and in commands. `ConsistencyPolicy` (RAID) is the policy of an array that runs: it also
/// has the places of the bitmap or of the logs.
package enum ArrayConsistency: String, Sendable, CaseIterable {
    /// All parity is checked. If a member is missing as well, blocks may come back wrong.
    case resync
    /// A write-intent bitmap says which regions are checked. If a member is missing as well, blocks may come back
    /// wrong.
    case bitmap
    /// Partial parity logs on the members hold what it takes, even if one of them is missing.
    case ppl
}
