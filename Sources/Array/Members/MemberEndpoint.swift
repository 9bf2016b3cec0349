import MemberIO
import Platform

/// A member that is not a local file, and does its I/O in a way of its own: an export of another server, or a member
/// that a test makes up.
///
/// Threads: any.
package protocol MemberEndpoint: AnyObject, Sendable {
    /// Makes a lane's way to the member.
    /// - Throws: when the member cannot be reached, or the system refuses what it takes.
    func makeChannel() throws(OSError) -> any MemberChannel

    /// Makes sure that writes to a range cannot fail for want of space; `.done` also where nobody can promise that. What
    /// was reserved once is not asked for again until a punch of it has started, not ended: a member that gives space back
    /// later must not give back what was reserved meanwhile. May block.
    func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus
}

/// One lane's way to a member that is not a local file. Operations may end in any order.
///
/// Threads: one at a time.
package protocol MemberChannel: AnyObject {
    /// What becomes ready when there may be something to reap; nil when nothing has to be waited for.
    var readiness: ChannelReadiness? { get }

    /// Starts operations, without blocking. Their memory is the channel's until they are reaped. A flush covers what was
    /// reaped, from whichever channel of the member, before it started.
    func start(_ ios: UnsafeBufferPointer<MemberIO>)

    /// Appends the outcomes that there are, with the operations' tokens and members, without blocking. Each operation
    /// has exactly one.
    func reap(into completions: inout [MemberCompletion])
}

/// What a thread polls for while a channel works.
package struct ChannelReadiness: BitwiseCopyable, Sendable {
    package var descriptor: Int32
    /// Whether the channel waits to send, besides to receive.
    package var waitsToSend: Bool

    package init(descriptor: Int32, waitsToSend: Bool) {
        self.descriptor = descriptor
        self.waitsToSend = waitsToSend
    }
}

/// Where a member's bytes are.
package enum MemberPlace: Sendable {
    /// Nowhere: the member is missing. I/O to it fails.
    case none
    /// In an open file.
    case file(Int32)
    /// Behind an object that does its own I/O.
    case endpoint(any MemberEndpoint)
    /// Wherever the member that has a role is at the time.
    case slot(MemberSlot)
}
