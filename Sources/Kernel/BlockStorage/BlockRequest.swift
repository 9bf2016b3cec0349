import SCSIArchitectureModel

/// The reason why a block request failed.
package typealias BlockError = SCSIArchitectureModel.BlockError

/// A client's request to a block device: a byte range, and memory in the data arena.
package struct BlockRequest: BitwiseCopyable {
    /// The things to do with the range.
    package enum Operation: UInt8, BitwiseCopyable, Sendable {
        case read, write, flush, trim, writeZeroes
    }

    /// Conditions on the operation.
    package struct Flags: OptionSet, BitwiseCopyable, Sendable {
        /// The flags' bits; private to the process.
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The request is complete only when its data is durable.
        package static let forceUnitAccess = Flags(rawValue: 1)
        /// `writeZeroes` must keep the range's space allocated.
        package static let noHole = Flags(rawValue: 2)
    }

    /// The thing to do with the range.
    package var operation: Operation
    /// The conditions on it.
    package var flags: Flags
    /// The owner's name for the request, below `BlockLane.requestCapacity` and unique among the lane's outstanding
    /// requests.
    package var tag: UInt16
    /// The first byte on the device; any alignment.
    package var byteOffset: UInt64
    /// Bytes; 0 only for `flush`.
    package var byteCount: UInt32
    /// The data's memory, in the data arena; nil for operations without data. The owner leaves it alone until the
    /// completion arrives.
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
    /// The request's tag.
    package var tag: UInt16
    /// `.none`, or the reason of the failure.
    package var error: BlockError
    /// Bytes of the request that were moved; the whole request unless `error` is set.
    package var byteCount: UInt32

    package init(tag: UInt16, error: BlockError, byteCount: UInt32) {
        self.tag = tag
        self.error = error
        self.byteCount = byteCount
    }
}
