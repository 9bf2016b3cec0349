/// Decides whether to wait for a member whose server is lost. Until the server is back or is given up, no operation on
/// the member ends.
///
/// Threads: any.
package protocol OutageRule: AnyObject, Sendable {
    /// The server is lost, for the reason given.
    /// - Parameter grace: the time that other servers lost at the same moment may need to be noticed, milliseconds.
    func lost(_ reason: String, grace: UInt64)
    /// Whether to go on waiting. Once false, it stays false.
    var isAwaited: Bool { get }
    /// Whether the export behind the server is the member in the state in which it was lost.
    /// - Parameters:
    ///   - superblock: the bytes of the superblock there.
    ///   - hasFlushedWrites: whether a sample of the last durable writes is there.
    func isUnchanged(superblock: [UInt8], hasFlushedWrites: Bool) -> Bool
    /// The member can be used again, and has every write that it ever acknowledged.
    func returned()
}
