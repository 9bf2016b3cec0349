/// One operation on one member of an array. RAID planning emits it, and a member engine executes it.
package struct MemberIO: BitwiseCopyable {
    /// What is to be done with the range.
    package enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// Reads the range into memory.
        case read
        /// Writes memory to the range.
        case write
        /// Makes the range read as zeros and gives its space back where the file system can.
        case punch
        /// Makes the range read as zeros and keeps its space.
        case zero
        /// Makes everything durable that has been written and completed so far. Range and memory are unused.
        case flush
        /// Writes memory to the range, and ends when that is durable. Other writes need not be durable then.
        case durableWrite
        /// Reads the range from the member's medium where that is possible, rather than from a cache in front of it.
        case reread

        /// Whether data goes from the member to memory.
        package var isRead: Bool { self == .read || self == .reread }
    }

    /// What is to be done.
    package var kind: Kind
    /// Where it goes.
    package var place: Place
    /// Bytes of the range.
    package var byteCount: UInt32
    /// First byte in the member file, data offset included.
    package var byteOffset: UInt64
    /// Data of `byteCount` bytes; nil for operations without data.
    package var memory: UnsafeMutableRawPointer?
    /// Comes back with the outcome. The emitter of the operation defines its meaning.
    package var token: UInt64

    package init(
        kind: Kind, place: Place, byteOffset: UInt64, byteCount: Int, memory: UnsafeMutableRawPointer?, token: UInt64
    ) {
        assert(byteCount >= 0 && byteCount <= UInt32.max, "the range is longer than one I/O can be")
        assert(
            (memory == nil) == (kind == .punch || kind == .zero || kind == .flush), "data has no memory, or none has")
        assert((kind == .flush) == (byteCount == 0), "a flush is of the whole member, and nothing else is of no bytes")
        assert(byteOffset <= UInt64(Int64.max) - UInt64(byteCount), "the range ends where no file does")
        self.kind = kind
        self.place = place
        self.byteCount = UInt32(byteCount)
        self.byteOffset = byteOffset
        self.memory = memory
        self.token = token
    }
}

/// How an operation on a member ended.
package enum MemberStatus: UInt8, BitwiseCopyable, Sendable {
    /// The whole range was done.
    case done
    /// The file system has no space (ENOSPC, EDQUOT). The member itself is sound.
    case noSpace
    /// Some of the range cannot be read (EIO). The rest of the member may be sound.
    case unreadable
    /// The system did not take the operation (EFAULT, EINVAL, ENOMEM): its memory or arguments were wrong, or there was
    /// no memory to do it with. The member is sound. A part of a write may have been done. A flush never ends like
    /// this.
    case refused
    /// Any other error, or a file that ended early: the member cannot be trusted with this range.
    case failed
}

/// The outcome of one operation on a member.
package struct MemberCompletion: BitwiseCopyable, Sendable {
    /// The operation's token.
    package var token: UInt64
    /// The operation's place.
    package var place: Place
    /// How it ended.
    package var status: MemberStatus

    package init(token: UInt64, place: Place, status: MemberStatus) {
        self.token = token
        self.place = place
        self.status = status
    }
}
