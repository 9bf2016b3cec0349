import MemberIO
import Platform

/// A member that does its own I/O instead of being a local file: an export of another server, or a member that a test
/// makes up.
///
/// Threads: any.
package protocol MemberEndpoint: AnyObject, Sendable {
    /// Makes a lane's channel to the member.
    /// - Throws: when the member cannot be reached, or the system refuses a resource.
    func makeChannel() throws(OSError) -> any MemberChannel

    /// Makes sure that writes to a range cannot fail for want of space. Returns `.done` also where nobody can promise
    /// that. May block.
    ///
    /// A reserved range is not reserved again until a punch of it has started. It can be reserved again before that
    /// punch has ended, so a member that gives space back late must keep what was reserved in the meantime.
    func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus
}

/// One lane's channel to a member that is not a local file. Operations may end in any order.
///
/// Threads: one at a time.
package protocol MemberChannel: AnyObject {
    /// What becomes ready when there may be something to reap; nil while there is nothing to wait for.
    var readiness: ChannelReadiness? { get }

    /// Starts operations without blocking. Their memory belongs to the channel until they are reaped. A flush covers
    /// all operations that were reaped before it started, from any channel of the member.
    func start(_ ios: UnsafeBufferPointer<MemberIO>)

    /// Appends the outcomes that are ready, with the operations' tokens and members, without blocking. Each operation
    /// gets exactly one outcome.
    func reap(into completions: inout [MemberCompletion])
}

/// What a thread polls while a channel works.
package struct ChannelReadiness: BitwiseCopyable, Sendable {
    /// The descriptor to poll.
    package var descriptor: Int32
    /// Whether the channel waits until it can send, in addition to receiving.
    package var waitsToSend: Bool

    package init(descriptor: Int32, waitsToSend: Bool) {
        self.descriptor = descriptor
        self.waitsToSend = waitsToSend
    }
}

/// Where a member's bytes are.
package enum MemberPlace: Sendable {
    /// Nowhere: the member is missing, and I/O to it fails.
    case none
    /// In an open file.
    case file(Int32)
    /// Behind an object that does its own I/O.
    case endpoint(any MemberEndpoint)
    /// Wherever the member that currently has a role is.
    case bay(MemberBay)
}
