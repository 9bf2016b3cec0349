import SCSIArchitectureModel

/// Why a block request failed.
package typealias BlockError = SCSIArchitectureModel.BlockError

/// What a client asks of a block device: a byte range, and memory in the data arena.
package struct BlockRequest: BitwiseCopyable {
    /// What is to be done with the range.
    package enum Operation: UInt8, BitwiseCopyable, Sendable {
        case read, write, flush, trim, writeZeroes
    }

    /// How it is to be done.
    package struct Flags: OptionSet, BitwiseCopyable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The request is complete only when its data is durable.
        package static let forceUnitAccess = Flags(rawValue: 1)
        /// `writeZeroes` must keep the range's space allocated.
        package static let noHole = Flags(rawValue: 2)
    }

    package var operation: Operation
    package var flags: Flags
    /// The owner's name for the request: below `BlockLane.requestCapacity`, and unique among the requests that
    /// the owner has outstanding on this lane.
    package var tag: UInt16
    /// First byte on the device; any alignment.
    package var byteOffset: UInt64
    /// Bytes; 0 only for `flush`.
    package var byteCount: UInt32
    /// Where the data is or goes, in the data arena; nil for operations without data. It must stay untouched
    /// until the completion arrives.
    package var buffer: UnsafeMutableRawPointer?

    package init(
        operation: Operation, flags: Flags = [], tag: UInt16, byteOffset: UInt64 = 0, byteCount: UInt32 = 0,
        buffer: UnsafeMutableRawPointer? = nil
    ) {
        self.operation = operation
        self.flags = flags
        self.tag = tag
        self.byteOffset = byteOffset
        self.byteCount = byteCount
        self.buffer = buffer
    }
}

/// The outcome of one block request.
package struct BlockCompletion: BitwiseCopyable {
    package var tag: UInt16
    package var error: BlockError
    /// Bytes of the request that were moved; the whole request unless `error` is set.
    package var byteCount: UInt32

    package init(tag: UInt16, error: BlockError, byteCount: UInt32) {
        self.tag = tag
        self.error = error
        self.byteCount = byteCount
    }
}
