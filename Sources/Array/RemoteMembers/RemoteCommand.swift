import MemberIO
import Platform

/// One operation on a remote member, on its way to the member's thread.
struct RemoteCommand: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        case read, write, flush
        /// A write that is durable when it ends: sent with NBD_CMD_FLAG_FUA, or followed by a flush.
        case durableWrite
        /// NBD_CMD_WRITE_ZEROES without NBD_CMD_FLAG_NO_HOLE: the server may deallocate.
        case punch
        /// NBD_CMD_WRITE_ZEROES with NBD_CMD_FLAG_NO_HOLE: the server keeps the space.
        case zero
        /// NBD_CMD_BLOCK_STATUS: asks for the holes.
        case blockStatus

        /// Whether the command changes the member's content.
        var changesMember: Bool {
            switch self {
            case .write, .durableWrite, .punch, .zero: true
            case .read, .flush, .blockStatus: false
            }
        }
    }

    /// The receiver of the outcome, which keeps itself alive until then.
    enum Recipient: BitwiseCopyable {
        case lane(Unmanaged<RemoteOutbox>, token: UInt64, place: Place)
        case call(Unmanaged<RemoteCall>)
        /// Nobody: the member's thread issued the command itself.
        case nobody
    }

    var kind: Kind
    /// For `punch` and `zero`: whether zeros are sent as data.
    var sendsZeros = false
    var recipient: Recipient
    var byteOffset: UInt64
    var byteCount: UInt64
    /// Memory of `byteCount` bytes; nil for kinds without data.
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

    /// Whether the command and a range have bytes in common.
    func overlaps(_ byteOffset: UInt64, _ byteCount: UInt64) -> Bool {
        self.byteOffset < byteOffset + byteCount && byteOffset < self.byteOffset + self.byteCount
    }

    /// A command for a lane's operation.
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
            recipient: .lane(.passUnretained(outbox), token: io.token, place: io.place))
    }
}

/// An operation of the control plane. The calling thread sleeps until it has ended.
final class RemoteCall: @unchecked Sendable {
    // SAFETY: written by the member's thread before `ended` is set, read by the caller afterwards.
    let ended = OneShotEvent()
    /// An errno, or 0 after success.
    var error: Int32 = 0
    /// The result of `blockStatus`: the length and the flags of each extent, in turn.
    var extents: [UInt32] = []
}
