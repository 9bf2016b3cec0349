/// What decides whether a member whose server is lost is waited for. Until it is back, or is given up, nothing that was
/// asked of the member ends.
///
/// Threads: any.
package protocol OutageRule: AnyObject, Sendable {
    /// The server is lost, for the reason given.
    /// - Parameter grace: how long others that are lost at the same moment may take to show it, milliseconds.
    func lost(_ reason: String, grace: UInt64)
    /// Whether to go on waiting. Once it is not, it never is again.
    var isAwaited: Bool { get }
    /// Whether what lies behind the server is the member as it was when it was lost.
    /// - Parameters:
    ///   - superblock: what it has there.
    ///   - hasFlushedWrites: some of the last writes that were made durable are there.
    func isUnchanged(superblock: [UInt8], hasFlushedWrites: Bool) -> Bool
    /// The member can be used again, and has everything that it ever answered.
    func returned()
}
