/// Whether an array can serve: the one value that the log, `top`, metrics, `status` and its exit code show.
package enum ArrayHealth: String, Sendable, Codable, CaseIterable {
    /// Every role has a member that is in sync.
    case clean
    /// Members are missing, no more than the level survives. Everything works.
    case degraded
    /// More members are lost than the level survives, and the array waits for them. Requests that need them are not
    /// answered.
    case suspended
    /// More members are gone than the level survives. Writes fail, and so do reads, but for what the other members of a
    /// RAID 0 array hold.
    case failed

    /// - Parameters:
    ///   - missingCount: roles whose member is gone or not in sync yet.
    ///   - redundancy: members that the level can lose.
    package init(missingCount: Int, redundancy: Int) {
        self = missingCount == 0 ? .clean : missingCount <= redundancy ? .degraded : .failed
    }
}
