/// One operation on one member of an array: the value that RAID planning emits and member engines execute.
package struct MemberIO: BitwiseCopyable {
    /// What is to be done with the range.
    package enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// Member to memory.
        case read
        /// Memory to member.
        case write
        /// Makes the range read as zeros and gives its space back where the file system can.
        case punch
        /// Makes the range read as zeros and keeps its space.
        case zero
        /// Everything written and completed so far becomes durable. Range and memory are unused.
        case flush
        /// Memory to member; done when it is durable, which says nothing of other writes.
        case durableWrite
        /// Member to memory, from what the member lies on rather than from a cache in front of it, where that can be.
        case reread

        package var isRead: Bool { self == .read || self == .reread }
    }

    package var kind: Kind
    /// The member's role in its array, from 0.
    package var member: UInt8
    /// Bytes.
    package var byteCount: UInt32
    /// First byte in the member file, data offset included.
    package var byteOffset: UInt64
    /// Where data is read to or written from; nil for operations without data.
    package var memory: UnsafeMutableRawPointer?
    /// Comes back with the outcome; its meaning belongs to whoever emitted the operation.
    package var token: UInt64

    package init(
        kind: Kind, member: Int, byteOffset: UInt64, byteCount: Int, memory: UnsafeMutableRawPointer?, token: UInt64
    ) {
        self.kind = kind
        self.member = UInt8(member)
        self.byteCount = UInt32(byteCount)
        self.byteOffset = byteOffset
        self.memory = memory
        self.token = token
    }
}

/// How a member operation ended.
package enum MemberStatus: UInt8, BitwiseCopyable, Sendable {
    /// The whole range was done.
    case done
    /// The file system has no room (ENOSPC, EDQUOT). The member itself is sound.
    case noSpace
    /// Something in a range that was to be read cannot be (EIO); the rest of the member may be sound.
    case unreadable
    /// The system did not take the operation (EFAULT, EINVAL, ENOMEM): its memory or its arguments were wrong, or there was
    /// no memory to do it with. The member is sound; of a write, a part may have been done. Never the end of a flush.
    case refused
    /// Any other error, or a file that ended early: the member cannot be trusted with this range.
    case failed
}

/// The outcome of one member operation.
package struct MemberCompletion: BitwiseCopyable, Sendable {
    package var token: UInt64
    package var member: UInt8
    package var status: MemberStatus

    package init(token: UInt64, member: UInt8, status: MemberStatus) {
        self.token = token
        self.member = member
        self.status = status
    }
}
