/// Whether an array can serve: the one value that the log, `top`, metrics, `status` and its exit code show.
package enum ArrayHealth: String, Sendable, CaseIterable {
    /// All members are there.
    case clean
    /// Fewer members than that are there, and as many as are needed: everything works.
    case degraded
    /// More members are lost than that, and the array waits for them: nothing that needs them is answered.
    case suspended
    /// More members are gone than the level survives: nothing can be written, and nothing be read but what the other members
    /// of a RAID 0 array hold.
    case failed

    /// - Parameters:
    ///   - missingCount: roles whose member is gone or has not everything yet.
    ///   - redundancy: how many the level survives.
    package init(missingCount: Int, redundancy: Int) {
        self = missingCount == 0 ? .clean : missingCount <= redundancy ? .degraded : .failed
    }
}
