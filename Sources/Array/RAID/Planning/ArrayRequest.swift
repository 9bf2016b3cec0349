import MDFormat

/// A request to an array. Offsets and counts are multiples of 512 bytes and inside the array.
package struct ArrayRequest: BitwiseCopyable {
    /// What is to be done with the range.
    package enum Operation: UInt8, BitwiseCopyable, Sendable {
        case read
        case write
        /// The range reads as zeros afterwards.
        case zero
        /// Everything completed before becomes durable.
        case flush
    }

    /// What is to be done.
    package var operation: Operation
    /// A write is finished only when it is durable.
    package var forceUnitAccess = false
    /// `zero` may give the space back.
    package var mayPunch = false
    /// The first byte in the array.
    package var byteOffset: UInt64 = 0
    package var byteCount: UInt64 = 0
    /// The data of `read` and `write`; the planner computes with the address and never follows it.
    package var memory: UnsafeMutableRawPointer?
    /// The caller's number for the request: below the planner's request capacity, and unique while it is outstanding.
    package var tag: UInt32

    package init(
        _ operation: Operation, byteOffset: UInt64 = 0, byteCount: UInt64 = 0,
        memory: UnsafeMutableRawPointer? = nil, tag: UInt32
    ) {
        self.operation = operation
        self.byteOffset = byteOffset
        self.byteCount = byteCount
        self.memory = memory
        self.tag = tag
    }
}

/// How an array request ended.
package enum ArrayStatus: UInt8, BitwiseCopyable, Sendable {
    case done
    /// A member's file system is full; nothing of what was there before is lost.
    case noSpace
    /// A member's system did not take an operation; the members are sound.
    case refused
    /// More members failed than the level survives.
    case failed

    /// The worse of two outcomes.
    package func combined(with other: ArrayStatus) -> ArrayStatus {
        rawValue >= other.rawValue ? self : other
    }
}

/// What is left of an array's redundancy.
package enum ArrayState: Equatable, Sendable {
    case healthy
    /// RAID 5 without the member that has this role.
    case degraded(missing: Role)
    case failed
}
