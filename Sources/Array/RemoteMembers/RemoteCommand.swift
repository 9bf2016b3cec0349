import MemberIO
import Platform

/// One operation on a remote member, on its way from whoever wants it to the member's thread.
struct RemoteCommand: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        case read, write, flush
        /// A write that is durable when it ends: with FUA, or followed by a flush.
        case durableWrite
        /// WRITE_ZEROES; the server may deallocate.
        case punch
        /// WRITE_ZEROES; the server keeps the space.
        case zero
        /// Asks where holes are.
        case blockStatus

        /// Whether it changes what is on the member.
        var changesMember: Bool {
            switch self {
            case .write, .durableWrite, .punch, .zero: true
            case .read, .flush, .blockStatus: false
            }
        }
    }

    /// Who gets the outcome, and keeps itself alive until then.
    enum Recipient: BitwiseCopyable {
        case lane(Unmanaged<RemoteOutbox>, token: UInt64, member: UInt8)
        case call(Unmanaged<RemoteCall>)
        /// The member's thread itself.
        case nobody
    }

    var kind: Kind
    /// For `punch` and `zero`: zeros are sent as data.
    var sendsZeros = false
    var recipient: Recipient
    var byteOffset: UInt64
    var byteCount: UInt64
    /// Of `byteCount` bytes; nil for kinds without data.
    var memory: UnsafeMutableRawPointer?

    init(
        _ kind: Kind, byteOffset: UInt64, byteCount: UInt64, memory: UnsafeMutableRawPointer?, recipient: Recipient
    ) {
        self.kind = kind
        self.recipient = recipient
        self.byteOffset = byteOffset
        self.byteCount = byteCount
        self.memory = memory
    }

    /// Whether it is about some of a range.
    func overlaps(_ byteOffset: UInt64, _ byteCount: UInt64) -> Bool {
        self.byteOffset < byteOffset + byteCount && byteOffset < self.byteOffset + self.byteCount
    }

    /// A lane's operation.
    init(_ io: MemberIO, for outbox: RemoteOutbox) {
        let kind: Kind =
            switch io.kind {
            case .read, .reread: .read
            case .write: .write
            case .punch: .punch
            case .zero: .zero
            case .flush: .flush
            case .durableWrite: .durableWrite
            }
        self.init(
            kind, byteOffset: io.byteOffset, byteCount: UInt64(io.byteCount), memory: io.memory,
            recipient: .lane(.passUnretained(outbox), token: io.token, member: io.member))
    }
}

/// An operation of the control plane, whose thread sleeps until it has ended.
final class RemoteCall: @unchecked Sendable {
    // SAFETY: written by the member's thread before `ended` is set, read by the caller afterwards.
    let ended = Event()
    /// An errno; 0 when all was done.
    var error: Int32 = 0
    /// What `blockStatus` found: the length of each extent and its flags, in turn.
    var extents: [UInt32] = []
}
